//! What runs a sandbox's commands.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::files::Files;

/// Runs commands. Nothing of it may block.
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Runs one command to its end. Dropping the future kills the command.
    fn run(&self, command: Command, input: Input, output: Output) -> Running;
}

/// A command that runs.
pub type Running = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// What is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Command {
    /// The program.
    pub program: String,
    /// Its arguments, without the program's name.
    pub arguments: Vec<String>,
    /// Its environment: the sandbox's, and over it the request's.
    pub environment: BTreeMap<String, String>,
    /// The directory that it starts in.
    pub directory: String,
    /// The user that it runs as.
    pub user: String,
    /// Its number in the sandbox.
    pub pid: u32,
    /// The sandbox's files.
    pub files: Files,
}

/// How a command ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// What a command reads: its standard input.
#[derive(Debug)]
pub struct Input(Option<mpsc::Receiver<Bytes>>);

/// Where a command writes.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<Chunk>);

/// Something that a command wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Stdout(Bytes),
    Stderr(Bytes),
}

/// Chunks that lie between a writer and a reader.
const PIPE: usize = 16;

impl Input {
    /// An input at its end.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// A pipe: what is sent can be read; the input ends when the sender is dropped.
    pub(crate) fn pipe() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(PIPE);
        (sender, Self(Some(receiver)))
    }

    /// What comes next; `None` at the end.
    pub async fn read(&mut self) -> Option<Bytes> {
        self.0.as_mut()?.recv().await
    }
}

impl Output {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Chunk>) {
        let (sender, receiver) = mpsc::channel(PIPE);
        (Self(sender), receiver)
    }

    /// Writes to standard output; waits while the reader is slow.
    pub async fn stdout(&self, bytes: impl Into<Bytes>) {
        self.write(Chunk::Stdout(bytes.into())).await;
    }

    /// Writes to standard error; waits while the reader is slow.
    pub async fn stderr(&self, bytes: impl Into<Bytes>) {
        self.write(Chunk::Stderr(bytes.into())).await;
    }

    async fn write(&self, chunk: Chunk) {
        // Without a reader the command is about to be killed.
        drop(self.0.send(chunk).await);
    }
}
