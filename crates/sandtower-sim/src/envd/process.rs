//! A process, and the events that it streams.

use std::{future::pending, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use tokio::{
    select,
    sync::{mpsc, watch},
    time,
};

use super::{
    connect::{Code, Error},
    envelope,
    start::Times,
};
use crate::{
    body::{Body, Sender},
    error::ConnectionError,
    runner::{Chunk, Command, Exit, Output},
    sandbox::Life,
    sim::Shared,
};

/// A process that is about to run.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) sandbox: String,
    pub(super) pid: u32,
    pub(super) command: Command,
    pub(super) times: Times,
    pub(super) life: watch::Receiver<Life>,
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
        exit_code: Option<u8>,
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

/// Runs a process; the body is its events. It runs to its end though nobody may read them.
pub(super) fn run(sim: Arc<Shared>, process: Process) -> Body {
    let (events, body) = Body::stream();
    tokio::spawn(async move {
        let Process { sandbox, pid, command, times, mut life } = process;
        let outcome = select! {
            biased;
            () = over(&mut life) => Err(ConnectionError::reset(true)),
            () = passed(times.deadline) => Ok(deadline_exceeded()),
            () = stream(&sim, pid, command, times, &events) => Ok(envelope::last(None)),
        };
        if let Some(sandbox) = sim.state().sandboxes.get_mut(&sandbox) {
            sandbox.processes = sandbox.processes.saturating_sub(1);
        }
        // A reader that never reads keeps this waiting only as long as the sandbox lives.
        select! {
            biased;
            _ = events.send(outcome) => {}
            () = over(&mut life) => {}
        }
    });
    body
}

/// Everything but the last envelope.
async fn stream(sim: &Shared, pid: u32, command: Command, times: Times, events: &Sender) {
    send(events, Event::Start { pid }).await;
    let (output, mut chunks) = Output::new();
    let running = async {
        time::sleep(sim.config.world.command_latency).await;
        sim.config.runner.run(command, output).await
    };
    let mut running = std::pin::pin!(running);
    let mut keepalive = time::interval(times.keepalive);
    keepalive.reset();
    let exit = loop {
        select! {
            biased;
            Some(chunk) = chunks.recv() => send(events, data(chunk)).await,
            exit = &mut running => break exit,
            _ = keepalive.tick() => send(events, Event::Keepalive {}).await,
        }
    };
    forward_rest(chunks, events).await;
    send(events, end(exit)).await;
}

async fn forward_rest(mut chunks: mpsc::Receiver<Chunk>, events: &Sender) {
    // A runner may have kept its output; nothing that it writes now counts.
    chunks.close();
    while let Some(chunk) = chunks.recv().await {
        send(events, data(chunk)).await;
    }
}

async fn send(events: &Sender, event: Event) {
    // Nobody reads any more: the process goes on all the same.
    drop(events.send(Ok(envelope::message(&Message { event }))).await);
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
    Event::End { exit_code: failed.then_some(code), exited: true, status, error }
}

fn deadline_exceeded() -> Bytes {
    envelope::last(Some(&Error::new(Code::DeadlineExceeded, "context deadline exceeded")))
}

async fn passed(deadline: Option<time::Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => pending().await,
    }
}

/// Returns when the sandbox has ended, however its end may be moved until then.
async fn over(life: &mut watch::Receiver<Life>) {
    loop {
        let Life::Until(end) = *life.borrow_and_update() else { return };
        select! {
            biased;
            changed = life.changed() => if changed.is_err() { return },
            () = time::sleep_until(end) => return,
        }
    }
}
