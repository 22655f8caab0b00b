//! Where a request goes: a pure function of its method, its target and its header fields.

use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header, request};
use sandtower::e2b::{ENVD_PORT, INTERPRETER_PORT, SANDBOX_ID, SANDBOX_PORT, SandboxId};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the control plane.
    Control,
    /// Into a sandbox.
    Sandbox {
        /// Which one.
        id: SandboxId,
        /// The port in it.
        port: u16,
    },
    /// Into a sandbox that the request does not name: its token or its signature tells which.
    Unnamed {
        /// The port in it.
        port: u16,
    },
    /// Nowhere: the text is what to do about it.
    Invalid(&'static str),
}

/// Finds out where the request with this `head` goes.
///
/// In domain mode, under `domain`, the host says so: `api.<domain>` is the control plane, `<port>-<id>.<domain>`
/// a sandbox. On any other host the header fields `E2b-Sandbox-Id` and `E2b-Sandbox-Port` do; without them,
/// paths that only a sandbox knows go into one, and all others to the control plane.
///
/// Call it before hop-by-hop header fields are removed: `Connection` could name the two fields.
pub fn route(domain: Option<&str>, head: &request::Parts) -> Route {
    if has_dot_segments(head.uri.path()) {
        return Route::Invalid("the path must not contain `.` or `..` segments");
    }
    let named = match by_fields(&head.headers) {
        Ok(named) => named,
        Err(problem) => return Route::Invalid(problem),
    };
    match (by_host(domain, head), named) {
        (Host::Invalid, _) => Route::Invalid("Invalid host"),
        (Host::Control, _) => Route::Control,
        (Host::Sandbox(id, port), Some(named)) if named != (id.clone(), port) => {
            Route::Invalid("the host and the header fields name different sandboxes")
        }
        (Host::Sandbox(id, port), _) | (Host::Other, Some((id, port))) => {
            Route::Sandbox { id, port }
        }
        (Host::Other, None) => match port_of_path(head.uri.path()) {
            Some(port) => Route::Unnamed { port },
            None => Route::Control,
        },
    }
}

/// What is wrong with how a request names its host, or asks for a tunnel to it: servers that a request
/// passes must not take it for different hosts.
pub(super) fn host_problem(head: &request::Parts) -> Option<&'static str> {
    let mut fields = head.headers.get_all(header::HOST).iter();
    let first = fields.next();
    if fields.next().is_some() {
        return Some("Host is there twice");
    }
    if first.is_none() && head.version == Version::HTTP_11 {
        return Some("Missing header: Host");
    }
    if head.method == Method::CONNECT {
        return Some("the gateway makes no tunnels");
    }
    // HTTP/1.1 has a server ignore the field beside a whole target.
    let authority = head.uri.authority().filter(|_| head.version == Version::HTTP_2);
    let differs = |authority: &Authority| {
        first.is_some_and(|host| {
            !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
        })
    };
    authority.is_some_and(differs).then_some("`:authority` and Host name different hosts")
}

enum Host {
    Control,
    Sandbox(SandboxId, u16),
    Other,
    Invalid,
}

fn by_host(domain: Option<&str>, head: &request::Parts) -> Host {
    let Some(domain) = domain else { return Host::Other };
    let Some(host) = host(&head.uri, &head.headers) else { return Host::Other };
    let Some(label) = label_under(host, domain) else { return Host::Other };
    if label.eq_ignore_ascii_case("api") {
        return Host::Control;
    }
    let Some((port, id)) = label.split_once('-') else { return Host::Invalid };
    match (port_number(port), id.parse()) {
        (Some(port), Ok(id)) => Host::Sandbox(id, port),
        _ => Host::Invalid,
    }
}

/// The host without its port, as the target or the header field names it.
pub(crate) fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let of_field = || headers.get(header::HOST)?.to_str().ok();
    let host = uri.authority().map(http::uri::Authority::as_str).or_else(of_field)?;
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    Some(if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host })
}

/// The part of `host` before `.domain`.
fn label_under<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let at = host.len().checked_sub(domain.len())?;
    let (label, suffix) = host.split_at_checked(at)?;
    suffix.eq_ignore_ascii_case(domain).then(|| label.strip_suffix('.'))?
}

/// The sandbox and the port that header fields name, each once.
fn by_fields(headers: &HeaderMap) -> Result<Option<(SandboxId, u16)>, &'static str> {
    let id = only(headers.get_all(SANDBOX_ID).iter(), "E2b-Sandbox-Id is there twice")?;
    let port = only(headers.get_all(SANDBOX_PORT).iter(), "E2b-Sandbox-Port is there twice")?;
    let (id, port) = match (id, port) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Err("Missing header: E2b-Sandbox-Port"),
        (None, Some(_)) => return Err("Missing header: E2b-Sandbox-Id"),
        (Some(id), Some(port)) => (id, port),
    };
    let id = id.parse().map_err(|_| "Invalid sandbox ID")?;
    Ok(Some((id, port_number(port).ok_or("Invalid sandbox port")?)))
}

fn only<'a>(
    mut values: impl Iterator<Item = &'a HeaderValue>,
    twice: &'static str,
) -> Result<Option<&'a str>, &'static str> {
    let first = values.next();
    if values.next().is_some() {
        return Err(twice);
    }
    // What is not text is no id and no port.
    Ok(first.map(|value| value.to_str().unwrap_or_default()))
}

