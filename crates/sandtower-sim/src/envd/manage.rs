//! `process.Process` but for its start: finding processes, writing to them, ending them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{select, sync::watch};

use super::connect::{self, Code, Error};
use super::process::{self, Follow};
use super::rpc::{self, Times};
use super::start::{self, Pty};
use crate::body::Body;
use crate::request::Received;
use crate::runner::{Event, Signal};
use crate::state::Shared;
use crate::state::process::{Process, TooMany};
use crate::state::sandbox::{self, Life};

/// The most that goes through a pipe at a time, as with Linux.
const CHUNK: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Selector {
    pid: Option<u32>,
    tag: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Request {
    process: Option<Selector>,
    input: Option<Written>,
    signal: Option<Value>,
    pty: Option<Pty>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    stdin: Option<String>,
    pty: Option<String>,
}

/// A message of `StreamInput`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputMessage {
    start: Option<Target>,
    data: Option<Data>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    process: Option<Selector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    input: Option<Written>,
}

/// Answers an RPC that is no stream; `method` is the last part of its path.
pub(super) async fn unary(
    sim: &Arc<Shared>,
    id: &str,
    method: &str,
    request: &Received,
) -> Response<Body> {
    let times = match Times::of(&request.parts.headers) {
        Ok(times) => times,
        Err(error) => return error.unary(),
    };
    let working = async {
        let message: Request = rpc::message(request)?;
        if method == "List" {
            return Ok(list(sim, id));
        }
        let (process, mut life) = find(sim, id, message.process)?;
        match method {
            "SendInput" => {
                let input = message.input.unwrap_or_default();
                select! {
                    biased;
                    written = write(&process, input) => written,
                    () = sandbox::stopped(sim, &mut life) => Err(broken_pipe()),
                }?;
            }
            "CloseStdin" if !process.close_stdin() => {
                let message = "error closing stdin: stdin not enabled or closed";
                return Err(Error::new(Code::INTERNAL, message));
            }
            "SendSignal" => process.send(Event::Signal(signal(message.signal.as_ref())?)),
            "Update" => match message.pty {
                Some(pty) if process.has_terminal => process.send(Event::Resize(pty.size())),
                Some(_) => {
                    let message = "error resizing tty: tty not assigned to process";
                    return Err(Error::new(Code::INTERNAL, message));
                }
                None => {}
            },
            _ => {}
        }
        Ok(json!({}))
    };
    let outcome = select! {
        biased;
        outcome = working => outcome,
        () = times.over() => Err(rpc::deadline_exceeded()),
    };
    rpc::respond(request, outcome)
}

fn list(sim: &Shared, id: &str) -> Value {
    let state = sim.state();
    let processes = state.sandboxes.get(id).into_iter().flat_map(|one| one.processes.values());
    let processes: Vec<_> = processes
        .map(|process| {
            let mut info = json!({ "config": process.config, "pid": process.pid });
            if let Some(tag) = &process.tag {
                info["tag"] = json!(tag);
            }
            info
        })
        .collect();
    if processes.is_empty() { json!({}) } else { json!({ "processes": processes }) }
}

/// `Process/Connect`: follows a process that was started by another request.
pub(super) fn connect(sim: &Arc<Shared>, id: &str, request: &Received) -> Response<Body> {
    let follow = || {
        let times = Times::of(&request.parts.headers)?;
        let message: Request = rpc::first(request)?;
        let (process, life) = find(sim, id, message.process)?;
        let events = process.listen().map_err(|TooMany| start::too_many())?;
        Ok(Follow { pid: process.pid, events, times, life })
    };
    match follow() {
        Ok(follow) => connect::stream(process::follow(Arc::clone(sim), follow)),
        Err::<_, Error>(error) => error.in_stream(),
    }
}

