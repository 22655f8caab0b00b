//! envd: the daemon inside a sandbox.

mod connect;
mod envelope;
mod files;
mod filesystem;
mod manage;
mod multipart;
mod process;
mod rpc;
mod start;
mod stream;
mod watch;

use std::{collections::BTreeMap, sync::Arc};

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use serde::Deserialize;
use tokio::time;

use crate::{
    answer::{self, ApiError},
    body::Body,
    clock,
    control::lifecycle,
    files::Files,
    interpreter::{self, Inside},
    json, proxy,
    sandbox::{CPU_COUNT, ENVD_VERSION, MEMORY_MB},
    service::Received,
    sim::Shared,
};

pub(crate) use process::Process;

/// The longest body that is read of most requests, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The port that envd listens on.
const PORT: u16 = 49983;

/// The RPCs, by their service; of those in the second list the answer is a stream.
const PROCESS: &str = "/process.Process/";
const PROCESS_UNARY: &[&str] = &["CloseStdin", "List", "SendInput", "SendSignal", "Update"];
const PROCESS_STREAMS: &[&str] = &["Connect", "Start", "StreamInput"];
const FILESYSTEM: &str = "/filesystem.Filesystem/";
const FILESYSTEM_UNARY: &[&str] = &["ListDir", "MakeDir", "Move", "Remove", "Stat"];
const FILESYSTEM_WATCHES: &[&str] = &["CreateWatcher", "GetWatcherEvents", "RemoveWatcher"];
const WATCH_DIR: &str = "WatchDir";

/// How much is read of a request's body.
pub(crate) fn max_body(parts: &Parts) -> usize {
    if parts.uri.path() == "/files" { files::MAX_BODY } else { MAX_BODY }
}

/// What the ledger calls a request that goes into a sandbox.
pub(crate) fn name(port: u16, path: &str) -> &'static str {
    match (port, path) {
        (interpreter::PORT, "/execute") => "interpreter_execute",
        (interpreter::PORT, path) if path.starts_with("/contexts") => "interpreter_contexts",
        (interpreter::PORT, _) => "interpreter_other",
        (_, "/health") => "envd_health",
        (_, "/files") => "envd_files",
        (_, path) if path.starts_with(PROCESS) => "envd_process",
        (_, path) if path.starts_with(FILESYSTEM) => "envd_filesystem",
        _ => "envd_other",
    }
}

/// The sandbox that a request goes to.
#[derive(Debug)]
struct Target {
    files: Files,
    token: Option<String>,
    environment: BTreeMap<String, String>,
}

/// The answer to a request that goes to a port of a sandbox.
pub(crate) async fn answer(
    sim: &Arc<Shared>,
    id: &str,
    port: u16,
    request: Received,
) -> Response<Body> {
    *sim.state().requests.entry("sandbox_traffic").or_default() += 1;
    time::sleep(sim.config.world.envd_latency).await;
    if let Err(refusal) = lifecycle::wake(sim, id).await {
        return refusal;
    }
    let target = {
        let mut state = sim.state();
        let Some(sandbox) = state.sandboxes.get_mut(id).filter(|sandbox| !sandbox.is_paused())
        else {
            return proxy::not_found(id);
        };
        let interprets = port == interpreter::PORT && sandbox.interprets();
        if sandbox.record.zombie || port != PORT && !interprets {
            return proxy::port_closed(id, port);
        }
        sandbox.record.seen_alive_at.get_or_insert_with(|| sim.since_began(clock::now()));
        if interprets {
            let inside = Inside {
                contexts: Arc::clone(&sandbox.contexts),
                environment: sandbox.env_vars.clone(),
                life: sandbox.life.subscribe(),
            };
            drop(state);
            return interpreter::answer(sim, inside, &request);
        }
        Target {
            files: sandbox.files.clone(),
            token: sandbox.access_token.clone(),
            environment: sandbox.env_vars.clone(),
        }
    };
    let mut answer = dispatch(sim, id, &target, &request).await;
    answer.headers_mut().entry(VARY).or_insert(HeaderValue::from_static("Origin"));
    answer
}

