use http::{HeaderName, HeaderValue, Method, Request, header};
use sandtower_core::{Operation, Replay};
use sandtower_http::is_idempotent;

use crate::operation::{self as op, replay};

/// The port of the daemon in each sandbox.
pub const ENVD_PORT: u16 = 49_983;
/// The port of the code interpreter.
pub const INTERPRETER_PORT: u16 = 49_999;

/// Header that names the sandbox of a request, on any host.
pub const SANDBOX_ID: HeaderName = HeaderName::from_static("e2b-sandbox-id");
/// Header that names the port of a sandbox, on any host.
pub const SANDBOX_PORT: HeaderName = HeaderName::from_static("e2b-sandbox-port");

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Recognises the operation of a request, and whether it may be replayed.
///
/// A request goes to a sandbox if it names a port in `E2b-Sandbox-Port`, or its host is
/// `<port>-<id>.<domain>` or envd itself, or else if its path exists only in sandboxes. Both versions of
/// the control plane's paths are recognised.
///
/// A creation may be replayed only as `POST /v2/sandboxes` with an `Idempotency-Key` in E2B's format.
/// Setting the header asserts that the server honours it.
///
/// ```
/// use http::Request;
/// use sandtower_core::Replay;
/// use sandtower_e2b::{operation, recognise};
///
/// let request = Request::post("https://api.e2b.app/v2/sandboxes").body(())?;
/// assert_eq!(recognise(&request), (operation::SANDBOX_CREATE, Replay::Unsafe));
///
/// let request = Request::get("https://49983-i0abc.e2b.app/health").body(())?;
/// assert_eq!(recognise(&request), (operation::ENVD_HEALTH, Replay::Safe));
/// # Ok::<(), http::Error>(())
/// ```
pub fn recognise<B>(request: &Request<B>) -> (Operation, Replay) {
    let (method, path) = (request.method(), request.uri().path());
    let operation = match door(request) {
        Door::ControlPlane => control_plane(method, path),
        Door::Port(ENVD_PORT) => envd(method, path),
        Door::Port(INTERPRETER_PORT) => interpreter(method, path),
        Door::Port(_) => op::SANDBOX_TRAFFIC,
    };
    let replay = match replay(operation) {
        _ if operation == op::SANDBOX_CREATE && has_key(request) => Replay::Safe,
        Some(replay) => replay,
        None if is_idempotent(method) => Replay::Safe,
        None => Replay::Unsafe,
    };
    (operation, replay)
}

/// The destination of a request.
enum Door {
    ControlPlane,
    /// This port of a sandbox; 0 if invalid.
    Port(u16),
}

fn door<B>(request: &Request<B>) -> Door {
    if let Some(port) = request.headers().get(SANDBOX_PORT) {
        return Door::Port(port.to_str().ok().and_then(|port| port.parse().ok()).unwrap_or(0));
    }
    if let Some(port) = host(request).and_then(sandbox_port) {
        return Door::Port(port);
    }
    match request.uri().path() {
        "/files" | "/envs" | "/init" => Door::Port(ENVD_PORT),
        path if path.starts_with("/process.") || path.starts_with("/filesystem.") => {
            Door::Port(ENVD_PORT)
        }
        "/execute" => Door::Port(INTERPRETER_PORT),
        _ => Door::ControlPlane,
    }
}

/// The sandbox that a request names, if any.
pub(crate) fn sandbox_of<B>(request: &Request<B>) -> Option<&str> {
    if let Some(id) = request.headers().get(SANDBOX_ID) {
        return id.to_str().ok();
    }
    let (port, id) = label(host(request)?).split_once('-')?;
    (port.parse::<u16>().is_ok() && !id.is_empty()).then_some(id)
}

fn host<B>(request: &Request<B>) -> Option<&str> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

/// The first label of a host name.
fn label(host: &str) -> &str {
    host.split(['.', ':']).next().unwrap_or(host)
}

/// The port in a host such as `49983-i0abc.e2b.app`, or of envd or the interpreter without a proxy in
/// front.
fn sandbox_port(host: &str) -> Option<u16> {
    let label = label(host);
    if let Some(dash) = label.bytes().position(|byte| byte == b'-')
        // Not an address written with dashes, such as `10-0-0-1`.
        && label[dash..].bytes().any(|byte| byte.is_ascii_alphabetic())
        && let Ok(port) = label[..dash].parse()
    {
        return Some(port);
    }
    let port = host.rsplit_once(':')?.1.parse().ok()?;
    matches!(port, ENVD_PORT | INTERPRETER_PORT).then_some(port)
}

