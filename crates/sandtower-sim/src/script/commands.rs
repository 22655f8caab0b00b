//! The commands that are simulated: exactly, or not at all.

use std::time::Duration;

use bytes::Bytes;
use tokio::time;

use super::io::Io;
use super::shell::{Shell, say};
use super::words::{self, Stop};
use crate::files::{FileError, Kind, home};

/// Each command with the flags that it takes; `*` takes whatever comes.
const COMMANDS: &[&str] = &[
    "[ *",
    ": *",
    "cat",
    "cd",
    "echo -n",
    "env",
    "exit *",
    "false *",
    "ls -a",
    "mkdir -p",
    "mv",
    "printf *",
    "pwd",
    "rm -f -r -rf",
    "sleep",
    "true *",
    "wc -c -l",
    "whoami",
];

/// Those that only a shell has.
const OF_SHELL: &[&str] = &[":", "cd", "exit"];

/// Where programs lie.
const BINARIES: &[&str] = &["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin"];

fn not_simulated<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::NotSimulated(what.into()))
}

/// Whether a path names what only a directory of programs can hold.
pub(super) fn lies_among_binaries(path: &str) -> bool {
    path.rsplit_once('/').is_none_or(|(directory, _)| BINARIES.contains(&directory))
}

/// Whether a command is simulated, as far as its words tell before they are expanded.
pub(super) fn check(words: &[&str]) -> Result<(), Stop> {
    let literal = |word: &&str| -> Result<Option<String>, Stop> {
        if word.contains('$') { Ok(None) } else { words::text(word, &|_| String::new()).map(Some) }
    };
    let words: Result<Vec<_>, _> = words.iter().map(literal).collect();
    match words?.as_slice() {
        [] => Ok(()),
        [None, ..] => not_simulated("a command whose name is in a variable"),
        [Some(name), arguments @ ..] => {
            let arguments: Vec<_> = arguments.iter().flatten().map(String::as_str).collect();
            check_flags(name, &arguments).map(|_| ())
        }
    }
}

/// A command's name without its directory, if it takes these flags.
pub(super) fn check_flags<'a>(path: &'a str, arguments: &[&str]) -> Result<&'a str, Stop> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("/bin", path));
    let is_there = BINARIES.contains(&directory) && (path == name || !OF_SHELL.contains(&name));
    let known = COMMANDS.iter().map(|command| command.split(' ').collect::<Vec<_>>());
    let Some(known) = { known }.find(|known| is_there && known[0] == name) else {
        return not_simulated(path);
    };
    let is_flag = |argument: &&&str| argument.len() > 1 && argument.starts_with('-');
    // Behind a word, `echo` knows no flags.
    let mut arguments = arguments.iter().take_while(|word| name != "echo" || is_flag(word));
    match arguments.find(|flag| is_flag(flag) && !known.contains(flag)) {
        Some(flag) if !known.contains(&"*") => not_simulated(format!("{path} {flag}")),
        _ => Ok(name),
    }
}

/// Runs a command; `prefix` is how the shell begins its own complaints.
pub(super) async fn run(
    shell: &mut Shell,
    prefix: &str,
    words: &[String],
    io: &mut Io,
) -> Result<u8, Stop> {
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    let Some((path, arguments)) = all.split_first() else { return Ok(0) };
    let name = check_flags(path, arguments)?;
    let (flags, paths): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|argument| argument.starts_with('-') && argument.len() > 1);
    let has = |flag: char| flags.iter().any(|flags| flags.contains(flag));
    Ok(match name {
        "true" | ":" => 0,
        "false" => 1,
        "exit" => return exit(shell.last, arguments),
        "[" => test(shell, arguments)?,
        "echo" => echo(arguments, io).await,
        "printf" => io.print(name, formatted(arguments)?).await,
        "pwd" => io.print(name, format!("{}\n", shell.directory)).await,
        "whoami" => io.print(name, format!("{}\n", shell.user)).await,
        "env" if paths.is_empty() => {
            let line = |(name, value): (&String, &String)| format!("{name}={value}\n");
            io.print(name, shell.environment.iter().map(line).collect::<String>()).await
        }
        "sleep" => sleep(&paths).await?,
        "cd" => cd(shell, prefix, &paths, io).await,
        "cat" => cat(shell, &paths, io).await,
        "wc" if flags.len() == 1 && paths.len() <= 1 => wc(shell, flags[0], &paths, io).await,
        "ls" if paths.len() <= 1 => ls(shell, &paths, has('a'), io).await,
        "mkdir" => each(&paths, io, |path| mkdir(shell, path, has('p'))).await,
        "rm" => each(&paths, io, |path| rm(shell, path, has('r'), has('f'))).await,
        "mv" if paths.len() == 2 => each(&paths[..1], io, |from| mv(shell, from, paths[1])).await,
        _ => return not_simulated(format!("{name} with these arguments")),
    })
}

