//! The runner that is used unless another is given: a small part of bash and of Python.

mod commands;
mod io;
mod python;
mod shell;
mod words;

use std::{collections::BTreeMap, sync::Arc};

use tokio::{select, task::JoinSet};

use crate::runner::{self, Command, Event, Exit, Kernel, Runner, Running, Signal};

use io::{Io, Sink, Source};
use shell::Shell;
use words::{Stop, Token};

/// A small part of bash and of Python, over the sandbox's own files and never the host's.
///
/// Of bash: several lines, `;`, `&&`, `||`, `&`, pipes, redirections, `$NAME`, `$?`, `NAME=value`,
/// quotes, `if [ ]`, and the commands `[`, `:`, `cat`, `cd`, `echo`, `env`, `exit`, `false`, `ls`,
/// `mkdir`, `mv`, `printf`, `pwd`, `rm`, `sleep`, `true`, `wc` and `whoami`. Of Python: `print`,
/// assignments, `+` and `*` of whole numbers and texts, `os.environ[..]`, `raise` and `time.sleep`.
/// Sleeping is on tokio's clock.
///
/// Whatever else a script or a cell holds, none of it is run: a command says `not simulated: ..` on
/// its standard error and exits with 127, a cell ends with a `NotImplementedError`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ScriptedRunner;

impl Runner for ScriptedRunner {
    fn run(&self, command: Command, io: runner::Io) -> Running {
        Box::pin(async move {
            let runner::Io { input, output, mut events } = io;
            let io = Io {
                input: Source::Live(input),
                output: Sink::Stdout(output.clone()),
                errors: Sink::Stderr(output),
            };
            let terminated =
                async { while events.next().await != Event::Signal(Signal::Terminate) {} };
            select! {
                biased;
                () = terminated => Exit::Signal(Signal::Terminate),
                code = run(command, io) => Exit::Code(code),
            }
        })
    }

    fn kernel(&self, language: &str) -> Option<Arc<dyn Kernel>> {
        (language == "python").then(|| Arc::new(python::Python::default()) as Arc<dyn Kernel>)
    }
}

async fn run(command: Command, io: Io) -> u8 {
    let is_missing = command.program.is_empty()
        || !commands::lies_among_binaries(&command.program)
            && command.files.entry(&command.program).is_err();
    if is_missing {
        // envd starts every command through `nice`, which is who complains.
        let problem = format!("'{}': No such file or directory", command.program);
        io.complain(format!("/usr/bin/nice: {problem}\n")).await;
        return 127;
    }
    let read = read(&command);
    let shell = Shell {
        environment: command.environment,
        variables: BTreeMap::new(),
        directory: command.directory,
        user: command.user,
        files: command.files,
        name: Arc::from(command.program),
        last: 0,
        tokens: read.as_deref().unwrap_or_default().into(),
        at: 0,
        depth: 0,
        jobs: JoinSet::new(),
    };
    match read {
        Ok(_) => shell.script(io).await,
        Err(stop) => shell.end(Err(stop), io).await,
    }
}

/// What a command is to do: its script, or itself.
fn read(command: &Command) -> Result<Vec<(usize, Token)>, Stop> {
    let (path, arguments) = (&command.program, &command.arguments);
    if !matches!(path.rsplit('/').next(), Some("bash" | "sh")) {
        let quoted = |text: &String| format!("'{}'", text.replace('\'', r"'\''"));
        let words = std::iter::once(path).chain(arguments).map(quoted);
        return Ok(words.map(|word| (1, Token::Word(word))).collect());
    }
    match arguments.as_slice() {
        [options @ .., flag, script] if flag == "-c" && options.iter().all(|o| o == "-l") => {
            words::tokens(script)
        }
        _ => Err(Stop::NotSimulated(format!("{path} other than `-l -c SCRIPT`"))),
    }
}

#[cfg(test)]
mod tests;
