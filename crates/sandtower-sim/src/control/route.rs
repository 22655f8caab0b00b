//! Which request is which.

use http::{Method, StatusCode};

use crate::{answer::ApiError, proxy};

/// The two generations of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What the real control plane does with a sandbox besides.
const NOT_SIMULATED: &[&str] = &["fork", "network", "snapshots"];

/// What is asked of the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Health,
    Create(Version),
    List(Version),
    Info(String),
    Kill(String),
    Connect(String),
    Timeout(String),
    Resume(String),
    Pause(String),
    Refresh(String),
    Metrics(String),
    AllMetrics,
    Logs(Version, String),
}

impl Route {
    /// The route of a request, or how it is refused.
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, ApiError> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (version, rest) = match path.strip_prefix("v2/") {
            Some(rest) => (Version::Two, rest),
            None => (Version::One, path),
        };
        let segments: Vec<_> = rest.splitn(4, '/').collect();
        match (version, segments.as_slice()) {
            (Version::One, ["health"]) => only(method, &Method::GET, Self::Health),
            (_, ["sandboxes"]) if method == Method::POST => Ok(Self::Create(version)),
            (_, ["sandboxes"]) => only(method, &Method::GET, Self::List(version)),
            (Version::One, ["sandboxes", "metrics"]) => {
                only(method, &Method::GET, Self::AllMetrics)
            }
            (Version::One, ["sandboxes", id]) if method == Method::DELETE => {
                Ok(Self::Kill(short_id(id)?))
            }
            (Version::One, ["sandboxes", id]) => {
                only(method, &Method::GET, Self::Info(short_id(id)?))
            }
            (_, ["sandboxes", id, "connect"]) => {
                only(method, &Method::POST, Self::Connect(short_id(id)?))
            }
            (Version::One, ["sandboxes", id, "timeout"]) => {
                only(method, &Method::POST, Self::Timeout(short_id(id)?))
            }
            (Version::One, ["sandboxes", id, "resume"]) => {
                only(method, &Method::POST, Self::Resume(short_id(id)?))
            }
            (Version::One, ["sandboxes", id, "pause"]) => {
                only(method, &Method::POST, Self::Pause(short_id(id)?))
            }
            (Version::One, ["sandboxes", id, "refreshes"]) => {
                only(method, &Method::POST, Self::Refresh(short_id(id)?))
            }
            (Version::One, ["sandboxes", id, "metrics"]) => {
                only(method, &Method::GET, Self::Metrics(short_id(id)?))
            }
            (version, ["sandboxes", id, "logs"]) => {
                only(method, &Method::GET, Self::Logs(version, short_id(id)?))
            }
            (_, ["sandboxes", _, what]) if NOT_SIMULATED.contains(what) => {
                let message = format!("{what} is not simulated yet");
                Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, message))
            }
            _ => Err(no_such_route()),
        }
    }

    /// Its name in limits and in the ledger.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Create(_) => "sandbox_create",
            Self::List(_) => "sandbox_list",
            Self::Info(_) => "sandbox_info",
            Self::Kill(_) => "sandbox_kill",
            Self::Connect(_) => "sandbox_connect",
            Self::Timeout(_) => "sandbox_timeout",
            Self::Resume(_) => "sandbox_resume",
            Self::Pause(_) => "sandbox_pause",
            Self::Refresh(_) => "sandbox_refresh",
            Self::Metrics(_) => "sandbox_metrics",
            Self::AllMetrics => "sandboxes_metrics",
            Self::Logs(..) => "sandbox_logs",
        }
    }
}

pub(super) fn no_such_route() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no matching operation was found")
}

fn only(method: &Method, allowed: &Method, route: Route) -> Result<Route, ApiError> {
    if method == allowed {
        return Ok(route);
    }
    Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"))
}

/// The id proper: old clients send `<sandbox id>-<client id>`.
fn short_id(id: &str) -> Result<String, ApiError> {
    let short = id.split_once('-').map_or(id, |(short, _client)| short);
    if proxy::is_id(short) {
        Ok(short.to_owned())
    } else {
        Err(ApiError::bad_request("Invalid sandbox ID"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_its_methods_and_versions() {
        let id = || String::from("i1a");
        for (method, path, route) in [
            (Method::POST, "/sandboxes", Route::Create(Version::One)),
            (Method::POST, "/v2/sandboxes", Route::Create(Version::Two)),
            (Method::GET, "/v2/sandboxes", Route::List(Version::Two)),
            (Method::GET, "/sandboxes/i1a", Route::Info(id())),
            (Method::GET, "/sandboxes/i1a-6532622b", Route::Info(id())),
            (Method::DELETE, "/sandboxes/i1a", Route::Kill(id())),
            (Method::POST, "/v2/sandboxes/i1a/connect", Route::Connect(id())),
            (Method::POST, "/sandboxes/i1a/timeout", Route::Timeout(id())),
            (Method::POST, "/sandboxes/i1a/pause", Route::Pause(id())),
            (Method::POST, "/sandboxes/i1a/resume", Route::Resume(id())),
            (Method::POST, "/sandboxes/i1a/refreshes", Route::Refresh(id())),
            (Method::GET, "/sandboxes/i1a/metrics", Route::Metrics(id())),
            (Method::GET, "/sandboxes/metrics", Route::AllMetrics),
            (Method::GET, "/v2/sandboxes/i1a/logs", Route::Logs(Version::Two, id())),
        ] {
            assert_eq!(Route::of(&method, path).unwrap(), route);
        }
    }

    #[test]
    fn other_requests_are_refused() {
        for (method, path, status) in [
            (Method::GET, "/", 404),
            (Method::GET, "/v2/health", 404),
            (Method::PUT, "/sandboxes", 405),
            (Method::POST, "/sandboxes/i1a/fork", 501),
            (Method::GET, "/sandboxes/i1a/connect", 405),
            (Method::GET, "/sandboxes/i1a/connect/more/and/more", 404),
            (Method::GET, "/sandboxes/..%2F..", 400),
            (Method::DELETE, "/sandboxes/-", 400),
        ] {
            let refusal = Route::of(&method, path).unwrap_err().answer();
            assert_eq!(refusal.status(), status, "{method} {path}");
        }
    }
}