async fn dispatch(
    sim: &Arc<Shared>,
    id: &str,
    target: &Target,
    request: &Received,
) -> Response<Body> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    match path {
        "/health" => return only(method, &["GET"]).unwrap_or_else(health),
        "/init" => {
            return only(method, &["POST"]).unwrap_or_else(|| init(sim, id, target, request));
        }
        _ => {}
    }
    let shown = request.parts.headers.get("x-access-token").map(HeaderValue::as_bytes);
    let shows = target.token.as_ref().is_none_or(|token| shown == Some(token.as_bytes()));
    if path == "/files" {
        let access = files::Access { token: target.token.as_deref(), shown: shows };
        // Who shows no token may show a signature; a wrong token is wrong all the same.
        if !shows && shown.is_some() {
            return unauthorized();
        }
        return only(method, &["GET", "POST"])
            .unwrap_or_else(|| files::answer(sim, &target.files, &access, request));
    }
    if !shows {
        return unauthorized();
    }
    match path {
        "/metrics" => return only(method, &["GET"]).unwrap_or_else(|| metrics(sim, &target.files)),
        "/envs" => return only(method, &["GET"]).unwrap_or_else(|| environment(id, target)),
        _ => {}
    }
    if let Some(rpc) = path.strip_prefix(PROCESS) {
        if PROCESS_UNARY.contains(&rpc) {
            return match refused(request, false) {
                Some(refusal) => refusal,
                None => manage::unary(sim, id, rpc, request).await,
            };
        }
        if PROCESS_STREAMS.contains(&rpc) {
            return match (refused(request, true), rpc) {
                (Some(refusal), _) => refusal,
                (None, "Start") => start::start(sim, id, &target.files, request),
                (None, "Connect") => manage::connect(sim, id, request),
                (None, _) => manage::stream_input(sim, id, request).await,
            };
        }
    }
    if let Some(rpc) = path.strip_prefix(FILESYSTEM) {
        if FILESYSTEM_UNARY.contains(&rpc) {
            return refused(request, false)
                .unwrap_or_else(|| filesystem::answer(sim, &target.files, rpc, request));
        }
        if rpc == WATCH_DIR {
            return refused(request, true)
                .unwrap_or_else(|| watch::watch_dir(sim, id, &target.files, request));
        }
        if FILESYSTEM_WATCHES.contains(&rpc) {
            return refused(request, false)
                .unwrap_or_else(|| watch::unary(sim, id, &target.files, rpc, request));
        }
    }
    let mut answer = answer::text(StatusCode::NOT_FOUND, "404 page not found\n");
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The refusal of an RPC's request that is in another form, if it is.
fn refused(request: &Received, streams: bool) -> Option<Response<Body>> {
    only(&request.parts.method, &["POST"]).or_else(|| rpc::wrong_format(request, streams))
}

fn unauthorized() -> Response<Body> {
    let message =
        "unauthorized access, please provide a valid access token or method signing if supported";
    ApiError::new(StatusCode::UNAUTHORIZED, message).of_envd()
}

fn health() -> Response<Body> {
    uncached(answer::empty(StatusCode::NO_CONTENT))
}

fn uncached(mut answer: Response<Body>) -> Response<Body> {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn metrics(sim: &Shared, files: &Files) -> Response<Body> {
    let now = sim.date(clock::now()).duration_since(std::time::SystemTime::UNIX_EPOCH);
    let memory = u64::from(MEMORY_MB);
    let body = serde_json::json!({
        "ts": now.unwrap_or_default().as_secs(),
        "cpu_count": CPU_COUNT,
        "cpu_used_pct": 0,
        "mem_total_mib": memory,
        "mem_used_mib": memory / 8,
        "mem_total": memory << 20,
        "mem_used": memory << 17,
        "mem_cache": 0,
        "disk_used": files.used(),
        "disk_total": files.capacity(),
    });
    uncached(plain_json(&body))
}

fn environment(id: &str, target: &Target) -> Response<Body> {
    let mut all = target.environment.clone();
    all.insert(String::from("E2B_SANDBOX"), String::from("true"));
    all.insert(String::from("E2B_SANDBOX_ID"), id.to_owned());
    uncached(plain_json(&all))
}

/// JSON as the two look-ups send it.
fn plain_json(value: &impl serde::Serialize) -> Response<Body> {
    let mut answer = answer::json(StatusCode::OK, value);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Init {
    access_token: Option<String>,
    env_vars: Option<BTreeMap<String, String>>,
}

/// Sets variables for what is started from then on, and the token of a sandbox without one.
fn init(sim: &Shared, id: &str, target: &Target, request: &Received) -> Response<Body> {
    let garbled = || answer::text(StatusCode::BAD_REQUEST, "Failed to decode request");
    let Ok(body) = &request.body else { return garbled() };
    let Ok(mut init) = json::object::<Init>(if body.is_empty() { b"{}" } else { body }) else {
        return garbled();
    };
    init.access_token.take_if(|token| token.is_empty());
    let is_allowed = target.token.is_none() || init.access_token == target.token;
    let mut answer = if is_allowed {
        let mut state = sim.state();
        if let Some(sandbox) = state.sandboxes.get_mut(id) {
            if sandbox.access_token.is_none() {
                sandbox.access_token = init.access_token;
            }
            let held: usize = sandbox.env_vars.iter().map(|(k, v)| k.len() + v.len()).sum();
            // What is set again and again adds up.
            if held < MAX_BODY {
                sandbox.env_vars.extend(init.env_vars.unwrap_or_default());
            }
        }
        uncached(answer::empty(StatusCode::NO_CONTENT))
    } else {
        answer::text(StatusCode::UNAUTHORIZED, "access token validation failed")
    };
    answer.headers_mut().insert("x-envd-version", HeaderValue::from_static(ENVD_VERSION));
    answer
}

/// The refusal of a method that is not among those allowed, if it is not.
fn only(method: &Method, allowed: &[&'static str]) -> Option<Response<Body>> {
    if allowed.contains(&method.as_str()) {
        return None;
    }
    let mut answer = answer::empty(StatusCode::METHOD_NOT_ALLOWED);
    for allowed in allowed {
        answer.headers_mut().append(ALLOW, HeaderValue::from_static(allowed));
    }
    Some(answer)
}