/// Does something with each path and prints why it fails, where it does.
async fn each(paths: &[&str], io: &Io, work: impl Fn(&str) -> Result<(), String>) -> u8 {
    let mut code = 0;
    for complaint in paths.iter().filter_map(|path| work(path).err()) {
        io.complain(complaint + "\n").await;
        code = 1;
    }
    code
}

fn exit(last: u8, arguments: &[&str]) -> Result<u8, Stop> {
    let code = match arguments {
        [] => Some(last),
        // An exit code has eight bits.
        [code] => code.parse::<i64>().ok().map(|code| code.to_le_bytes()[0]),
        _ => None,
    };
    code.map_or_else(|| not_simulated("exit with no number"), |code| Err(Stop::Exit(code)))
}

async fn echo(arguments: &[&str], io: &Io) -> u8 {
    let (words, end) = match arguments {
        ["-n", words @ ..] => (words, ""),
        words => (words, "\n"),
    };
    io.print("echo", words.join(" ") + end).await
}

/// `printf` of a format with as many `%s` as there are arguments.
fn formatted(arguments: &[&str]) -> Result<String, Stop> {
    let (format, words) = arguments.split_first().unwrap_or((&"%", &[]));
    let plain = format.replace("\\n", "\n").replace("\\t", "\t");
    let pieces: Vec<_> = plain.split("%s").collect();
    if pieces.len() != words.len() + 1 || plain.contains('\\') || pieces.concat().contains('%') {
        return not_simulated(format!("printf {format}"));
    }
    let rest = pieces[1..].iter().zip(words).map(|(piece, word)| [*word, *piece].concat());
    Ok(pieces[0].to_owned() + &rest.collect::<String>())
}

async fn sleep(intervals: &[&str]) -> Result<u8, Stop> {
    let seconds = match intervals {
        [seconds] => seconds.parse().ok().filter(|seconds| *seconds >= 0.0),
        _ => None,
    };
    let Some(seconds) = seconds else { return not_simulated("sleep of no number of seconds") };
    // More than the clock can count is forever.
    time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).await;
    Ok(0)
}

/// `[ ... ]` of one condition, which `!` negates.
fn test(shell: &Shell, arguments: &[&str]) -> Result<u8, Stop> {
    let [words @ .., "]"] = arguments else { return not_simulated("[ without ]") };
    let (negated, words) = match words {
        ["!", rest @ ..] => (true, rest),
        all => (false, all),
    };
    let kind = |path: &str| shell.files.entry(&shell.path(path)).map(|entry| entry.kind).ok();
    let holds = match words {
        [] => false,
        [text] | ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        ["-e", path] => kind(path).is_some(),
        ["-f", path] => kind(path) == Some(Kind::File),
        ["-d", path] => kind(path) == Some(Kind::Directory),
        [left, "=" | "==", right] => left == right,
        [left, "!=", right] => left != right,
        _ => return not_simulated(format!("[ {} ]", words.join(" "))),
    };
    Ok(u8::from(holds == negated))
}

async fn cd(shell: &mut Shell, prefix: &str, paths: &[&str], io: &Io) -> u8 {
    let home = shell.environment.get("HOME").cloned().unwrap_or_else(|| home("user").to_owned());
    let to = paths.first().map_or(home, |path| (*path).to_owned());
    let problem = match shell.files.entry(&shell.path(&to)) {
        _ if paths.len() > 1 => String::from("too many arguments"),
        Ok(entry) if entry.kind == Kind::Directory => {
            shell.environment.insert(String::from("PWD"), entry.path.clone());
            shell.directory = entry.path;
            return 0;
        }
        found => format!("{to}: {}", say(found.err().unwrap_or(FileError::NotDirectory))),
    };
    io.complain(format!("{prefix}: cd: {problem}\n")).await;
    1
}