/// `Process/StreamInput`: writes what the request's messages hold, one after the other.
pub(super) async fn stream_input(
    sim: &Arc<Shared>,
    id: &str,
    request: &Received,
) -> Response<Body> {
    let working = async {
        let mut process = None;
        let (messages, _room) = rpc::all::<InputMessage>(request, &sim.bodies)?;
        for message in messages {
            if let Some(target) = message.start {
                process = Some(find(sim, id, target.process)?);
            }
            let Some(data) = message.data else { continue };
            let Some((process, life)) = &mut process else {
                let message = "input came before the process was named";
                return Err(Error::new(Code::INVALID_ARGUMENT, message));
            };
            select! {
                biased;
                written = write(process, data.input.unwrap_or_default()) => written,
                () = sandbox::stopped(sim, life) => Err(broken_pipe()),
            }?;
        }
        Ok(())
    };
    let outcome = match Times::of(&request.parts.headers) {
        Ok(times) => select! {
            biased;
            outcome = working => outcome,
            () = times.over() => Err(rpc::deadline_exceeded()),
        },
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => connect::only(&json!({})),
        Err(error) => error.in_stream(),
    }
}

async fn write(process: &Process, input: Written) -> Result<(), Error> {
    if input.pty.is_some() != process.has_terminal {
        let message = if process.has_terminal {
            "error writing to stdin: tty assigned to process"
        } else {
            "error writing to tty: tty not assigned to process"
        };
        return Err(Error::new(Code::INTERNAL, message));
    }
    let Some(encoded) = input.stdin.or(input.pty) else { return Ok(()) };
    let Ok(decoded) = STANDARD.decode(encoded) else {
        let message = "unmarshal message: invalid value for bytes field stdin";
        return Err(Error::new(Code::INVALID_ARGUMENT, message));
    };
    let Some(stdin) = process.stdin() else {
        let message = "error writing to stdin: stdin not enabled or closed";
        return Err(Error::new(Code::INTERNAL, message));
    };
    let mut left = Bytes::from(decoded);
    while !left.is_empty() {
        let chunk = left.split_to(left.len().min(CHUNK));
        stdin.send(chunk).await.map_err(|_| broken_pipe())?;
    }
    Ok(())
}

fn broken_pipe() -> Error {
    Error::new(Code::INTERNAL, "error writing to stdin: write |1: broken pipe")
}

/// The signal by its name or number.
fn signal(asked: Option<&Value>) -> Result<Signal, Error> {
    let named = asked.and_then(Value::as_str);
    let number = asked.and_then(Value::as_u64);
    match (named, number) {
        (Some("SIGNAL_SIGKILL"), _) | (_, Some(9)) => Ok(Signal::Kill),
        (Some("SIGNAL_SIGTERM"), _) | (_, Some(15)) => Ok(Signal::Terminate),
        _ => {
            let given = named.unwrap_or("SIGNAL_UNSPECIFIED");
            Err(Error::new(Code::UNIMPLEMENTED, format!("invalid signal: {given}")))
        }
    }
}

fn find(
    sim: &Shared,
    id: &str,
    selector: Option<Selector>,
) -> Result<(Arc<Process>, watch::Receiver<Life>), Error> {
    let state = sim.state();
    let sandbox = state.sandboxes.get(id);
    let life = sandbox.map(|sandbox| sandbox.life.subscribe());
    let processes = sandbox.map(|sandbox| &sandbox.processes);
    let (found, missing) = match selector.unwrap_or_default() {
        Selector { pid: Some(pid), .. } => {
            let found = processes.and_then(|processes| processes.get(&pid));
            (found, format!("process with pid {pid} not found"))
        }
        Selector { tag: Some(tag), .. } => {
            let tagged = |process: &&Arc<Process>| process.tag.as_deref() == Some(&tag);
            let found = processes.and_then(|processes| processes.values().find(tagged));
            (found, format!("process with tag {tag} not found"))
        }
        Selector { .. } => {
            return Err(Error::new(Code::UNIMPLEMENTED, "invalid input type for selector"));
        }
    };
    match (found, life) {
        (Some(process), Some(life)) => Ok((Arc::clone(process), life)),
        _ => Err(Error::new(Code::NOT_FOUND, missing)),
    }
}