/// Splits bytes, which is faster than text: every layer of a stack needs this for every request.
fn control_plane(method: &Method, path: &str) -> Operation {
    let mut parts: [&[u8]; 4] = [b""; 4];
    let mut len = 0;
    let segments =
        path.as_bytes().split(|&byte| byte == b'/').filter(|segment| !segment.is_empty());
    for segment in segments.skip_while(|segment| is_version(segment)) {
        let Some(part) = parts.get_mut(len) else { return op::CONTROL_OTHER };
        *part = segment;
        len += 1;
    }
    match (method.as_str(), &parts[..len]) {
        ("POST", [b"sandboxes"]) => op::SANDBOX_CREATE,
        ("GET", [b"sandboxes"]) => op::SANDBOX_LIST,
        ("GET", [b"sandboxes", b"metrics"] | [b"sandboxes", _, b"metrics"]) => op::SANDBOX_METRICS,
        ("GET", [b"sandboxes", _, b"logs"]) => op::SANDBOX_LOGS,
        ("GET", [b"sandboxes", _]) => op::SANDBOX_INFO,
        ("DELETE", [b"sandboxes", _]) => op::SANDBOX_KILL,
        ("PUT", [b"sandboxes", _, b"network"]) => op::SANDBOX_NETWORK,
        ("POST", [b"sandboxes", _, verb]) => sandbox_verb(verb),
        ("GET", [b"snapshots"]) => op::SNAPSHOT_LIST,
        ("GET", [b"templates", ..]) => op::TEMPLATE_READ,
        ("POST", [b"templates", ..]) => op::TEMPLATE_BUILD,
        ("GET", [b"health"]) => op::HEALTH,
        _ => op::CONTROL_OTHER,
    }
}

fn sandbox_verb(verb: &[u8]) -> Operation {
    match verb {
        b"connect" => op::SANDBOX_CONNECT,
        b"timeout" => op::SANDBOX_TIMEOUT,
        b"pause" => op::SANDBOX_PAUSE,
        b"resume" => op::SANDBOX_RESUME,
        b"refreshes" => op::SANDBOX_REFRESH,
        b"fork" => op::SANDBOX_FORK,
        b"snapshots" => op::SANDBOX_SNAPSHOT,
        _ => op::CONTROL_OTHER,
    }
}

/// `v1`, `v2`, ...
fn is_version(segment: &[u8]) -> bool {
    segment
        .strip_prefix(b"v")
        .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit))
}

fn envd(method: &Method, path: &str) -> Operation {
    match (method.as_str(), path) {
        ("GET", "/health") => op::ENVD_HEALTH,
        ("GET", "/metrics") => op::ENVD_METRICS,
        ("GET", "/envs") => op::ENVD_ENVS,
        ("POST", "/init") => op::ENVD_INIT,
        ("GET", "/files") => op::FILE_READ,
        ("POST", "/files") => op::FILE_WRITE,
        ("POST", path) => match path.bytes().rposition(|byte| byte == b'/') {
            Some(slash) if is_ours(&path[..slash]) => remote_call(&path[slash + 1..]),
            _ => op::ENVD_OTHER,
        },
        _ => op::ENVD_OTHER,
    }
}

/// A method of one of envd's two services, with any prefix.
fn is_ours(service: &str) -> bool {
    service.ends_with(".Process") || service.ends_with(".Filesystem")
}

fn remote_call(call: &str) -> Operation {
    match call {
        "List" => op::PROCESS_LIST,
        "Start" => op::PROCESS_START,
        "Connect" => op::PROCESS_CONNECT,
        "Update" => op::PROCESS_UPDATE,
        "SendInput" | "StreamInput" | "CloseStdin" => op::PROCESS_INPUT,
        "SendSignal" => op::PROCESS_SIGNAL,
        "Stat" => op::FILE_STAT,
        "ListDir" => op::FILE_LIST,
        "MakeDir" => op::FILE_MAKE_DIR,
        "Move" => op::FILE_MOVE,
        "Remove" => op::FILE_REMOVE,
        "WatchDir" | "CreateWatcher" | "GetWatcherEvents" | "RemoveWatcher" => op::FILE_WATCH,
        _ => op::ENVD_OTHER,
    }
}

