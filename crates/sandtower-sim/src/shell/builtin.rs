//! The commands that there are.

use std::{sync::Arc, time::Duration};

use tokio::time;

use super::{NOT_FOUND, SYNTAX_ERROR, Session, files, io::Io, lexer::is_variable, print};
use crate::{files::home, runner::Exit};

/// What follows from a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ended so, and the script goes on.
    Status(Exit),
    /// The script ends so.
    Leave(Exit),
}

impl Outcome {
    pub(super) fn exit(self) -> Exit {
        match self {
            Self::Status(exit) | Self::Leave(exit) => exit,
        }
    }
}

/// Those that only a shell has.
const OF_SHELL: &[&str] = &[":", "cd", "exit", "export", "unset", "wait"];

/// Those that are programs too.
const PROGRAMS: &[&str] = &[
    "[", "bash", "cat", "chmod", "cp", "echo", "env", "false", "ls", "mkdir", "mv", "printenv",
    "printf", "pwd", "rm", "seq", "sh", "sleep", "tee", "test", "touch", "true", "wc", "whoami",
];

/// The program of that path or name.
pub(super) fn program(path: &str) -> Option<&'static str> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let known = PROGRAMS.iter().find(|program| **program == name).copied();
    known.filter(|_| !path.contains('/') || matches!(directory, "/bin" | "/usr/bin"))
}

/// What a script means by a command's name.
pub(super) fn named(name: &str) -> Option<&'static str> {
    OF_SHELL.iter().find(|builtin| **builtin == name).copied().or_else(|| program(name))
}

/// Runs a program that was started without a shell.
pub(super) async fn run(
    session: &mut Session,
    name: &'static str,
    words: &[String],
    io: &mut Io,
) -> Outcome {
    let prefix = Arc::clone(&session.name);
    run_in(session, &prefix, name, words, io).await
}

/// Runs a command of a script; `prefix` is how the shell begins its own complaints.
pub(super) async fn run_in(
    session: &mut Session,
    prefix: &str,
    name: &'static str,
    words: &[String],
    io: &mut Io,
) -> Outcome {
    let arguments = words.get(1..).unwrap_or_default();
    let exit = match name {
        "echo" => print::echo(arguments, io).await,
        "printf" => print::printf(prefix, arguments, io).await,
        "cat" => files::cat(session, arguments, io).await,
        "tee" => files::tee(session, arguments, io).await,
        "wc" => files::wc(session, arguments, io).await,
        "ls" => files::ls(session, arguments, io).await,
        "mkdir" => files::mkdir(session, arguments, io).await,
        "rm" => files::rm(session, arguments, io).await,
        "chmod" => files::chmod(session, arguments, io).await,
        "touch" => files::touch(session, arguments, io).await,
        "mv" | "cp" => files::copy(session, name, arguments, io).await,
        "sleep" => sleep(arguments, io).await,
        "seq" => seq(arguments, io).await,
        "exit" => return exit(session, prefix, arguments, io).await,
        "true" | ":" => Exit(0),
        "false" => Exit(1),
        "test" | "[" => test(session, prefix, name, arguments, io).await,
        "cd" => cd(session, prefix, arguments, io).await,
        "pwd" => printed(io.print("pwd", format!("{}\n", session.directory)).await),
        "whoami" => printed(io.print("whoami", format!("{}\n", session.user)).await),
        "printenv" => printenv(session, arguments, io).await,
        "env" => return env(session, prefix, arguments, io).await,
        "export" => export(session, prefix, arguments, io).await,
        "unset" => {
            arguments.iter().for_each(|name| drop(session.variables.unset(name)));
            Exit(0)
        }
        "wait" => {
            session.jobs.wait().await;
            Exit(0)
        }
        "bash" | "sh" => bash(session, words, io).await,
        _ => NOT_FOUND,
    };
    Outcome::Status(exit)
}

pub(super) fn printed(all: bool) -> Exit {
    Exit(u8::from(!all))
}

