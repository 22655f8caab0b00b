//! Running a program and keeping what it prints.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long to go on listening, after a program has ended, to what it left running.
const LINGER: Duration = Duration::from_secs(1);

/// When what a program prints is to be seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Show {
    /// Line by line, as it comes.
    Live,
    /// When it is asked for: after a failure.
    Later,
}

/// How a program ended, and all that it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) succeeded: bool,
    pub(crate) lines: Vec<String>,
}

impl Finished {
    /// The last thing it said: of an error, the part that tells most.
    pub(crate) fn last_words(&self) -> &str {
        let said = self.lines.iter().rev().find(|line| !line.trim().is_empty());
        said.map_or("it said nothing", |line| line.trim())
    }
}

/// Runs a program to its end, with nothing to read from.
pub(crate) fn run(command: &mut Command, show: Show) -> io::Result<Finished> {
    // One pipe for both streams keeps their lines in order.
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let spawned = command.spawn();
    // Our own ends of the pipe would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = spawned.map_err(|error| named(command, &error))?;
    let receiver = lines_of(reader);

    let mut lines = Vec::new();
    let mut ended: Option<ExitStatus> = None;
    loop {
        match receiver.recv_timeout(LINGER) {
            Ok(line) => {
                if show == Show::Live {
                    println!("{line}");
                }
                lines.push(line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // A program that it started may hold the pipe open forever.
            Err(RecvTimeoutError::Timeout) if ended.is_some() => break,
            Err(RecvTimeoutError::Timeout) => ended = child.try_wait()?,
        }
    }
    let status = child.wait()?;
    Ok(Finished { succeeded: status.success(), lines })
}

fn named(command: &Command, error: &io::Error) -> io::Error {
    let program = command.get_program().to_string_lossy();
    io::Error::new(error.kind(), format!("`{program}` could not be started: {error}"))
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Finished {
        run(Command::new("sh").args(["-c", script]), Show::Later).unwrap()
    }

    #[test]
    fn keeps_both_streams_in_order_and_the_end() {
        let finished = shell("echo out; echo err >&2; echo more; exit 3");
        assert!(!finished.succeeded);
        assert_eq!(finished.lines, ["out", "err", "more"]);
    }

    #[test]
    fn last_words_skip_empty_lines() {
        assert_eq!(shell("echo first; echo '  second '; echo").last_words(), "second");
        assert_eq!(shell("true").last_words(), "it said nothing");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_reading() {
        assert_eq!(shell(r"printf '\377\n'; echo after").last_words(), "after");
    }

    #[test]
    fn what_was_left_running_is_not_waited_for() {
        assert_eq!(shell("(sleep 5; echo late) & echo early").lines, ["early"]);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("no-such-program"), Show::Later).unwrap_err();
        assert!(error.to_string().contains("no-such-program"));
    }
}
