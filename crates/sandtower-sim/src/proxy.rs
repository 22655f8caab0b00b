//! The way into a sandbox: where a request goes, and what the proxy says when it cannot go there.

use http::{Response, StatusCode, header::HOST, request::Parts};
use serde::Serialize;

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
    /// Told by the two headers or by a host such as `49983-i0123456789.e2b.app`.
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

#[derive(Serialize)]
struct Unreachable<'a> {
    #[serde(rename = "sandboxId")]
    sandbox_id: &'a str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    code: u16,
}

/// There is no such sandbox, or none any more.
pub(crate) fn not_found(sandbox_id: &str) -> Response<Body> {
    unreachable(sandbox_id, "The sandbox was not found", None)
}

/// Nothing listens on that port of the sandbox.
pub(crate) fn port_closed(sandbox_id: &str, port: u16) -> Response<Body> {
    unreachable(sandbox_id, "The sandbox is running but port is not open", Some(port))
}

/// The sandbox is being paused or resumed.
pub(crate) fn transitioning(sandbox_id: &str) -> Response<Body> {
    let message = "The sandbox is still transitioning. Try again in a moment.";
    rejection(StatusCode::CONFLICT, sandbox_id, message)
}

/// The sandbox takes no traffic without a token, and the request has none.
pub(crate) fn no_traffic_token(sandbox_id: &str, header: &str) -> Response<Body> {
    let problem = format!("Token header '{header}' is missing");
    traffic_token(sandbox_id, &problem)
}

/// The sandbox takes no traffic without a token, and the request has another.
pub(crate) fn wrong_traffic_token(sandbox_id: &str, header: &str) -> Response<Body> {
    let problem = format!("Provided token in header '{header}' is invalid");
    traffic_token(sandbox_id, &problem)
}

fn traffic_token(sandbox_id: &str, problem: &str) -> Response<Body> {
    let message = format!("Sandbox is secured with traffic access token. {problem}");
    let code = StatusCode::FORBIDDEN;
    let body =
        serde_json::json!({ "sandboxId": sandbox_id, "message": message, "code": code.as_u16() });
    response::json(code, &body)
}

/// The most connections that the proxy lets into a sandbox.
const CONNECTION_LIMIT: u32 = 2_500;

/// There are too many connections to the sandbox.
pub(crate) fn too_many_connections(sandbox_id: &str) -> Response<Body> {
    let status = StatusCode::TOO_MANY_REQUESTS;
    let message = format!(
        "The sandbox has too many concurrent incoming connections (limit: {CONNECTION_LIMIT})"
    );
    let body = serde_json::json!({
        "sandboxId": sandbox_id,
        "message": message,
        "code": status.as_u16(),
        "connectionLimit": CONNECTION_LIMIT,
    });
    response::json(status, &body)
}

/// The simulator reads too many bodies at a time.
pub(crate) fn too_many_bodies() -> Response<Body> {
    let message =
        "the bodies of all requests in progress take more than 256 MiB; try again shortly";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message).response()
}

/// The request says neither which sandbox nor that it means none.
pub(crate) fn nowhere(message: &'static str) -> Response<Body> {
    response::text(StatusCode::BAD_REQUEST, message)
}

fn rejection(status: StatusCode, sandbox_id: &str, message: &'static str) -> Response<Body> {
    response::json(status, &Unreachable { sandbox_id, message, port: None, code: status.as_u16() })
}

fn unreachable(sandbox_id: &str, message: &'static str, port: Option<u16>) -> Response<Body> {
    let status = StatusCode::BAD_GATEWAY;
    response::json(status, &Unreachable { sandbox_id, message, port, code: status.as_u16() })
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
