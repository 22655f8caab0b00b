//! `process.Process` but for its start: finding processes, writing to them, ending them.

use base64::Engine as _;
use serde_json::json;
use tokio::sync::watch;

use super::connect::{Code, Error};
use super::process::Follow;
use super::start::Pty;
use super::*;
use crate::runner::Event;

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

/// An RPC that is no stream; `method` is the last part of its path.
pub(super) async fn unary(call: Call<'_>, method: &str) -> Result<Value, Error> {
    let message: Request = rpc::message(call.request)?;
    if method == "List" {
        return call.sandbox(|sandbox| list(sandbox));
    }
    let (process, mut life) = find(call, message.process)?;
    match method {
        "SendInput" => {
            let input = message.input.unwrap_or_default();
            select! {
                biased;
                written = write(&process, input) => written,
                () = sandbox::stopped(call.sim, &mut life) => Err(broken_pipe()),
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
}

fn list(sandbox: &Sandbox) -> Value {
    let described = |process: &Arc<Process>| {
        let mut info = json!({ "config": process.config, "pid": process.pid });
        if let Some(tag) = &process.tag {
            info["tag"] = json!(tag);
        }
        info
    };
    rpc::list("processes", sandbox.processes.values().map(described).collect())
}

/// `Process/Connect`: follows a process that was started by another request.
pub(super) fn connect(call: Call<'_>) -> Result<Body, Error> {
    let message: Request = rpc::first(call.request)?;
    let (process, life) = find(call, message.process)?;
    let events = process.listen().map_err(|TooMany| start::too_many())?;
    let follow = Follow { pid: process.pid, events, times: call.times, life };
    Ok(process::follow(Arc::clone(call.sim), follow))
}

/// `Process/StreamInput`: writes what the request's messages hold, one after the other.
pub(super) async fn stream_input(call: Call<'_>) -> Result<Body, Error> {
    let mut process = None;
    let (messages, _room) = rpc::all::<InputMessage>(call.request, &call.sim.bodies)?;
    for message in messages {
        if let Some(target) = message.start {
            process = Some(find(call, target.process)?);
        }
        let Some(data) = message.data else { continue };
        let Some((process, life)) = &mut process else {
            let message = "input came before the process was named";
            return Err(Error::new(Code::INVALID_ARGUMENT, message));
        };
        select! {
            biased;
            written = write(process, data.input.unwrap_or_default()) => written,
            () = sandbox::stopped(call.sim, life) => Err(broken_pipe()),
        }?;
    }
    Ok(Body::whole([envelope::message(&json!({})), envelope::last(None)].concat()))
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
    call: Call<'_>,
    selector: Option<Selector>,
) -> Result<(Arc<Process>, watch::Receiver<Life>), Error> {
    let (wanted, missing) = match selector.unwrap_or_default() {
        Selector { pid: Some(pid), .. } => {
            ((Some(pid), None), format!("process with pid {pid} not found"))
        }
        Selector { tag: Some(tag), .. } => {
            let missing = format!("process with tag {tag} not found");
            ((None, Some(tag)), missing)
        }
        Selector { .. } => {
            return Err(Error::new(Code::UNIMPLEMENTED, "invalid input type for selector"));
        }
    };
    let is_wanted = |process: &&Arc<Process>| match &wanted {
        (Some(pid), _) => process.pid == *pid,
        (None, tag) => process.tag == *tag,
    };
    let found = call.sandbox(|sandbox| {
        let found = sandbox.processes.values().find(is_wanted);
        found.map(|process| (Arc::clone(process), sandbox.life.subscribe()))
    })?;
    found.ok_or_else(|| Error::new(Code::NOT_FOUND, missing))
}
