//! The commands that there are.

use std::time::Duration;

use tokio::time;

use crate::runner::{Exit, Output};

/// What follows from a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ended so, and the script goes on.
    Status(Exit),
    /// The script ends so.
    Leave(Exit),
}

/// Where a command's standard output goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Redirected<'a> {
    pub(super) output: &'a Output,
    pub(super) to_stderr: bool,
}

impl Redirected<'_> {
    async fn write(self, text: String) {
        if self.to_stderr {
            self.output.stderr(text).await;
        } else {
            self.output.stdout(text).await;
        }
    }
}

/// Runs a command of a script; `prefix` is how bash begins its complaints.
pub(super) async fn in_script(
    prefix: &str,
    words: &[String],
    to: Redirected<'_>,
    last: Exit,
) -> Outcome {
    let Some((name, arguments)) = words.split_first() else { return Outcome::Status(last) };
    match name.as_str() {
        "echo" => echo(arguments, to).await,
        "sleep" => sleep(arguments, to.output).await,
        "exit" => exit(prefix, arguments, to.output, last).await,
        "true" => Outcome::Status(Exit(0)),
        "false" => Outcome::Status(Exit(1)),
        _ => {
            to.output.stderr(format!("{prefix}: {name}: command not found\n")).await;
            Outcome::Status(Exit(127))
        }
    }
}

/// Runs a program that was started without a shell; `None` if there is none of that name.
pub(super) async fn run(program: &str, words: &[String], output: &Output) -> Option<Outcome> {
    let name = words.first().map(String::as_str)?;
    if !matches!(name, "echo" | "sleep" | "true" | "false") {
        return None;
    }
    Some(in_script(program, words, Redirected { output, to_stderr: false }, Exit(0)).await)
}

async fn echo(arguments: &[String], to: Redirected<'_>) -> Outcome {
    let (end, words) = match arguments.split_first() {
        Some((flag, rest)) if flag == "-n" => ("", rest),
        _ => ("\n", arguments),
    };
    to.write(words.join(" ") + end).await;
    Outcome::Status(Exit(0))
}

async fn sleep(arguments: &[String], output: &Output) -> Outcome {
    let mut total = Duration::ZERO;
    for argument in arguments {
        let Some(interval) = interval(argument) else {
            output.stderr(format!("sleep: invalid time interval ‘{argument}’\n")).await;
            return Outcome::Status(Exit(1));
        };
        total = total.saturating_add(interval);
    }
    if arguments.is_empty() {
        output.stderr("sleep: missing operand\n").await;
        return Outcome::Status(Exit(1));
    }
    time::sleep(total).await;
    Outcome::Status(Exit(0))
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

async fn exit(prefix: &str, arguments: &[String], output: &Output, last: Exit) -> Outcome {
    let Some(argument) = arguments.first() else { return Outcome::Leave(last) };
    match argument.parse::<i64>() {
        // An exit code has eight bits.
        Ok(code) => Outcome::Leave(Exit(code.to_le_bytes()[0])),
        Err(_) => {
            let complaint = format!("{prefix}: exit: {argument}: numeric argument required\n");
            output.stderr(complaint).await;
            Outcome::Leave(Exit(2))
        }
    }
}
