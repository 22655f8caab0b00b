//! What a command of a script reads and writes.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::shell::say;
use crate::files::Files;
use crate::runner::{Input, Output};

/// A command's three streams.
pub(super) struct Io {
    pub(super) input: Source,
    pub(super) output: Sink,
    pub(super) errors: Sink,
}

/// Where a command reads.
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

impl Io {
    /// Prints; the exit code of a command that does nothing else. What does not arrive is
    /// complained of in the name of `who`.
    pub(super) async fn print(&self, who: &str, text: impl Into<Bytes>) -> u8 {
        let Err(reason) = self.output.write(text.into()).await else { return 0 };
        self.complain(format!("{who}: write error: {reason}\n")).await;
        1
    }

    pub(super) async fn complain(&self, text: impl Into<Bytes>) {
        // There is no one left to complain to.
        drop(self.errors.write(text.into()).await);
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
            Self::Held(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
        }
    }
}

impl Sink {
    async fn write(&self, bytes: Bytes) -> Result<(), String> {
        match self {
            _ if bytes.is_empty() => {}
            Self::Stdout(output) => output.stdout(bytes).await,
            Self::Stderr(output) => output.stderr(bytes).await,
            Self::Null => {}
            Self::Pipe(pipe) => pipe.send(bytes).await.map_err(|_| String::from("Broken pipe"))?,
            Self::File { files, path, user } => files.append(path, &bytes, user).map_err(say)?,
        }
        Ok(())
    }
}
