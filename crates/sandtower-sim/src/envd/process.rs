//! Runs a process, and streams what happens to it.

use std::pin::pin;

use base64::Engine as _;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::rpc::Times;
use super::*;
use crate::runner::{self, Chunk, Exit, Io};

fn seal(event: Value) -> Bytes {
    envelope::message(&json!({ "event": event }))
}

/// What a process is started with.
pub(super) struct Started {
    pub(super) sandbox: String,
    pub(super) command: Command,
    pub(super) io: Io,
    /// What it writes.
    pub(super) chunks: mpsc::Receiver<Chunk>,
    pub(super) deadline: Option<Instant>,
    pub(super) life: watch::Receiver<Life>,
}

/// Runs a process to its end, whoever follows it, and to its deadline at most. While its sandbox is
/// paused it does not go on.
pub(super) async fn run(sim: Arc<Shared>, process: Arc<Process>, started: Started) {
    let Started { sandbox, command, io, chunks, deadline, mut life } = started;
    let end = {
        let mut work = pin!(work(&sim, &process, command, io, chunks));
        let mut killed = pin!(async {
            select! {
                () = process.killed() => {}
                () = rpc::over(deadline) => {}
            }
        });
        loop {
            let now = *life.borrow_and_update();
            if now == Life::Over {
                process.ended();
                return;
            }
            select! {
                biased;
                changed = sandbox::changed(&sim, &mut life) => if changed.is_err() { return },
                () = &mut killed => break end(Exit::Signal(Signal::Kill)),
                exit = &mut work, if now != Life::Paused => break end(exit),
            }
        }
    };
    if let Some(sandbox) = sim.state().sandboxes.get_mut(&sandbox)
        && sandbox.processes.get(&process.pid).is_some_and(|found| Arc::ptr_eq(found, &process))
    {
        sandbox.processes.remove(&process.pid);
    }
    // A reader that never reads keeps this waiting only as long as the sandbox lives.
    select! {
        biased;
        () = process.tell(seal(end)) => {}
        () = sandbox::over(&sim, &mut life) => {}
    }
    process.ended();
}

/// The command itself, and telling what it writes.
async fn work(
    sim: &Shared,
    process: &Process,
    command: Command,
    io: Io,
    chunks: mpsc::Receiver<Chunk>,
) -> Exit {
    let running = async {
        time::sleep(sim.config.world.command_latency).await;
        sim.config.runner.run(command, io).await
    };
    let data = |chunk: Chunk| {
        let stream = if process.has_terminal { "pty" } else { chunk.stream };
        seal(json!({ "data": { stream: STANDARD.encode(chunk.bytes) } }))
    };
    runner::drive(running, chunks, |chunk| process.tell(data(chunk))).await
}

/// How a process ended; as always in protobuf's JSON, what is zero is left out.
fn end(exit: Exit) -> Value {
    let (code, status) = match exit {
        Exit::Code(code) => (i32::from(code), format!("exit status {code}")),
        Exit::Signal(Signal::Kill) => (-1, String::from("signal: killed")),
        Exit::Signal(Signal::Terminate) => (-1, String::from("signal: terminated")),
    };
    let mut end = json!({ "status": status });
    if code >= 0 {
        end["exited"] = json!(true);
    }
    if code != 0 {
        end["exitCode"] = json!(code);
        end["error"] = json!(status);
    }
    json!({ "end": end })
}

/// A stream that follows a process.
pub(super) struct Follow {
    pub(super) pid: u32,
    pub(super) events: mpsc::Receiver<Bytes>,
    pub(super) times: Times,
    pub(super) life: watch::Receiver<Life>,
}

/// The body of a stream that follows a process.
pub(super) fn follow(sim: Arc<Shared>, follow: Follow) -> Body {
    let Follow { pid, events, times, life } = follow;
    stream::body(sim, life, move |to| async move {
        select! {
            biased;
            () = times.over() => envelope::last(Some(&rpc::deadline_exceeded())),
            // Without a reader this ends here, and the process goes on all the same.
            () = forward(pid, events, times, &to) => envelope::last(None),
        }
    })
}

/// Everything but the last envelope.
async fn forward(pid: u32, mut events: mpsc::Receiver<Bytes>, times: Times, to: &Sender) {
    stream::send(to, seal(json!({ "start": { "pid": pid } }))).await;
    let mut keepalive = time::interval(times.keepalive);
    keepalive.reset();
    loop {
        select! {
            biased;
            event = events.recv() => match event {
                Some(event) => stream::send(to, event).await,
                None => return,
            },
            _ = keepalive.tick() => stream::send(to, seal(json!({ "keepalive": {} }))).await,
        }
    }
}
