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

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::select;
use tokio::time::{self, Instant};

use crate::body::{Body, Sender};
use crate::files::{Entry, FileError, Files, Kind};
use crate::query::Query;
use crate::request::{Received, Unreadable};
use crate::response::{self, ApiError, With as _};
use crate::runner::{Command, Signal};
use crate::state::Shared;
use crate::state::process::{Process, TooMany};
use crate::state::sandbox::{self, Life, Sandbox};
use crate::{clock, gzip};

use connect::{Code, Error};
use rpc::Times;

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
        // A request without a token may show a signature; a wrong token is wrong all the same.
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
    let times = match Times::of(&request.parts.headers) {
        Ok(times) => times,
        Err(error) if is_stream => return error.in_stream(),
        Err(error) => return error.unary(),
    };
    let call = Call { sim, id, files, request, times };
    let rpc = path.rsplit('/').next().unwrap_or_default();
    if is_stream {
        let body = match rpc {
            "Start" => start::start(call),
            "Connect" => manage::connect(call),
            "WatchDir" => watch::watch_dir(call),
            _ => times.bound(manage::stream_input(call)).await,
        };
        return body.map_or_else(|error| error.in_stream(), connect::stream);
    }
    let outcome = match rpc {
        rpc if path.starts_with(PROCESS) => times.bound(manage::unary(call, rpc)).await,
        rpc if rpc.contains("Watcher") => watch::unary(call, rpc),
        rpc => filesystem::unary(call, rpc),
    };
    rpc::respond(request, outcome)
}

/// An RPC in a sandbox.
#[derive(Clone, Copy)]
struct Call<'a> {
    sim: &'a Arc<Shared>,
    id: &'a str,
    files: &'a Files,
    request: &'a Received,
    times: Times,
}

impl Call<'_> {
    fn user(&self) -> Result<String, Error> {
        rpc::user(&self.request.parts.headers)
    }

    /// Works on the sandbox, which may have ended meanwhile.
    fn sandbox<T>(&self, work: impl FnOnce(&mut Sandbox) -> T) -> Result<T, Error> {
        let mut state = self.sim.state();
        state.sandboxes.get_mut(self.id).map(work).ok_or_else(|| {
            Error::new(Code::INTERNAL, format!("sandbox {} is shutting down", self.id))
        })
    }
}

fn unauthorized() -> Response<Body> {
    let message =
        "unauthorized access, please provide a valid access token or method signing if supported";
    ApiError::new(401, message).envd_response()
}
