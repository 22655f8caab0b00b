use http::{Method, StatusCode};
use sandtower::e2b::SandboxId;

use crate::proxy::failure::Failure;

/// What a request with a virtual key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    List,
    /// The metrics of the sandboxes in the query.
    Metrics,
    /// What is the same for all keys of the service.
    Read,
    Of(SandboxId, Verb),
}

/// What a request does with a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Info,
    Kill,
    Connect,
    Resume,
    Timeout,
    Refresh,
    Pause,
    /// Nothing that is counted.
    Other,
}

impl Action {
    /// Reads the method and the path. Whatever is not known is forbidden: several virtual keys share one
    /// key of the service, which may do more than any of them.
    pub(super) fn read(method: &Method, path: &str) -> Result<Self, Failure> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let mut parts: Vec<&str> = path.split('/').collect();
        if parts.first().is_some_and(|first| ["v1", "v2", "v3"].contains(first)) {
            parts.remove(0);
        }
        let of = |id: &str, verb| Ok(Self::Of(sandbox(id)?, verb));
        match (method.as_str(), &*parts) {
            ("POST", ["sandboxes"]) => Ok(Self::Create),
            ("GET", ["sandboxes"]) => Ok(Self::List),
            ("GET", ["sandboxes", "metrics"]) => Ok(Self::Metrics),
            (
                "GET",
                ["health"] | ["templates"] | ["templates", _] | ["templates", "aliases", _],
            ) => Ok(Self::Read),
            ("GET", ["sandboxes", id]) => of(id, Verb::Info),
            ("DELETE", ["sandboxes", id]) => of(id, Verb::Kill),
            ("GET", ["sandboxes", id, "metrics" | "logs"])
            | ("PUT", ["sandboxes", id, "network"])
            | ("POST", ["sandboxes", id, "snapshots"]) => of(id, Verb::Other),
            ("POST", ["sandboxes", id, verb]) => match *verb {
                "connect" => of(id, Verb::Connect),
                "resume" => of(id, Verb::Resume),
                "timeout" => of(id, Verb::Timeout),
                "refreshes" => of(id, Verb::Refresh),
                "pause" => of(id, Verb::Pause),
                _ => Err(forbidden()),
            },
            _ => Err(forbidden()),
        }
    }
}

/// The id proper: older clients send `<id>-<client id>`.
fn sandbox(id: &str) -> Result<SandboxId, Failure> {
    let short = id.split_once('-').map_or(id, |(short, _)| short);
    short.parse().map_err(|_| Failure::of_request(StatusCode::BAD_REQUEST, "Invalid sandbox ID"))
}

fn forbidden() -> Failure {
    let message = "a virtual key of the gateway may create, list and use its own sandboxes and read templates; \
                   for anything else use a key of E2B's own";
    Failure { reason: "forbidden", ..Failure::of_request(StatusCode::FORBIDDEN, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str) -> Result<Action, u16> {
        let method = method.parse().unwrap();
        Action::read(&method, path).map_err(|failure| failure.status.as_u16())
    }

    #[test]
    fn what_a_virtual_key_may_do_is_recognised() {
        let of = |verb| Ok(Action::Of("i1a".parse().unwrap(), verb));
        for (method, path, action) in [
            ("POST", "/sandboxes", Ok(Action::Create)),
            ("POST", "/v2/sandboxes", Ok(Action::Create)),
            ("GET", "/v2/sandboxes", Ok(Action::List)),
            ("GET", "/sandboxes/metrics", Ok(Action::Metrics)),
            ("GET", "/templates/aliases/a%2Fb", Ok(Action::Read)),
            ("GET", "/sandboxes/i1a", of(Verb::Info)),
            ("GET", "/sandboxes/i1a-6532622b", of(Verb::Info)),
            ("DELETE", "/sandboxes/i1a", of(Verb::Kill)),
            ("POST", "/v2/sandboxes/i1a/connect", of(Verb::Connect)),
            ("POST", "/sandboxes/i1a/snapshots", of(Verb::Other)),
        ] {
            assert_eq!(read(method, path), action, "{method} {path}");
        }
    }

    #[test]
    fn all_else_is_forbidden() {
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/teams"),
            ("GET", "/snapshots"),
            ("POST", "/api-keys"),
            ("POST", "/v3/templates"),
            ("DELETE", "/templates/base"),
            ("GET", "/templates/base/files/0123"),
            ("POST", "/sandboxes/i1a/fork"),
            ("POST", "/sandboxes/"),
            ("POST", "//sandboxes"),
            ("POST", "/v2/v2/sandboxes"),
            ("GET", "/sandboxes/i1a/"),
            ("PUT", "/sandboxes/i1a"),
            ("HEAD", "/sandboxes/i1a/x"),
            ("POST", "/SANDBOXES"),
        ] {
            assert_eq!(read(method, path), Err(403), "{method} {path}");
        }
        for path in ["/sandboxes/%69", "/sandboxes/-", "/sandboxes/a.b"] {
            assert_eq!(read("GET", path), Err(400), "{path}");
        }
    }
}
