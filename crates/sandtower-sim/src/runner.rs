//! What runs a sandbox's commands and code.

use std::pin::{Pin, pin};
use std::{collections::BTreeMap, fmt, future::Future, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use tokio::{select, sync::mpsc};

use crate::files::Files;

/// Runs commands and code. No method may block.
pub trait Runner: fmt::Debug + Send + Sync + 'static {
    /// Runs one command to its end. Dropping the future kills the command.
    fn run(&self, command: Command, io: Io) -> Running;

    /// The kernel of a new context in this language; `None` if the runner does not have it.
    fn kernel(&self, language: &str) -> Option<Arc<dyn Kernel>>;

    /// Whether commands may have a terminal; without, envd responds `unimplemented`.
    fn has_terminals(&self) -> bool {
        false
    }
}

/// The state of one code context: what a cell sets is there for the next.
pub trait Kernel: fmt::Debug + Send + Sync + 'static {
    /// Runs one cell to its end. Dropping the future interrupts it.
    fn execute(&self, cell: Cell, output: Output) -> Executing;
}

/// A command that runs.
pub type Running = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// A cell that runs: its result in text, if its last statement has one.
pub type Executing = Pin<Box<dyn Future<Output = Result<Option<String>, Exception>> + Send>>;

/// A command to run.
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
    /// The size of its terminal, if it has one.
    pub terminal: Option<Size>,
}

/// Code to run in a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cell {
    /// The code.
    pub code: String,
    /// Its environment: the sandbox's, and over it the request's.
    pub environment: BTreeMap<String, String>,
    /// The context's directory.
    pub directory: String,
    /// The sandbox's files.
    pub files: Files,
}

/// An exception that ended a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exception {
    /// Its class.
    pub name: String,
    /// Its message.
    pub value: String,
    /// The text that a person reads.
    pub traceback: String,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exit {
    /// It exited with this code.
    Code(u8),
    /// A signal ended it.
    Signal(Signal),
}

/// A signal to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// SIGTERM: the runner gets it, and ends the command or does not.
    Terminate,
    /// SIGKILL: the command's future is dropped.
    Kill,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "their names say it")]
pub struct Size {
    #[serde(rename = "cols")]
    pub columns: u16,
    pub rows: u16,
}

/// Something that happens to a command while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A signal that can be handled.
    Signal(Signal),
    /// Its terminal has another size.
    Resize(Size),
}

/// The streams of a command.
#[derive(Debug)]
#[expect(missing_docs, reason = "their types say it")]
pub struct Io {
    pub input: Input,
    pub output: Output,
    pub events: Events,
}

/// What a command reads: its standard input.
#[derive(Debug)]
pub struct Input(Option<mpsc::Receiver<Bytes>>);

/// Where a command writes.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<Chunk>);

/// What happens to a command from outside.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

/// Something that a command wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// `stdout` or `stderr`.
    pub(crate) stream: &'static str,
    pub(crate) bytes: Bytes,
}

/// Runs a command or a cell to its end, and hands on what it writes. A runner may keep its output:
/// nothing that it writes after the end counts.
pub(crate) async fn drive<T, Told: Future<Output = ()>>(
    running: impl Future<Output = T>,
    mut chunks: mpsc::Receiver<Chunk>,
    tell: impl Fn(Chunk) -> Told,
) -> T {
    let mut running = pin!(running);
    let outcome = loop {
        select! {
            biased;
            Some(chunk) = chunks.recv() => tell(chunk).await,
            outcome = &mut running => break outcome,
        }
    };
    chunks.close();
    while let Some(chunk) = chunks.recv().await {
        tell(chunk).await;
    }
    outcome
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

    /// The next bytes; `None` at the end. Cancel safe.
    pub async fn read(&mut self) -> Option<Bytes> {
        self.0.as_mut()?.recv().await
    }
}

impl Output {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Chunk>) {
        let (sender, receiver) = mpsc::channel(PIPE);
        (Self(sender), receiver)
    }

    /// Writes to standard output, or to the terminal; waits while the reader is slow.
    pub async fn stdout(&self, bytes: impl Into<Bytes>) {
        self.write("stdout", bytes.into()).await;
    }

    /// Writes to standard error; waits while the reader is slow.
    pub async fn stderr(&self, bytes: impl Into<Bytes>) {
        self.write("stderr", bytes.into()).await;
    }

    async fn write(&self, stream: &'static str, bytes: Bytes) {
        // Without a reader the command is about to be killed.
        drop(self.0.send(Chunk { stream, bytes }).await);
    }
}

impl Events {
    pub(crate) fn new() -> (mpsc::Sender<Event>, Self) {
        let (sender, receiver) = mpsc::channel(PIPE);
        (sender, Self(receiver))
    }

    /// The next event; never ready again once there can be no more. Cancel safe.
    pub async fn next(&mut self) -> Event {
        match self.0.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
