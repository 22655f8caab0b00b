//! A process of a sandbox, as those see it who write to it and follow it.

use tokio::sync::mpsc;

use super::*;
use crate::runner::{Events, Input, Io, Output};

/// Streams that follow one process at a time.
const MAX_LISTENERS: usize = 64;
/// Events that wait for a stream whose reader is slow, before the process has to.
const LISTENER_BUFFER: usize = 16;

/// A process that runs.
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) tag: Option<String>,
    pub(crate) config: Config,
    pub(crate) has_terminal: bool,
    /// `None` once it is closed.
    stdin: Mutex<Option<mpsc::Sender<Bytes>>>,
    events: mpsc::Sender<Event>,
    killed: watch::Sender<bool>,
    listeners: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

/// How a process was asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Config {
    pub(crate) cmd: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) envs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cwd: Option<String>,
}

/// There are too many streams.
pub(crate) struct TooMany;

impl Process {
    /// A process that is about to run, with its streams for the runner; `stdin` says whether
    /// anyone may write to it.
    pub(crate) fn new(
        pid: u32,
        tag: Option<String>,
        config: Config,
        stdin: bool,
        has_terminal: bool,
        output: Output,
    ) -> (Self, Io) {
        let (writer, input) = if stdin {
            let (writer, input) = Input::pipe();
            (Some(writer), input)
        } else {
            (None, Input::empty())
        };
        let (events, received) = Events::new();
        let process = Self {
            pid,
            tag,
            config,
            has_terminal,
            stdin: Mutex::new(writer),
            events,
            killed: watch::Sender::new(false),
            listeners: Mutex::default(),
        };
        (process, Io { input, output, events: received })
    }

    /// The writing end of its standard input, if that is open.
    pub(crate) fn stdin(&self) -> Option<mpsc::Sender<Bytes>> {
        lock(&self.stdin).clone()
    }

    /// Closes its standard input; false if it was not open.
    pub(crate) fn close_stdin(&self) -> bool {
        lock(&self.stdin).take().is_some()
    }

    /// Lets something happen to it. What it has no room to notice is lost, as signals are.
    pub(crate) fn send(&self, event: Event) {
        if event == Event::Signal(Signal::Kill) {
            self.killed.send_replace(true);
        } else {
            let _lost = self.events.try_send(event);
        }
    }

    /// Done when it has been killed.
    pub(crate) async fn killed(&self) {
        // The sender is here, so there is no error.
        drop(self.killed.subscribe().wait_for(|killed| *killed).await);
    }

    /// Follows its events from now on.
    pub(crate) fn listen(&self) -> Result<mpsc::Receiver<Bytes>, TooMany> {
        let (sender, receiver) = mpsc::channel(LISTENER_BUFFER);
        let mut listeners = lock(&self.listeners);
        listeners.retain(|listener| !listener.is_closed());
        if listeners.len() >= MAX_LISTENERS {
            return Err(TooMany);
        }
        listeners.push(sender);
        Ok(receiver)
    }

    /// Tells all who listen; waits for those who are slow.
    pub(crate) async fn tell(&self, sealed: Bytes) {
        let listeners = lock(&self.listeners).clone();
        let mut gone = false;
        for listener in listeners {
            gone |= listener.send(sealed.clone()).await.is_err();
        }
        if gone {
            lock(&self.listeners).retain(|listener| !listener.is_closed());
        }
    }

    /// Ends the streams that follow it, and its input.
    pub(crate) fn ended(&self) {
        lock(&self.listeners).clear();
        self.close_stdin();
    }
}