async fn cat(shell: &Shell, paths: &[&str], io: &mut Io) -> u8 {
    let mut code = 0;
    for path in if paths.is_empty() { &["-"] } else { paths } {
        if *path == "-" {
            while let Some(bytes) = io.input.read().await {
                if io.print("cat", bytes).await > 0 {
                    return 1;
                }
            }
            continue;
        }
        match read(shell, path) {
            Ok(content) => code |= io.print("cat", content).await,
            Err(error) => {
                io.complain(format!("cat: {path}: {}\n", say(error))).await;
                code = 1;
            }
        }
    }
    code
}

pub(super) fn read(shell: &Shell, path: &str) -> Result<Bytes, FileError> {
    if path == "/dev/null" { Ok(Bytes::new()) } else { shell.files.read(&shell.path(path)) }
}

/// `wc` of one count and one file: the real one does not align that.
async fn wc(shell: &Shell, flag: &str, paths: &[&str], io: &mut Io) -> u8 {
    let mut count = 0;
    let mut add = |content: &[u8]| {
        count += content.iter().filter(|byte| flag == "-c" || **byte == b'\n').count();
    };
    let mut of = String::new();
    match paths.first().map(|path| (path, read(shell, path))) {
        Some((path, Ok(content))) => {
            add(&content);
            of = format!(" {path}");
        }
        Some((path, Err(error))) => {
            io.complain(format!("wc: {path}: {}\n", say(error))).await;
            return 1;
        }
        None => {
            while let Some(bytes) = io.input.read().await {
                add(&bytes);
            }
        }
    }
    io.print("wc", format!("{count}{of}\n")).await
}

async fn ls(shell: &Shell, paths: &[&str], all: bool, io: &Io) -> u8 {
    let path = paths.first().unwrap_or(&".");
    let listed = shell.files.entry(&shell.path(path)).and_then(|entry| match entry.kind {
        Kind::File => Ok(format!("{path}\n")),
        Kind::Directory => {
            let entries = shell.files.list(&entry.path, 1)?;
            let names = entries.iter().map(|entry| entry.name());
            let names = names.filter(|name| all || !name.starts_with('.'));
            let own = if all { ".\n..\n" } else { "" };
            Ok(names.fold(own.to_owned(), |lines, name| lines + name + "\n"))
        }
    });
    match listed {
        Ok(lines) => io.print("ls", lines).await,
        Err(error) => {
            io.complain(format!("ls: cannot access '{path}': {}\n", say(error))).await;
            2
        }
    }
}

fn mkdir(shell: &Shell, path: &str, parents: bool) -> Result<(), String> {
    let full = shell.path(path);
    let above = full.trim_end_matches('/').rsplit_once('/').map_or("/", |(above, _)| above);
    let done = if parents || shell.files.is_directory(above) {
        shell.files.make_directory(&full, &shell.user)
    } else {
        Err(FileError::NotFound)
    };
    match done {
        Err(FileError::Exists) if parents && shell.files.is_directory(&full) => Ok(()),
        done => done.map_err(|e| format!("mkdir: cannot create directory ‘{path}’: {}", say(e))),
    }
}

fn rm(shell: &Shell, path: &str, recursive: bool, force: bool) -> Result<(), String> {
    let full = shell.path(path);
    let done = if shell.files.is_directory(&full) && !recursive {
        Err(FileError::IsDirectory)
    } else {
        shell.files.remove(&full)
    };
    match done {
        Err(FileError::NotFound) if force => Ok(()),
        done => done.map_err(|error| format!("rm: cannot remove '{path}': {}", say(error))),
    }
}

fn mv(shell: &Shell, from: &str, to: &str) -> Result<(), String> {
    let (source, mut target, mut shown) = (shell.path(from), shell.path(to), to.to_owned());
    let cannot_stat = |error| format!("mv: cannot stat '{from}': {}", say(error));
    shell.files.entry(&source).map_err(cannot_stat)?;
    if shell.files.is_directory(&target) {
        let base = source.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        (target, shown) = (format!("{target}/{base}"), format!("{to}/{base}"));
    }
    let moved = shell.files.rename(&source, &target, &shell.user);
    moved.map_err(|error| format!("mv: cannot move '{from}' to '{shown}': {}", say(error)))
}
