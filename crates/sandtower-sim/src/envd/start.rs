//! `Process/Start`: reading the request.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    MAX_BODY,
    connect::{self, Code, Error},
    envelope,
    process::{self, Process},
};
use crate::{answer, body::Body, clock, json, runner::Command, service::Received, sim::Shared};

const CONTENT_TYPE: &str = "application/connect+json";
const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(90);
const DEFAULT_USER: &str = "user";

/// The users that there are, with their home directories.
const USERS: &[(&str, &str)] = &[("root", "/root"), (DEFAULT_USER, "/home/user")];

/// The directories that there are besides, until sandboxes have files.
const DIRECTORIES: &[&str] = &["/", "/tmp"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StartRequest {
    process: Option<Config>,
    pty: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    cmd: String,
    args: Vec<String>,
    envs: BTreeMap<String, String>,
    cwd: Option<String>,
}

/// Starts a process, whose events are the answer.
pub(super) fn start(sim: &Arc<Shared>, id: &str, request: Received) -> Response<Body> {
    let headers = &request.parts.headers;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if content_type != Some(CONTENT_TYPE) {
        let mut answer = answer::empty(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let accepted = HeaderValue::from_static(CONTENT_TYPE);
        answer.headers_mut().insert(HeaderName::from_static("accept-post"), accepted);
        return answer;
    }
    let process = read(headers, request.body.as_ref())
        .and_then(|(command, times)| fork(sim, id, command, times));
    match process {
        Ok(process) => connect::stream(process::run(Arc::clone(sim), process)),
        Err(error) => error.in_stream(),
    }
}

/// How long a process may run, and how often its stream says that it still does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) deadline: Option<Instant>,
    pub(super) keepalive: Duration,
}

fn read(headers: &HeaderMap, body: Option<&bytes::Bytes>) -> Result<(Command, Times), Error> {
    let times = times(headers)?;
    if let Some(encoding) = headers.get("connect-content-encoding").filter(|e| *e != "identity") {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        let message =
            format!("unknown compression \"{encoding}\": supported encodings are identity");
        return Err(Error::new(Code::Unimplemented, message));
    }
    let Some(body) = body else { return Err(envelope::too_large(MAX_BODY + 1, MAX_BODY)) };
    let request: StartRequest =
        json::object(&envelope::first(body, MAX_BODY)?).map_err(|error| {
            Error::new(Code::InvalidArgument, format!("unmarshal message: {error}"))
        })?;
    if request.pty.is_some() {
        return Err(Error::new(Code::Unimplemented, "a pty is not simulated yet"));
    }
    let (user, home) = user(headers)?;
    let process = request.process.unwrap_or_default();
    let directory = process.cwd.filter(|cwd| !cwd.is_empty()).unwrap_or_else(|| home.to_owned());
    let exists = DIRECTORIES.contains(&directory.as_str())
        || USERS.iter().any(|(_, home)| *home == directory);
    if !exists {
        let message = format!("cwd '{directory}' does not exist");
        return Err(Error::new(Code::InvalidArgument, message));
    }
    let command = Command {
        program: process.cmd,
        arguments: process.args,
        environment: process.envs,
        directory,
        user: user.to_owned(),
    };
    Ok((command, times))
}

fn times(headers: &HeaderMap) -> Result<Times, Error> {
    let number = |name: &str| -> Result<Option<u64>, Error> {
        let Some(value) = headers.get(name) else { return Ok(None) };
        let digits = value.to_str().ok().filter(|text| text.len() <= 10);
        let parsed = digits.and_then(|text| text.parse().ok());
        parsed.map(Some).ok_or_else(|| {
            Error::new(Code::InvalidArgument, format!("protocol error: invalid {name}"))
        })
    };
    let deadline = number("connect-timeout-ms")?;
    let keepalive = number("keepalive-ping-interval")?.filter(|seconds| *seconds > 0);
    Ok(Times {
        deadline: deadline.map(|millis| clock::now() + Duration::from_millis(millis)),
        keepalive: keepalive.map_or(DEFAULT_KEEPALIVE, Duration::from_secs),
    })
}

/// The user that a request names in its basic authorization, and the user's home.
fn user(headers: &HeaderMap) -> Result<(&'static str, &'static str), Error> {
    let named = headers.get(header::AUTHORIZATION).map(|value| {
        let encoded = value.to_str().ok().and_then(|text| text.strip_prefix("Basic "));
        let decoded = encoded.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        let pair = String::from_utf8_lossy(&decoded).into_owned();
        pair.split(':').next().unwrap_or_default().to_owned()
    });
    let name = named.as_deref().unwrap_or(DEFAULT_USER);
    USERS
        .iter()
        .find(|(user, _)| *user == name)
        .copied()
        .ok_or_else(|| Error::new(Code::Unauthenticated, format!("invalid username: '{name}'")))
}

/// Makes a process of the sandbox, which may have ended meanwhile.
fn fork(sim: &Shared, id: &str, mut command: Command, times: Times) -> Result<Process, Error> {
    let mut state = sim.state();
    let sandbox = state.sandboxes.get_mut(id).ok_or_else(|| no_more(id))?;
    let Some(pid) = sandbox.fork() else {
        let message = "fork/exec: resource temporarily unavailable";
        return Err(Error::new(Code::ResourceExhausted, message));
    };
    for (name, value) in &sandbox.env_vars {
        command.environment.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(Process { sandbox: id.to_owned(), pid, command, times, life: sandbox.life.subscribe() })
}

fn no_more(id: &str) -> Error {
    Error::new(Code::Internal, format!("sandbox {id} is shutting down"))
}