fn port_number(text: &str) -> Option<u16> {
    let is_number = (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

/// The port of a path that only a sandbox knows.
fn port_of_path(path: &str) -> Option<u16> {
    match path {
        "/files" | "/envs" | "/init" => Some(ENVD_PORT),
        "/execute" | "/contexts" => Some(INTERPRETER_PORT),
        path if path.starts_with("/process.") || path.starts_with("/filesystem.") => {
            Some(ENVD_PORT)
        }
        path if path.starts_with("/contexts/") => Some(INTERPRETER_PORT),
        _ => None,
    }
}

/// Whether a server could take the path for another one.
fn has_dot_segments(path: &str) -> bool {
    if !path.bytes().any(|byte| matches!(byte, b'.' | b'%')) {
        return false;
    }
    path.split(['/', '\\']).any(|segment| {
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        dots == "." || dots == ".."
    })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const DOMAIN: Option<&str> = Some("gw.example");

    fn of(domain: Option<&str>, uri: &str, fields: &[(&str, &str)]) -> Route {
        let mut request = Request::get(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        route(domain, &request.body(()).unwrap().into_parts().0)
    }

    fn sandbox(id: &str, port: u16) -> Route {
        Route::Sandbox { id: id.parse().unwrap(), port }
    }

    #[test]
    fn on_one_address_header_fields_tell_sandboxes_from_the_control_plane() {
        let fields = [("e2b-sandbox-id", "i0abc"), ("e2b-sandbox-port", "49983")];
        assert_eq!(of(None, "/health", &fields), sandbox("i0abc", 49_983));
        assert_eq!(of(DOMAIN, "/health", &fields), sandbox("i0abc", 49_983));
        assert_eq!(of(None, "/health", &[]), Route::Control);
        assert_eq!(of(None, "/v2/sandboxes", &[("host", "127.0.0.1:80")]), Route::Control);
    }

    #[test]
    fn under_a_domain_the_host_does() {
        let host = |host| of(DOMAIN, "/x", &[("host", host)]);
        assert_eq!(host("api.gw.example"), Route::Control);
        assert_eq!(host("API.GW.EXAMPLE:8443"), Route::Control);
        assert_eq!(host("3000-i0abc.gw.example:8443"), sandbox("i0abc", 3000));
        assert_eq!(host("gw.example"), Route::Control);
        assert_eq!(of(DOMAIN, "https://3000-i0abc.gw.example/x", &[]), sandbox("i0abc", 3000));
        for bad in ["x.gw.example", "0-i0.gw.example", "70000-i0.gw.example", "3-i_/.gw.example"] {
            assert_eq!(host(bad), Route::Invalid("Invalid host"), "{bad}");
        }
        // Not under the domain: as without one.
        for other in ["3000-i0.evilgw.example", "3000-i0.gw.example.evil.test", "[::1]:80"] {
            assert_eq!(host(other), Route::Control, "{other}");
        }
    }

    #[test]
    fn two_names_for_two_sandboxes_are_rejected() {
        let fields = |id, port| {
            let fields =
                [("host", "1-a.gw.example"), ("e2b-sandbox-id", id), ("e2b-sandbox-port", port)];
            of(DOMAIN, "/", &fields)
        };
        assert_eq!(fields("a", "1"), sandbox("a", 1));
        assert!(matches!(fields("b", "1"), Route::Invalid(_)));
        assert!(matches!(fields("a", "2"), Route::Invalid(_)));
    }

    #[test]
    fn what_is_no_sandbox_is_rejected_in_the_words_of_the_service() {
        let fields =
            |id, port| of(None, "/", &[("e2b-sandbox-id", id), ("e2b-sandbox-port", port)]);
        let long = "a".repeat(129);
        for id in ["", "../x", "a b", "a.b", "a/b", "127.0.0.1", &long] {
            assert_eq!(fields(id, "1"), Route::Invalid("Invalid sandbox ID"), "{id}");
        }
        for port in ["", "0", "-1", "+1", "65536", "1.0", "000080", "x"] {
            assert_eq!(fields("a", port), Route::Invalid("Invalid sandbox port"), "{port}");
        }
        let half = of(None, "/", &[("e2b-sandbox-id", "a")]);
        assert_eq!(half, Route::Invalid("Missing header: E2b-Sandbox-Port"));
        let half = of(None, "/", &[("e2b-sandbox-port", "1")]);
        assert_eq!(half, Route::Invalid("Missing header: E2b-Sandbox-Id"));
        let twice = [("e2b-sandbox-id", "a"), ("e2b-sandbox-id", "b"), ("e2b-sandbox-port", "1")];
        assert!(matches!(of(None, "/", &twice), Route::Invalid(_)));
    }

    #[test]
    fn paths_that_only_a_sandbox_knows_go_into_one() {
        for (path, port) in [
            ("/files?path=a&signature=v1_x", ENVD_PORT),
            ("/process.Process/Start", ENVD_PORT),
            ("/execute", INTERPRETER_PORT),
            ("/contexts/1/restart", INTERPRETER_PORT),
        ] {
            assert_eq!(of(None, path, &[]), Route::Unnamed { port }, "{path}");
        }
    }

    #[test]
    fn a_path_means_the_same_to_every_server() {
        for path in ["/sandboxes/../teams", "/a/%2e%2E/b", "/.", "/a/.%2e", "/a\\..\\b"] {
            let Ok(_) = path.parse::<Uri>() else { continue };
            assert!(matches!(of(None, path, &[]), Route::Invalid(_)), "{path}");
        }
        assert_eq!(of(None, "/templates/aliases/team%2Fname.v1", &[]), Route::Control);
    }
}