async fn bash(session: &mut Session, words: &[String], io: &mut Io) -> Exit {
    let Some((name, arguments)) = words.split_first() else { return Exit(0) };
    let mut inner = session.fork();
    inner.name = Arc::from(name.as_str());
    inner.depth += 1;
    inner.variables.keep_exported();
    let mut arguments = arguments.iter();
    let mut script = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-l" | "--login" | "-i" => {}
            "-c" | "-lc" | "-ic" => {
                let Some(text) = arguments.next() else {
                    io.complain(format!("{name}: -c: option requires an argument\n")).await;
                    return SYNTAX_ERROR;
                };
                if let Some(zeroth) = arguments.next() {
                    inner.name = Arc::from(zeroth.as_str());
                }
                script = Some(text.clone());
                break;
            }
            path => {
                let Ok(content) = session.files.read(&session.path(path)) else {
                    io.complain(format!("{name}: {path}: No such file or directory\n")).await;
                    return NOT_FOUND;
                };
                script = Some(String::from_utf8_lossy(&content).into_owned());
                break;
            }
        }
    }
    inner.arguments = arguments.cloned().collect();
    let script = match script {
        Some(script) => script,
        None => read_script(io).await,
    };
    let exit = Box::pin(inner.script(&script, io)).await;
    inner.jobs.outlive(&inner.files).await;
    exit
}

/// A shell that is given no commands reads them from its input.
async fn read_script(io: &mut Io) -> String {
    let mut script = Vec::new();
    while let Some(bytes) = io.input.read().await {
        if script.len() + bytes.len() > files::MAX_HELD {
            break;
        }
        script.extend_from_slice(&bytes);
    }
    String::from_utf8_lossy(&script).into_owned()
}

async fn sleep(arguments: &[String], io: &Io) -> Exit {
    let mut total = Duration::ZERO;
    for argument in arguments {
        let Some(interval) = interval(argument) else {
            io.complain(format!("sleep: invalid time interval ‘{argument}’\n")).await;
            return Exit(1);
        };
        total = total.saturating_add(interval);
    }
    if arguments.is_empty() {
        io.complain("sleep: missing operand\n").await;
        return Exit(1);
    }
    time::sleep(total).await;
    Exit(0)
}

fn interval(text: &str) -> Option<Duration> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3_600.0),
        (at, 'd') => (&text[..at], 86_400.0),
        _ => (text, 1.0),
    };
    let seconds = number.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0)? * unit;
    // More than the clock can count is for ever.
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// Prints numbers, a line each; a reader that is slow holds it up.
async fn seq(arguments: &[String], io: &Io) -> Exit {
    let numbers: Option<Vec<i64>> = arguments.iter().map(|number| number.parse().ok()).collect();
    let (first, last) = match numbers.as_deref() {
        Some(&[last]) => (1, last),
        Some(&[first, last]) => (first, last),
        _ => {
            io.complain("seq: the simulator knows `seq LAST' and `seq FIRST LAST'\n").await;
            return Exit(1);
        }
    };
    let mut next = first;
    while next <= last {
        let end = next.saturating_add(999).min(last);
        let lines: String = (next..=end).map(|number| format!("{number}\n")).collect();
        if !io.print("seq", lines).await {
            return Exit(1);
        }
        let Some(after) = end.checked_add(1) else { break };
        next = after;
        tokio::task::yield_now().await;
    }
    Exit(0)
}

async fn exit(session: &Session, prefix: &str, arguments: &[String], io: &Io) -> Outcome {
    let Some(argument) = arguments.first() else { return Outcome::Leave(session.last) };
    match argument.parse::<i64>() {
        // An exit code has eight bits.
        Ok(code) => Outcome::Leave(Exit(code.to_le_bytes()[0])),
        Err(_) => {
            io.complain(format!("{prefix}: exit: {argument}: numeric argument required\n")).await;
            Outcome::Leave(Exit(2))
        }
    }
}

