//! The runner that is used unless another is given: a few commands, and nothing of the host.

mod builtin;
mod expand;
mod files;
mod io;
mod jobs;
mod lexer;
mod print;
mod syntax;
mod variables;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::{
    files::{FileError, Files},
    runner::{Command, Exit, Input, Output, Runner, Running},
};

use builtin::Outcome;
use io::{Io, Sink, Source};
use jobs::Jobs;
use syntax::{Join, Redirection, Script, Simple, Step, Stream};
use variables::Variables;

/// What bash answers for a command line that it cannot read.
const SYNTAX_ERROR: Exit = Exit(2);
const NOT_FOUND: Exit = Exit(127);

/// Shells within shells.
const MAX_DEPTH: u32 = 16;

/// A small bash: it has pipes, redirections, variables, `&`, `&&`, `||` and `;`, and the commands
/// `[`, `:`, `bash`, `cat`, `cd`, `chmod`, `cp`, `echo`, `env`, `exit`, `export`, `false`, `ls`, `mkdir`,
/// `mv`, `printenv`, `printf`, `pwd`, `rm`, `seq`, `sh`, `sleep`, `tee`, `test`, `touch`, `true`,
/// `unset`, `wait`, `wc` and `whoami`.
///
/// It works on the sandbox's own files and never on the host's. Sleeping is on tokio's clock.
/// What it cannot read it refuses as a whole, as bash does with a syntax error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shell;

impl Runner for Shell {
    fn run(&self, command: Command, input: Input, output: Output) -> Running {
        Box::pin(async move {
            let mut io = Io::of(input, &output);
            let words: Vec<String> =
                std::iter::once(command.program.clone()).chain(command.arguments).collect();
            let mut session = Session {
                variables: Variables::of(command.environment),
                directory: command.directory,
                user: command.user,
                files: command.files,
                name: Arc::from(command.program.as_str()),
                arguments: Vec::new(),
                last: Exit(0),
                pid: command.pid,
                last_job: None,
                depth: 0,
                jobs: Jobs::default(),
            };
            let exit = match builtin::program(&command.program) {
                Some(name) => builtin::run(&mut session, name, &words, &mut io).await.exit(),
                None => no_such_program(&command.program, &io).await,
            };
            // Its own outputs are closed only when those that it left behind have ended.
            session.jobs.outlive(&session.files).await;
            exit
        })
    }
}

/// envd starts every command through `nice`, which is who complains.
async fn no_such_program(program: &str, io: &Io) -> Exit {
    io.complain(format!("/usr/bin/nice: '{program}': No such file or directory\n")).await;
    NOT_FOUND
}

/// A command that runs in a shell.
type Working<'a> = std::pin::Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One shell.
#[derive(Debug)]
struct Session {
    variables: Variables,
    directory: String,
    user: String,
    files: Files,
    /// What it was started as: complaints begin with it.
    name: Arc<str>,
    /// `$1` and so on.
    arguments: Vec<String>,
    last: Exit,
    pid: u32,
    last_job: Option<u32>,
    depth: u32,
    jobs: Jobs,
}

impl Session {
    /// A copy that changes nothing here: what runs in a pipe or in the background.
    fn fork(&self) -> Self {
        Self {
            variables: self.variables.clone(),
            directory: self.directory.clone(),
            user: self.user.clone(),
            files: self.files.clone(),
            name: Arc::clone(&self.name),
            arguments: self.arguments.clone(),
            last: self.last,
            pid: self.pid,
            last_job: self.last_job,
            depth: self.depth,
            jobs: Jobs::default(),
        }
    }

