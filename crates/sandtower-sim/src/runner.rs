//! What runs a sandbox's commands.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Runs commands. Nothing of it may block.
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Runs one command to its end. Dropping the future kills the command.
    fn run(&self, command: Command, output: Output) -> Running;
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
}

/// How a command ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(pub u8);

/// Where a command writes.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<Chunk>);

/// Something that a command wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Stdout(Bytes),
    Stderr(Bytes),
}

impl Output {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Chunk>) {
        let (sender, receiver) = mpsc::channel(16);
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
