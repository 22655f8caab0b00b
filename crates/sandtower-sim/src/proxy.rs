//! The way into a sandbox: where a request goes, and what the proxy says when it cannot go there.

use http::{Response, header::HOST, request::Parts};
use serde_json::{Value, json};

use crate::body::Body;
use crate::response::{self, ApiError};

const SANDBOX_ID: &str = "e2b-sandbox-id";
const SANDBOX_PORT: &str = "e2b-sandbox-port";

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    ControlPlane,
    Sandbox {
        id: String,
        port: u16,
    },
    /// It names a sandbox, but not properly.
    Nowhere(&'static str),
}

impl Destination {
    /// By the two headers or by a host such as `49983-i0123456789.e2b.app`.
    pub(crate) fn of(parts: &Parts) -> Self {
        let header = |name| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        match (header(SANDBOX_ID), header(SANDBOX_PORT)) {
            (None, None) => Self::of_host(parts),
            (Some(_), None) => Self::Nowhere("Missing header: E2b-Sandbox-Port"),
            (None, Some(_)) => Self::Nowhere("Missing header: E2b-Sandbox-Id"),
            (Some(id), Some(port)) => match port.parse() {
                Ok(port) if is_id(id) => Self::Sandbox { id: id.to_owned(), port },
                Ok(_) => Self::Nowhere("Invalid sandbox ID"),
                Err(_) => Self::Nowhere("Invalid sandbox port"),
            },
        }
    }

    fn of_host(parts: &Parts) -> Self {
        let header = || parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let host = parts.uri.host().or_else(header).unwrap_or_default();
        let Some((label, _domain)) = host.split_once('.') else { return Self::ControlPlane };
        match label.split_once('-') {
            Some((port, id)) if port.bytes().all(|b| b.is_ascii_digit()) && is_id(id) => {
                match port.parse() {
                    Ok(port) => Self::Sandbox { id: id.to_owned(), port },
                    Err(_) => Self::Nowhere("Invalid host"),
                }
            }
            _ => Self::ControlPlane,
        }
    }
}

/// Whether this could be a sandbox's id.
pub(crate) fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// What the proxy says of a sandbox, with what else it tells.
fn of(status: u16, sandbox_id: &str, message: &str, more: Value) -> Response<Body> {
    let mut body = json!({ "sandboxId": sandbox_id, "message": message, "code": status });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    response::json(status, &body)
}

/// There is no such sandbox, or none any more.
pub(crate) fn not_found(sandbox_id: &str) -> Response<Body> {
    of(502, sandbox_id, "The sandbox was not found", Value::Null)
}

/// Nothing listens on that port of the sandbox.
pub(crate) fn port_closed(sandbox_id: &str, port: u16) -> Response<Body> {
    let message = "The sandbox is running but port is not open";
    of(502, sandbox_id, message, json!({ "port": port }))
}

/// The sandbox is being paused or resumed.
pub(crate) fn transitioning(sandbox_id: &str) -> Response<Body> {
    let message = "The sandbox is still transitioning. Try again in a moment.";
    of(409, sandbox_id, message, Value::Null)
}

/// The sandbox takes no traffic without a token: `shown` says whether the request had one.
pub(crate) fn traffic_token(sandbox_id: &str, header: &str, shown: bool) -> Response<Body> {
    let problem = if shown {
        format!("Provided token in header '{header}' is invalid")
    } else {
        format!("Token header '{header}' is missing")
    };
    let message = format!("Sandbox is secured with traffic access token. {problem}");
    of(403, sandbox_id, &message, Value::Null)
}

/// The most connections that the proxy lets into a sandbox.
const CONNECTION_LIMIT: u32 = 2_500;

/// There are too many connections to the sandbox.
pub(crate) fn too_many_connections(sandbox_id: &str) -> Response<Body> {
    let message = format!(
        "The sandbox has too many concurrent incoming connections (limit: {CONNECTION_LIMIT})"
    );
    of(429, sandbox_id, &message, json!({ "connectionLimit": CONNECTION_LIMIT }))
}

/// The simulator reads too many bodies at a time.
pub(crate) fn too_many_bodies() -> Response<Body> {
    let message =
        "the bodies of all requests in progress take more than 256 MiB; try again shortly";
    ApiError::new(503, message).response()
}

/// The request says neither which sandbox nor that it means none.
pub(crate) fn nowhere(message: &'static str) -> Response<Body> {
    response::text(400, message)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn destination(uri: &str, headers: &[(&str, &str)]) -> Destination {
        let request = Request::get(uri);
        let request = headers.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        Destination::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn headers_or_host_name_a_sandbox() {
        let sandbox = Destination::Sandbox { id: "i1a".into(), port: 49983 };
        let both = [("e2b-sandbox-id", "i1a"), ("e2b-sandbox-port", "49983")];
        assert_eq!(destination("/health", &both), sandbox);
        assert_eq!(destination("/", &[("host", "49983-i1a.e2b.app")]), sandbox);
        assert_eq!(destination("http://49983-i1a.e2b.app/", &[]), sandbox);
        for host in ["127.0.0.1:3900", "api.e2b.app", "localhost", "my-host.example", ""] {
            assert_eq!(destination("/", &[("host", host)]), Destination::ControlPlane, "{host}");
        }
    }

    #[test]
    fn half_a_name_is_nowhere() {
        for headers in [
            &[("e2b-sandbox-id", "i1a")][..],
            &[("e2b-sandbox-port", "49983")],
            &[("e2b-sandbox-id", "i1a"), ("e2b-sandbox-port", "x")],
            &[("e2b-sandbox-id", "../etc"), ("e2b-sandbox-port", "1")],
            &[("host", "99999-i1a.e2b.app")],
        ] {
            assert!(matches!(destination("/", headers), Destination::Nowhere(_)), "{headers:?}");
        }
    }
}