fn interpreter(method: &Method, path: &str) -> Operation {
    if method == Method::POST && path == "/execute" { op::CODE_EXECUTE } else { op::CODE_OTHER }
}

/// 1-255 characters of `[a-z0-9-]`, the format of the newer creation call.
fn has_key<B>(request: &Request<B>) -> bool {
    idempotency_key(request).is_some()
}

/// The key by which a creation may be replayed.
pub(crate) fn idempotency_key<B>(request: &Request<B>) -> Option<&HeaderValue> {
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let key = request.headers().get(IDEMPOTENCY_KEY)?;
    let is_key = (1..=255).contains(&key.len()) && key.as_bytes().iter().all(allowed);
    (is_key && request.uri().path() == "/v2/sandboxes").then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recognised(request: http::request::Builder) -> (Operation, Replay) {
        recognise(&request.body(()).unwrap())
    }

    #[test]
    fn the_same_path_is_another_operation_on_another_port() {
        let health = || Request::get("/health");
        assert_eq!(recognised(health()).0, op::HEALTH);
        assert_eq!(recognised(health().header("host", "api.e2b.app")).0, op::HEALTH);
        assert_eq!(recognised(health().header(SANDBOX_PORT, "49983")).0, op::ENVD_HEALTH);
        assert_eq!(recognised(health().header(SANDBOX_PORT, "8080")).0, op::SANDBOX_TRAFFIC);
        assert_eq!(recognised(health().header(SANDBOX_PORT, "x")).0, op::SANDBOX_TRAFFIC);
        assert_eq!(recognised(health().header("host", "49983-i0.e2b.app")).0, op::ENVD_HEALTH);
        assert_eq!(recognised(health().header("host", "3000-i0.e2b.app")).0, op::SANDBOX_TRAFFIC);
        assert_eq!(recognised(health().header("host", "127.0.0.1:49983")).0, op::ENVD_HEALTH);
        assert_eq!(recognised(Request::get("http://[::1]:49983/health")).0, op::ENVD_HEALTH);
        assert_eq!(recognised(Request::get("http://10-0-0-1.dns.test/health")).0, op::HEALTH);
    }

    #[test]
    fn both_versions_of_a_path_are_one_operation() {
        for version in ["", "/v1", "/v2", "/v3"] {
            let to = |path: &str| format!("{version}/sandboxes{path}");
            assert_eq!(recognised(Request::post(to(""))).0, op::SANDBOX_CREATE);
            assert_eq!(recognised(Request::post(to("/i0/connect"))).0, op::SANDBOX_CONNECT);
            assert_eq!(recognised(Request::get(to("/i0/logs?limit=1"))).0, op::SANDBOX_LOGS);
        }
    }

    #[test]
    fn a_creation_is_replayed_only_with_a_valid_key() {
        let create = |path, key: &str| Request::post(path).header(IDEMPOTENCY_KEY, key);
        assert_eq!(recognised(create("/v2/sandboxes", "req-1")).1, Replay::Safe);
        assert_eq!(recognised(create("/sandboxes", "req-1")).1, Replay::Unsafe);
        assert_eq!(recognised(create("/v2/sandboxes", "REQ 1")).1, Replay::Unsafe);
        assert_eq!(recognised(create("/v2/sandboxes", "")).1, Replay::Unsafe);
        assert_eq!(recognised(create("/v2/sandboxes", &"a".repeat(256))).1, Replay::Unsafe);
    }

    #[test]
    fn for_unknown_paths_the_method_decides_on_replay() {
        assert_eq!(recognised(Request::delete("/teams/x")), (op::CONTROL_OTHER, Replay::Safe));
        assert_eq!(recognised(Request::post("/teams")), (op::CONTROL_OTHER, Replay::Unsafe));
        let user = Request::post("/buy").header(SANDBOX_PORT, "3000");
        assert_eq!(recognised(user), (op::SANDBOX_TRAFFIC, Replay::Unsafe));
    }

    proptest! {
        #[test]
        fn no_request_makes_the_parser_panic(
            path in "(/[a-zA-Z0-9._%-]{0,8}){0,7}",
            port in "[ -~]{0,8}",
            host in "[a-z0-9.:-]{0,24}",
        ) {
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let request = Request::get(path).header("host", host);
            let _ = recognised(request);
            let _ = recognised(Request::post("/").header(SANDBOX_PORT, port));
        }
    }
}
