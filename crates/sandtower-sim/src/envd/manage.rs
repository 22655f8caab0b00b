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
    start: Option<Request>,
    data: Option<Request>,
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
            write(call, &process, &mut life, message.input.unwrap_or_default()).await?;
        }
        "CloseStdin" if !process.close_stdin() => {
            return Err(internal("error closing stdin: stdin not enabled or closed"));
        }
        "SendSignal" => process.send(Event::Signal(signal(message.signal.as_ref())?)),
        "Update" => match message.pty {
            Some(pty) if process.has_terminal => process.send(Event::Resize(pty.size)),
            Some(_) => {
                return Err(internal("error resizing tty: tty not assigned to process"));
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
        write(call, process, life, data.input.unwrap_or_default()).await?;
    }
    Ok(Body::whole([envelope::message(&json!({})), envelope::last(None)].concat()))
}

async fn write(
    call: Call<'_>,
    process: &Process,
    life: &mut watch::Receiver<Life>,
    input: Written,
) -> Result<(), Error> {
    if input.pty.is_some() != process.has_terminal {
        return Err(internal(if process.has_terminal {
            "error writing to stdin: tty assigned to process"
        } else {
            "error writing to tty: tty not assigned to process"
        }));
    }
    let Some(encoded) = input.stdin.or(input.pty) else { return Ok(()) };
    let Ok(decoded) = STANDARD.decode(encoded) else {
        let message = "unmarshal message: invalid value for bytes field stdin";
        return Err(Error::new(Code::INVALID_ARGUMENT, message));
    };
    let Some(stdin) = process.stdin() else {
        return Err(internal("error writing to stdin: stdin not enabled or closed"));
    };
    let mut left = Bytes::from(decoded);
    while !left.is_empty() {
        let chunk = left.split_to(left.len().min(CHUNK));
        let sent = select! {
            biased;
            sent = stdin.send(chunk) => sent.is_ok(),
            () = sandbox::stopped(call.sim, life) => false,
        };
        if !sent {
            return Err(internal("error writing to stdin: write |1: broken pipe"));
        }
    }
    Ok(())
}

fn internal(message: &'static str) -> Error {
    Error::new(Code::INTERNAL, message)
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
    let Selector { pid, tag } = selector.unwrap_or_default();
    let missing = match (pid, &tag) {
        (Some(pid), _) => format!("process with pid {pid} not found"),
        (None, Some(tag)) => format!("process with tag {tag} not found"),
        (None, None) => {
            return Err(Error::new(Code::UNIMPLEMENTED, "invalid input type for selector"));
        }
    };
    let is_wanted = |process: &&Arc<Process>| match pid {
        Some(pid) => process.pid == pid,
        None => process.tag == tag,
    };
    let found = call.sandbox(|sandbox| {
        let found = sandbox.processes.values().find(is_wanted);
        found.map(|process| (Arc::clone(process), sandbox.life.subscribe()))
    })?;
    found.ok_or_else(|| Error::new(Code::NOT_FOUND, missing))
}
