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

use http::header::{ALLOW, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use crate::body::Body;
use crate::files::Files;
use crate::request::Received;
use crate::response::{self, ApiError, With as _};
use crate::state::Shared;

pub(crate) use files::MAX_BODY as MAX_FILE;

/// The longest body that is read of most requests, in bytes.
pub(crate) const MAX_BODY: usize = 1024 * 1024;

/// The port that envd listens on.
pub(crate) const PORT: u16 = 49983;

const PROCESS: &str = "/process.Process/";
const FILESYSTEM: &str = "/filesystem.Filesystem/";
/// The RPCs; the response to those in the second list is a stream.
const UNARY: &[&str] = &[
    "/process.Process/CloseStdin",
    "/process.Process/List",
    "/process.Process/SendInput",
    "/process.Process/SendSignal",
    "/process.Process/Update",
    "/filesystem.Filesystem/CreateWatcher",
    "/filesystem.Filesystem/GetWatcherEvents",
    "/filesystem.Filesystem/ListDir",
    "/filesystem.Filesystem/MakeDir",
    "/filesystem.Filesystem/Move",
    "/filesystem.Filesystem/Remove",
    "/filesystem.Filesystem/RemoveWatcher",
    "/filesystem.Filesystem/Stat",
];
const STREAMS: &[&str] = &[
    "/process.Process/Connect",
    "/process.Process/Start",
    "/process.Process/StreamInput",
    "/filesystem.Filesystem/WatchDir",
];

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
    let (method, path) = (request.parts.method.as_str(), request.parts.uri.path());
    let (files, token) = (&target.files, target.token.as_deref());
    let shown = request.parts.headers.get("x-access-token").map(HeaderValue::as_bytes);
    let shows = token.is_none_or(|token| shown == Some(token.as_bytes()));
    let is_open = match path {
        "/health" | "/init" => true,
        // Who shows no token may show a signature; a wrong token is wrong all the same.
        "/files" => shown.is_none(),
        _ => false,
    };
    if !shows && !is_open {
        return unauthorized();
    }
    let is_stream = STREAMS.contains(&path);
    let allowed: &[&'static str] = match path {
        "/health" | "/metrics" | "/envs" => &["GET"],
        "/files" => &["GET", "POST"],
        "/init" => &["POST"],
        path if is_stream || UNARY.contains(&path) => &["POST"],
        _ => {
            return response::text(404, "404 page not found\n")
                .with(X_CONTENT_TYPE_OPTIONS, "nosniff");
        }
    };
    if !allowed.contains(&method) {
        let mut response = response::empty(405);
        for allowed in allowed {
            response.headers_mut().append(ALLOW, HeaderValue::from_static(allowed));
        }
        return response;
    }
    match path {
        "/health" => return look_ups::health(),
        "/metrics" => return look_ups::metrics(sim, files),
        "/envs" => return look_ups::environment(id, target),
        "/init" => return init::init(sim, id, target, request),
        "/files" => return files::respond(sim, files, token.filter(|_| !shows), request),
        _ => {}
    }
    if let Some(error) = rpc::wrong_format(request, is_stream) {
        return error;
    }
    match path.rsplit('/').next().unwrap_or_default() {
        "Start" => start::start(sim, id, files, request),
        "Connect" => manage::connect(sim, id, request),
        "StreamInput" => manage::stream_input(sim, id, request).await,
        "WatchDir" => watch::watch_dir(sim, id, files, request),
        rpc if path.starts_with(PROCESS) => manage::unary(sim, id, rpc, request).await,
        rpc if rpc.contains("Watcher") => watch::unary(sim, id, files, rpc, request),
        rpc => filesystem::respond(sim, files, rpc, request),
    }
}

fn unauthorized() -> Response<Body> {
    let message =
        "unauthorized access, please provide a valid access token or method signing if supported";
    ApiError::new(401, message).envd_response()
}
