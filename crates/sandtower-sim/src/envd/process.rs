//! A process, and the events that it streams.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use tokio::{
    select,
    sync::{mpsc, watch},
    time,
};

use super::{
    envelope,
    rpc::{self, Times},
    stream,
};
use crate::{
    body::{Body, Sender},
    runner::{Chunk, Command, Exit, Input, Output},
    sandbox::{self, Life},
    sim::Shared,
};

/// Streams that follow one process at a time.
const MAX_LISTENERS: usize = 64;
/// Events that wait for a stream whose reader is slow, before the process has to.
const LISTENER_BUFFER: usize = 16;

/// A process that runs.
#[derive(Debug)]
pub(crate) struct Process {
    pub(super) pid: u32,
    pub(super) tag: Option<String>,
    pub(super) config: Config,
    /// `None` once it is closed.
    stdin: Mutex<Option<mpsc::Sender<Bytes>>>,
    signal: watch::Sender<Option<Signal>>,
    listeners: Mutex<Vec<mpsc::Sender<Bytes>>>,
}

/// How a process was asked for.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Config {
    pub(super) cmd: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) args: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) envs: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cwd: Option<String>,
}

/// What ends a process from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Terminate,
    Kill,
}

#[derive(Serialize)]
struct Message {
    event: Event,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Event {
    Start {
        pid: u32,
    },
    Data(Data),
    Keepalive {},
    End {
        #[serde(rename = "exitCode", skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        exited: bool,
        status: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Data {
    #[serde(serialize_with = "base64")]
    Stdout(Bytes),
    #[serde(serialize_with = "base64")]
    Stderr(Bytes),
}

fn base64<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

/// There are too many streams.
#[derive(Debug)]
pub(super) struct TooMany;

impl Process {
    /// A process that is about to run, and what it will read.
    pub(super) fn new(
        pid: u32,
        tag: Option<String>,
        config: Config,
        with_stdin: bool,
    ) -> (Self, Input) {
        let (stdin, input) = if with_stdin {
            let (sender, input) = Input::pipe();
            (Some(sender), input)
        } else {
            (None, Input::empty())
        };
        let process = Self {
            pid,
            tag,
            config,
            stdin: Mutex::new(stdin),
            signal: watch::Sender::new(None),
            listeners: Mutex::default(),
        };
        (process, input)
    }

    /// The writing end of its standard input, if that is open.
    pub(super) fn stdin(&self) -> Option<mpsc::Sender<Bytes>> {
        locked(&self.stdin).clone()
    }

    /// Closes its standard input; false if it was not open.
    pub(super) fn close_stdin(&self) -> bool {
        locked(&self.stdin).take().is_some()
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.signal.send_replace(Some(signal));
    }

    /// Follows its events from now on.
    pub(super) fn listen(&self) -> Result<mpsc::Receiver<Bytes>, TooMany> {
        let (sender, receiver) = mpsc::channel(LISTENER_BUFFER);
        let mut listeners = locked(&self.listeners);
        listeners.retain(|listener| !listener.is_closed());
        if listeners.len() >= MAX_LISTENERS {
            return Err(TooMany);
        }
        listeners.push(sender);
        Ok(receiver)
    }

    /// Tells all who listen; waits for those who are slow.
    async fn tell(&self, event: Event) {
        let sealed = seal(event);
        let listeners = locked(&self.listeners).clone();
        let mut gone = false;
        for listener in listeners {
            gone |= listener.send(sealed.clone()).await.is_err();
        }
        if gone {
            locked(&self.listeners).retain(|listener| !listener.is_closed());
        }
    }

    fn ended(&self) {
        locked(&self.listeners).clear();
        self.close_stdin();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seal(event: Event) -> Bytes {
    envelope::message(&Message { event })
}

/// Runs a process to its end, whoever listens. While its sandbox is paused it does not go on.
pub(super) async fn run(
    sim: Arc<Shared>,
    sandbox: String,
    process: Arc<Process>,
    command: Command,
    input: Input,
    mut life: watch::Receiver<Life>,
) {
    let mut signals = process.signal.subscribe();
    let end = {
        let mut work = pin!(work(&sim, &process, command, input));
        loop {
            let now = *life.borrow_and_update();
            if now == Life::Over {
                process.ended();
                return;
            }
            select! {
                biased;
                changed = sandbox::changed(&sim, &mut life) => if changed.is_err() { return },
                signal = signals.wait_for(Option::is_some) => {
                    let kind = signal.map_or(Signal::Kill, |signal| signal.unwrap_or(Signal::Kill));
                    break killed(kind);
                }
                exit = &mut work, if now != Life::Paused => break end(exit),
            }
        }
    };
    if let Some(sandbox) = sim.state().sandboxes.get_mut(&sandbox) {
        sandbox.processes.remove(&process.pid);
    }
    // A reader that never reads keeps this waiting only as long as the sandbox lives.
    select! {
        biased;
        () = process.tell(end) => {}
        () = sandbox::over(&sim, &mut life) => {}
    }
    process.ended();
}

/// The command itself, and telling what it writes.
async fn work(sim: &Shared, process: &Process, command: Command, input: Input) -> Exit {
    let (output, mut chunks) = Output::new();
    let mut running = pin!(async {
        time::sleep(sim.config.world.command_latency).await;
        sim.config.runner.run(command, input, output).await
    });
    let exit = loop {
        select! {
            biased;
            Some(chunk) = chunks.recv() => process.tell(data(chunk)).await,
            exit = &mut running => break exit,
        }
    };
    // A runner may have kept its output; nothing that it writes now counts.
    chunks.close();
    while let Some(chunk) = chunks.recv().await {
        process.tell(data(chunk)).await;
    }
    exit
}

fn data(chunk: Chunk) -> Event {
    Event::Data(match chunk {
        Chunk::Stdout(bytes) => Data::Stdout(bytes),
        Chunk::Stderr(bytes) => Data::Stderr(bytes),
    })
}

fn end(Exit(code): Exit) -> Event {
    let status = format!("exit status {code}");
    let failed = code != 0;
    let error = failed.then(|| status.clone());
    Event::End { exit_code: failed.then_some(i32::from(code)), exited: true, status, error }
}

fn killed(signal: Signal) -> Event {
    let status = String::from(match signal {
        Signal::Kill => "signal: killed",
        Signal::Terminate => "signal: terminated",
    });
    Event::End { exit_code: Some(-1), exited: false, error: Some(status.clone()), status }
}

/// A stream that follows a process.
#[derive(Debug)]
pub(super) struct Follow {
    pub(super) process: Arc<Process>,
    pub(super) events: mpsc::Receiver<Bytes>,
    pub(super) times: Times,
    pub(super) life: watch::Receiver<Life>,
    /// Whether the process ends with the stream's deadline.
    pub(super) kills: bool,
}

/// The body of a stream that follows a process.
pub(super) fn follow(sim: Arc<Shared>, follow: Follow) -> Body {
    let Follow { process, events, times, life, kills } = follow;
    stream::body(sim, life, |to| async move {
        select! {
            biased;
            () = times.over() => {
                if kills {
                    process.signal(Signal::Kill);
                }
                envelope::last(Some(&rpc::deadline_exceeded()))
            }
            // Without a reader this ends here, and the process goes on all the same.
            () = forward(process.pid, events, times, &to) => envelope::last(None),
        }
    })
}

/// Everything but the last envelope.
async fn forward(pid: u32, mut events: mpsc::Receiver<Bytes>, times: Times, to: &Sender) {
    stream::send(to, seal(Event::Start { pid })).await;
    let mut keepalive = time::interval(times.keepalive);
    keepalive.reset();
    loop {
        select! {
            biased;
            event = events.recv() => match event {
                Some(event) => stream::send(to, event).await,
                None => return,
            },
            _ = keepalive.tick() => stream::send(to, seal(Event::Keepalive {})).await,
        }
    }
}
