//! What a command of a script reads and writes.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::say;
use crate::{
    files::Files,
    runner::{Input, Output},
};

/// A command's three streams.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) input: Source,
    pub(super) output: Sink,
    pub(super) errors: Sink,
}

/// Where a command reads.
#[derive(Debug)]
pub(super) enum Source {
    Live(Input),
    Held(Bytes),
}

/// Where a command writes.
#[derive(Clone, Debug)]
pub(super) enum Sink {
    Stdout(Output),
    Stderr(Output),
    Pipe(mpsc::Sender<Bytes>),
    File { files: Files, path: String, user: String },
    Null,
}

/// What was written did not all arrive.
#[derive(Debug)]
pub(super) struct WriteError(String);

impl Io {
    pub(super) fn of(input: Input, output: &Output) -> Self {
        Self {
            input: Source::Live(input),
            output: Sink::Stdout(output.clone()),
            errors: Sink::Stderr(output.clone()),
        }
    }

    /// The streams of a command whose output is what another one reads.
    pub(super) fn into_pipe(self, input: Source) -> (Self, Source) {
        let (sender, reader) = Input::pipe();
        let io = Self { input: self.input, output: Sink::Pipe(sender), errors: self.errors };
        drop(input);
        (io, Source::Live(reader))
    }

    /// Prints; what does not arrive is complained of in the name of `who`.
    pub(super) async fn print(&self, who: &str, text: impl Into<Bytes>) -> bool {
        match self.output.write(text.into()).await {
            Ok(()) => true,
            Err(WriteError(reason)) => {
                self.complain(format!("{who}: write error: {reason}\n")).await;
                false
            }
        }
    }

    pub(super) async fn complain(&self, text: impl Into<Bytes>) {
        // There is no one left to complain to.
        drop(self.errors.write(text.into()).await);
    }

    /// Whether a process that lives on keeps one of the caller's streams open.
    pub(super) fn is_attached(&self) -> bool {
        let outside = |sink: &Sink| !matches!(sink, Sink::File { .. } | Sink::Null);
        outside(&self.output) || outside(&self.errors)
    }
}

impl Source {
    pub(super) fn empty() -> Self {
        Self::Held(Bytes::new())
    }

    /// What comes next; `None` at the end.
    pub(super) async fn read(&mut self) -> Option<Bytes> {
        match self {
            Self::Live(input) => input.read().await,
            Self::Held(bytes) => {
                let bytes = std::mem::take(bytes);
                Some(bytes).filter(|bytes| !bytes.is_empty())
            }
        }
    }
}

impl Sink {
    async fn write(&self, bytes: Bytes) -> Result<(), WriteError> {
        match self {
            _ if bytes.is_empty() => {}
            Self::Stdout(output) => output.stdout(bytes).await,
            Self::Stderr(output) => output.stderr(bytes).await,
            Self::Null => {}
            Self::Pipe(pipe) => {
                let broken = |_| WriteError(String::from("Broken pipe"));
                pipe.send(bytes).await.map_err(broken)?;
            }
            Self::File { files, path, user } => {
                let full = |error| WriteError(say(error));
                files.append(path, &bytes, user).map_err(full)?;
            }
        }
        Ok(())
    }
}
