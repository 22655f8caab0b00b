//! envd: the daemon inside a sandbox.

mod connect;
mod envelope;
mod process;
mod start;

use std::sync::Arc;

use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, VARY},
};
use tokio::time;

use crate::{
    answer::{self, ApiError},
    body::Body,
    clock, proxy,
    service::Received,
    sim::Shared,
};

/// The longest body that is read, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The port that envd listens on.
const PORT: u16 = 49983;

/// RPCs of the real envd that are not simulated yet; of those in the second list the answer is a
/// stream.
const UNARY: &[&str] = &[
    "/process.Process/List",
    "/process.Process/Update",
    "/process.Process/SendInput",
    "/process.Process/SendSignal",
    "/process.Process/CloseStdin",
    "/filesystem.Filesystem/Stat",
    "/filesystem.Filesystem/MakeDir",
    "/filesystem.Filesystem/Move",
    "/filesystem.Filesystem/ListDir",
    "/filesystem.Filesystem/Remove",
    "/filesystem.Filesystem/CreateWatcher",
    "/filesystem.Filesystem/GetWatcherEvents",
    "/filesystem.Filesystem/RemoveWatcher",
];
const STREAMS: &[&str] = &[
    "/process.Process/Connect",
    "/process.Process/StreamInput",
    "/filesystem.Filesystem/WatchDir",
];
const START: &str = "/process.Process/Start";

/// The answer to a request that goes to a port of a sandbox.
pub(crate) async fn answer(
    sim: &Arc<Shared>,
    id: &str,
    port: u16,
    request: Received,
) -> Response<Body> {
    *sim.state().requests.entry("sandbox_traffic").or_default() += 1;
    time::sleep(sim.config.world.envd_latency).await;
    let unauthorized = {
        let mut state = sim.state();
        let Some(sandbox) = state.sandboxes.get_mut(id) else { return proxy::not_found(id) };
        if sandbox.record.zombie || port != PORT {
            return proxy::port_closed(id, port);
        }
        sandbox.record.seen_alive_at.get_or_insert_with(|| sim.since_began(clock::now()));
        let token = request.parts.headers.get("x-access-token").map(HeaderValue::as_bytes);
        sandbox.access_token.as_ref().is_some_and(|needed| token != Some(needed.as_bytes()))
    };
    let mut answer = dispatch(sim, id, unauthorized, request);
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Origin"));
    answer
}

fn dispatch(sim: &Arc<Shared>, id: &str, unauthorized: bool, request: Received) -> Response<Body> {
    let path = request.parts.uri.path();
    if path == "/health" {
        return health(&request.parts.method);
    }
    if unauthorized {
        let message = "unauthorized access, please provide a valid access token or method signing \
                       if supported";
        return ApiError::new(StatusCode::UNAUTHORIZED, message).of_envd();
    }
    let rpc = path == START || UNARY.contains(&path) || STREAMS.contains(&path);
    if rpc && request.parts.method != Method::POST {
        return not_allowed("POST");
    }
    if path == START {
        start::start(sim, id, request)
    } else if STREAMS.contains(&path) {
        connect::Error::not_simulated(path).in_stream()
    } else if UNARY.contains(&path) {
        connect::Error::not_simulated(path).unary()
    } else if matches!(path, "/files" | "/metrics" | "/envs" | "/init") {
        let message = format!("{path} is not simulated yet");
        ApiError::new(StatusCode::NOT_IMPLEMENTED, message).of_envd()
    } else {
        answer::text(StatusCode::NOT_FOUND, "404 page not found\n")
    }
}

fn health(method: &Method) -> Response<Body> {
    if method != Method::GET {
        return not_allowed("GET");
    }
    let mut answer = answer::empty(StatusCode::NO_CONTENT);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn not_allowed(allowed: &'static str) -> Response<Body> {
    let mut answer = answer::empty(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}