async fn test(
    session: &Session,
    prefix: &str,
    name: &str,
    mut arguments: &[String],
    io: &Io,
) -> Exit {
    if name == "[" {
        match arguments.split_last() {
            Some((last, rest)) if last == "]" => arguments = rest,
            _ => {
                io.complain(format!("{prefix}: [: missing `]'\n")).await;
                return Exit(2);
            }
        }
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (negated, words) = match words.split_first() {
        Some((&"!", rest)) => (true, rest),
        _ => (false, words.as_slice()),
    };
    match holds(session, words) {
        Some(holds) => Exit(u8::from(holds == negated)),
        None => {
            io.complain(format!("{prefix}: {name}: the simulator does not know this test\n")).await;
            Exit(2)
        }
    }
}

fn holds(session: &Session, words: &[&str]) -> Option<bool> {
    let number = |text: &str| text.parse::<i64>().ok();
    Some(match words {
        [] => false,
        [text] | ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        ["-e", path] => session.files.entry(&session.path(path)).is_ok(),
        ["-d", path] => session.files.is_directory(&session.path(path)),
        ["-f", path] => session.files.read(&session.path(path)).is_ok(),
        ["-s", path] => session.files.read(&session.path(path)).is_ok_and(|held| !held.is_empty()),
        [left, "=" | "==", right] => left == right,
        [left, "!=", right] => left != right,
        [left, sign, right] => {
            let (left, right) = (number(left)?, number(right)?);
            match *sign {
                "-eq" => left == right,
                "-ne" => left != right,
                "-lt" => left < right,
                "-le" => left <= right,
                "-gt" => left > right,
                "-ge" => left >= right,
                _ => return None,
            }
        }
        _ => return None,
    })
}

async fn cd(session: &mut Session, prefix: &str, arguments: &[String], io: &Io) -> Exit {
    let home = || session.variables.get("HOME").unwrap_or_else(|| home(&session.user)).to_owned();
    let to = arguments.first().cloned().unwrap_or_else(home);
    let to = match to.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", home()),
        _ => to,
    };
    match session.files.entry(&session.path(&to)) {
        Ok(entry) if session.files.is_directory(&entry.path) => {
            session.directory = entry.path;
            Exit(0)
        }
        found => {
            let why = if found.is_ok() { "Not a directory" } else { "No such file or directory" };
            io.complain(format!("{prefix}: cd: {to}: {why}\n")).await;
            Exit(1)
        }
    }
}

async fn printenv(session: &Session, names: &[String], io: &Io) -> Exit {
    if names.is_empty() {
        return environment(session, io).await;
    }
    let mut all = true;
    for name in names {
        match session.variables.exported().find(|(exported, _)| exported == name) {
            Some((_, value)) => drop(io.print("printenv", format!("{value}\n")).await),
            None => all = false,
        }
    }
    printed(all)
}

async fn environment(session: &Session, io: &Io) -> Exit {
    let lines = session.variables.exported().map(|(name, value)| format!("{name}={value}\n"));
    printed(io.print("env", lines.collect::<String>()).await)
}

async fn env(session: &mut Session, prefix: &str, arguments: &[String], io: &mut Io) -> Outcome {
    let mut inner = session.fork();
    let mut rest = arguments;
    while let Some((first, after)) = rest.split_first() {
        match first.split_once('=') {
            Some((name, value)) => drop(inner.variables.set(name, value.to_owned(), true)),
            None => break,
        }
        rest = after;
    }
    let Some(name) = rest.first() else { return Outcome::Status(environment(&inner, io).await) };
    let Some(program) = program(name) else {
        io.complain(format!("env: ‘{name}’: No such file or directory\n")).await;
        return Outcome::Status(NOT_FOUND);
    };
    let outcome = Box::pin(run_in(&mut inner, prefix, program, rest, io)).await;
    inner.jobs.outlive(&inner.files).await;
    Outcome::Status(outcome.exit())
}

async fn export(session: &mut Session, prefix: &str, arguments: &[String], io: &Io) -> Exit {
    let mut all = true;
    for argument in arguments {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument.as_str(), None),
        };
        if !is_variable(name) {
            let complaint = format!("{prefix}: export: `{argument}': not a valid identifier\n");
            io.complain(complaint).await;
            all = false;
            continue;
        }
        match value {
            Some(value) => drop(session.variables.set(name, value.to_owned(), true)),
            None => session.variables.export(name),
        }
    }
    printed(all)
}