    fn path(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.directory) }
    }

    /// Runs a script to its end; the exit is that of its last command.
    async fn script(&mut self, text: &str, io: &mut Io) -> Exit {
        if self.depth >= MAX_DEPTH {
            let complaint =
                format!("{}: fork: retry: Resource temporarily unavailable\n", self.name);
            io.complain(complaint).await;
            return Exit(254);
        }
        let script = match Script::parse(text) {
            Ok(script) => script,
            Err(error) => {
                let complaint = format!("{}: -c: line {}: {error}\n", self.name, error.line);
                io.complain(complaint).await;
                return SYNTAX_ERROR;
            }
        };
        for step in script.steps {
            let runs = match step.join {
                Join::Always => true,
                Join::IfOk => self.last == Exit(0),
                Join::IfFailed => self.last != Exit(0),
            };
            if !runs {
                continue;
            }
            if step.background {
                self.background(step, io).await;
                continue;
            }
            match self.pipeline(step.commands, io).await {
                Outcome::Status(exit) => self.last = exit,
                Outcome::Leave(exit) => return exit,
            }
        }
        self.last
    }

    async fn background(&mut self, step: Step, io: &Io) {
        let Some(pid) = self.jobs.next(self.pid) else {
            let complaint =
                format!("{}: fork: retry: Resource temporarily unavailable\n", self.name);
            io.complain(complaint).await;
            self.last = Exit(254);
            return;
        };
        let attached = io.is_attached() && !step.commands.iter().all(redirects_all);
        let mut io = if attached {
            let (output, errors) = (io.output.clone(), io.errors.clone());
            Io { input: Source::empty(), output, errors }
        } else {
            Io { input: Source::empty(), output: Sink::Null, errors: Sink::Null }
        };
        let mut session = self.fork();
        let task = async move {
            session.pipeline(step.commands, &mut io).await;
            drop(io);
            session.jobs.outlive(&session.files).await;
        };
        self.jobs.spawn(attached, task);
        self.last_job = Some(pid);
        self.last = Exit(0);
    }

    async fn pipeline(&mut self, mut commands: Vec<Simple>, io: &mut Io) -> Outcome {
        let Some(last) = commands.pop() else { return Outcome::Status(self.last) };
        if commands.is_empty() {
            return self.simple(last, io).await;
        }
        // Every command of a pipe is a shell of its own, and they all run at once.
        let mut running = JoinSet::new();
        let mut input = std::mem::replace(&mut io.input, Source::empty());
        for command in commands {
            let stage = Io {
                input: std::mem::replace(&mut input, Source::empty()),
                output: Sink::Null,
                errors: io.errors.clone(),
            };
            let (mut stage, reader) = stage.into_pipe(Source::empty());
            input = reader;
            let mut session = self.fork();
            running.spawn(async move {
                session.simple(command, &mut stage).await;
                drop(stage);
                session.jobs.outlive(&session.files).await;
            });
        }
        let mut stage = Io { input, output: io.output.clone(), errors: io.errors.clone() };
        let mut session = self.fork();
        let outcome = session.simple(last, &mut stage).await;
        drop(stage);
        session.jobs.outlive(&session.files).await;
        while running.join_next().await.is_some() {}
        Outcome::Status(outcome.exit())
    }

    /// Boxed, and said to be `Send`: a command may be a shell, which runs commands.
    fn simple<'a>(&'a mut self, command: Simple, io: &'a mut Io) -> Working<'a> {
        Box::pin(self.perform(command, io))
    }

    async fn perform(&mut self, command: Simple, io: &mut Io) -> Outcome {
        let prefix = format!("{}: line {}", self.name, command.line);
        let expanded = self.expand_all(&command.words);
        let Ok(words) = expanded else {
            io.complain(format!("{prefix}: Argument list too long\n")).await;
            return Outcome::Status(Exit(126));
        };
        let redirected = match self.redirect(&command.redirections, io) {
            Ok(redirected) => redirected,
            Err((path, error)) => {
                io.complain(format!("{prefix}: {path}: {}\n", say(error))).await;
                return Outcome::Status(Exit(1));
            }
        };
        let mut assigned = Vec::new();
        for (name, word) in &command.assignments {
            let value = self.expand_text(word);
            assigned.push((name.clone(), self.variables.set(name, value, !words.is_empty())));
        }
        let Some(name) = words.first() else { return Outcome::Status(Exit(0)) };
        let mut inner = Io {
            input: std::mem::replace(&mut io.input, Source::empty()),
            output: redirected.output,
            errors: redirected.errors,
        };
        let kept = match redirected.input {
            Some(input) => Some(std::mem::replace(&mut inner.input, input)),
            None => None,
        };
        let outcome = match builtin::named(name) {
            Some(name) => builtin::run_in(self, &prefix, name, &words, &mut inner).await,
            None => {
                inner.complain(format!("{prefix}: {name}: {}\n", missing(name))).await;
                Outcome::Status(NOT_FOUND)
            }
        };
        io.input = kept.unwrap_or(inner.input);
        // What was set for the command alone is over with it.
        for (name, before) in assigned.into_iter().rev() {
            self.variables.put_back(&name, before);
        }
        outcome
    }

    /// What a command's streams are, or the file that could not be opened.
    fn redirect(
        &self,
        redirections: &[Redirection],
        io: &Io,
    ) -> Result<Redirected, (String, FileError)> {
        let mut streams =
            Redirected { input: None, output: io.output.clone(), errors: io.errors.clone() };
        for redirection in redirections {
            match redirection {
                Redirection::Input(from) => {
                    let from = self.expand_text(from);
                    let held = if from == "/dev/null" {
                        Ok(bytes::Bytes::new())
                    } else {
                        self.files.read(&self.path(&from))
                    };
                    streams.input = Some(Source::Held(held.map_err(|error| (from, error))?));
                }
                Redirection::Output { stream, append, to } => {
                    let to = self.expand_text(to);
                    let sink = self.open(&to, *append).map_err(|error| (to, error))?;
                    if *stream != Stream::Stderr {
                        streams.output = sink.clone();
                    }
                    if *stream != Stream::Stdout {
                        streams.errors = sink;
                    }
                }
                Redirection::Copy { stream: Stream::Stdout, of: Stream::Stderr } => {
                    streams.output = streams.errors.clone();
                }
                Redirection::Copy { stream: Stream::Stderr, of: Stream::Stdout } => {
                    streams.errors = streams.output.clone();
                }
                Redirection::Copy { .. } => {}
            }
        }
        Ok(streams)
    }

    fn open(&self, to: &str, append: bool) -> Result<Sink, FileError> {
        if to == "/dev/null" {
            return Ok(Sink::Null);
        }
        if to.is_empty() {
            return Err(FileError::NotFound);
        }
        let path = self.path(to);
        if append {
            self.files.append(&path, b"", &self.user)?;
        } else {
            self.files.truncate(&path, &self.user)?;
        }
        Ok(Sink::File { files: self.files.clone(), path, user: self.user.clone() })
    }
}

struct Redirected {
    input: Option<Source>,
    output: Sink,
    errors: Sink,
}

/// Whether a command keeps none of its caller's outputs.
fn redirects_all(command: &Simple) -> bool {
    let to_file = |wanted: Stream| {
        command.redirections.iter().any(|redirection| match redirection {
            Redirection::Output { stream, .. } => *stream == wanted || *stream == Stream::Both,
            Redirection::Copy { stream, .. } => *stream == wanted,
            Redirection::Input(_) => false,
        })
    };
    to_file(Stream::Stdout) && to_file(Stream::Stderr)
}

fn missing(name: &str) -> &'static str {
    if name.contains('/') { "No such file or directory" } else { "command not found" }
}

/// What programs say of an error.
fn say(error: FileError) -> String {
    let text = error.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests;
