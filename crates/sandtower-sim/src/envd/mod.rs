//! envd: the daemon inside a sandbox.

mod connect;
mod download;
mod envelope;
mod files;
mod filesystem;
mod init;
mod look_ups;
mod manage;
mod multipart;
mod process;
mod rpc;
pub(crate) mod signature;
mod start;
mod stream;
mod upload;
mod watch;

use std::{collections::BTreeMap, sync::Arc};

use http::header::{ALLOW, CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::files::Files;
use crate::request::Received;
use crate::response::{self, ApiError};
use crate::state::Shared;

pub(crate) use files::MAX_BODY as MAX_FILE;

/// The longest body that is read of most requests, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The port that envd listens on.
pub(crate) const PORT: u16 = 49983;

/// The RPCs, by their service; of those in the second list the answer is a stream.
const PROCESS: &str = "/process.Process/";
const PROCESS_UNARY: &[&str] = &["CloseStdin", "List", "SendInput", "SendSignal", "Update"];
const PROCESS_STREAMS: &[&str] = &["Connect", "Start", "StreamInput"];
const FILESYSTEM: &str = "/filesystem.Filesystem/";
const FILESYSTEM_UNARY: &[&str] = &["ListDir", "MakeDir", "Move", "Remove", "Stat"];
const FILESYSTEM_WATCHES: &[&str] = &["CreateWatcher", "GetWatcherEvents", "RemoveWatcher"];
const WATCH_DIR: &str = "WatchDir";

/// What the ledger calls a request to envd.
pub(crate) fn name(path: &str) -> &'static str {
    match path {
        "/health" => "envd_health",
        "/files" => "envd_files",
        path if path.starts_with(PROCESS) => "envd_process",
        path if path.starts_with(FILESYSTEM) => "envd_filesystem",
        _ => "envd_other",
    }
}

/// The sandbox that a request goes to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) files: Files,
    pub(crate) token: Option<String>,
    pub(crate) environment: BTreeMap<String, String>,
}

/// The response to a request to envd.
pub(crate) async fn respond(
    sim: &Arc<Shared>,
    id: &str,
    target: &Target,
    request: &Received,
) -> Response<Body> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    match path {
        "/health" => return only(method, &["GET"]).unwrap_or_else(look_ups::health),
        "/init" => {
            return only(method, &["POST"]).unwrap_or_else(|| init::init(sim, id, target, request));
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
            .unwrap_or_else(|| files::respond(sim, &target.files, &access, request));
    }
    if !shows {
        return unauthorized();
    }
    match path {
        "/metrics" => {
            return only(method, &["GET"]).unwrap_or_else(|| look_ups::metrics(sim, &target.files));
        }
        "/envs" => {
            return only(method, &["GET"]).unwrap_or_else(|| look_ups::environment(id, target));
        }
        _ => {}
    }
    if let Some(rpc) = path.strip_prefix(PROCESS) {
        if PROCESS_UNARY.contains(&rpc) {
            return match rejected(request, false) {
                Some(error) => error,
                None => manage::unary(sim, id, rpc, request).await,
            };
        }
        if PROCESS_STREAMS.contains(&rpc) {
            return match (rejected(request, true), rpc) {
                (Some(error), _) => error,
                (None, "Start") => start::start(sim, id, &target.files, request),
                (None, "Connect") => manage::connect(sim, id, request),
                (None, _) => manage::stream_input(sim, id, request).await,
            };
        }
    }
    if let Some(rpc) = path.strip_prefix(FILESYSTEM) {
        if FILESYSTEM_UNARY.contains(&rpc) {
            return rejected(request, false)
                .unwrap_or_else(|| filesystem::respond(sim, &target.files, rpc, request));
        }
        if rpc == WATCH_DIR {
            return rejected(request, true)
                .unwrap_or_else(|| watch::watch_dir(sim, id, &target.files, request));
        }
        if FILESYSTEM_WATCHES.contains(&rpc) {
            return rejected(request, false)
                .unwrap_or_else(|| watch::unary(sim, id, &target.files, rpc, request));
        }
    }
    let mut response = response::text(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The error of an RPC's request that is in another form, if it is.
fn rejected(request: &Received, streams: bool) -> Option<Response<Body>> {
    only(&request.parts.method, &["POST"]).or_else(|| rpc::wrong_format(request, streams))
}

fn unauthorized() -> Response<Body> {
    let message =
        "unauthorized access, please provide a valid access token or method signing if supported";
    ApiError::new(StatusCode::UNAUTHORIZED, message).envd_response()
}

fn uncached(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The error of a method that is not among those allowed, if it is not.
fn only(method: &Method, allowed: &[&'static str]) -> Option<Response<Body>> {
    if allowed.contains(&method.as_str()) {
        return None;
    }
    let mut response = response::empty(StatusCode::METHOD_NOT_ALLOWED);
    for allowed in allowed {
        response.headers_mut().append(ALLOW, HeaderValue::from_static(allowed));
    }
    Some(response)
}
