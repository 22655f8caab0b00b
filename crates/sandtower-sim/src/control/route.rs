//! Which request is which: one row of a table for each route.

use std::future::Future;
use std::pin::Pin;

use Handler::{Create, Health, Later, NotSimulated, Now};
use Version::{One, Two};
use http::Method;

use super::*;
use crate::proxy;

/// The two generations of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What responds to the requests of a route.
#[derive(Clone, Copy, Debug)]
pub(super) enum Handler {
    Health,
    Create(Version),
    Now(fn(Call<'_>) -> Outcome),
    Later(for<'a> fn(Call<'a>) -> Work<'a>),
    /// E2B has the route, the simulator does not.
    NotSimulated,
}

pub(super) type Work<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Each route with its name in limits and in the ledger. `{id}` is a sandbox's.
const ROUTES: &[(&str, &str, &str, Handler)] = &[
    ("GET", "/health", "health", Health),
    ("POST", "/sandboxes", "sandbox_create", Create(One)),
    ("POST", "/v2/sandboxes", "sandbox_create", Create(Two)),
    ("GET", "/sandboxes", "sandbox_list", Now(|call| list::list(call, One))),
    ("GET", "/v2/sandboxes", "sandbox_list", Now(|call| list::list(call, Two))),
    ("GET", "/sandboxes/metrics", "sandboxes_metrics", Now(metrics::all_metrics)),
    ("GET", "/sandboxes/{id}", "sandbox_info", Now(info::info)),
    ("DELETE", "/sandboxes/{id}", "sandbox_kill", Now(kill::kill)),
    (
        "POST",
        "/sandboxes/{id}/connect",
        "sandbox_connect",
        Later(|call| Box::pin(connect::connect(call, One))),
    ),
    (
        "POST",
        "/v2/sandboxes/{id}/connect",
        "sandbox_connect",
        Later(|call| Box::pin(connect::connect(call, Two))),
    ),
    (
        "POST",
        "/sandboxes/{id}/resume",
        "sandbox_resume",
        Later(|call| Box::pin(resume::resume(call))),
    ),
    ("POST", "/sandboxes/{id}/pause", "sandbox_pause", Now(pause::pause)),
    ("POST", "/sandboxes/{id}/timeout", "sandbox_timeout", Now(timeout::timeout)),
    ("POST", "/sandboxes/{id}/refreshes", "sandbox_refresh", Now(refreshes::refresh)),
    ("GET", "/sandboxes/{id}/metrics", "sandbox_metrics", Now(metrics::metrics)),
    ("GET", "/sandboxes/{id}/logs", "sandbox_logs", Now(|call| logs::logs(call, One))),
    ("GET", "/v2/sandboxes/{id}/logs", "sandbox_logs", Now(|call| logs::logs(call, Two))),
    ("POST", "/sandboxes/{id}/fork", "sandbox_fork", Later(|call| Box::pin(fork::fork(call)))),
    ("POST", "/sandboxes/{id}/snapshots", "sandbox_snapshot", Now(snapshots::create)),
    ("PUT", "/sandboxes/{id}/network", "sandbox_network", Now(network::update)),
    ("GET", "/snapshots", "snapshot_list", Now(snapshots::list)),
    ("GET", "/templates/aliases/{name}", "template_alias", Now(templates::alias)),
    ("GET", "/templates", "template_list", Now(|call| templates::list(call, One))),
    ("GET", "/v2/templates", "template_list", Now(|call| templates::list(call, Two))),
    ("DELETE", "/templates/{name}", "template_delete", Now(templates::delete)),
    ("GET", "/volumes", "volume_list", Now(templates::none)),
    ("GET", "/secrets", "secret_list", Now(templates::none)),
    ("POST", "/templates", "not_simulated", NotSimulated),
    ("GET", "/templates/{name}", "not_simulated", NotSimulated),
    ("POST", "/templates/{name}", "not_simulated", NotSimulated),
    ("PATCH", "/templates/{name}", "not_simulated", NotSimulated),
    ("POST", "/volumes", "not_simulated", NotSimulated),
    ("POST", "/secrets", "not_simulated", NotSimulated),
];

/// Where the other routes of E2B's API begin.
const ROOTS: &[&str] = &[
    "access-tokens",
    "api-keys",
    "events",
    "nodes",
    "sandboxes",
    "secrets",
    "snapshots",
    "teams",
    "templates",
    "volumes",
];

/// A request's route, and what its path names.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    pub(super) handler: Handler,
    pub(super) name: &'static str,
    /// The sandbox's id, or another name.
    pub(super) id: String,
}

impl Matched {
    /// The route of a request, or why it has none.
    pub(super) fn of(method: &Method, path: &str) -> Result<Self, ApiError> {
        let mut other_method = false;
        for &(allowed, pattern, name, handler) in ROUTES {
            let Some(id) = matched(pattern, path) else { continue };
            if method.as_str() != allowed {
                other_method = true;
                continue;
            }
            let id = if pattern.contains("{id}") { short_id(id)? } else { decoded(id)? };
            return Ok(Self { handler, name, id });
        }
        let mut segments = path.trim_start_matches('/').split('/').peekable();
        segments.next_if(|version| matches!(*version, "v2" | "v3"));
        let root = segments.next().unwrap_or_default();
        let id = match (root, segments.next()) {
            ("sandboxes", Some(id)) => short_id(id)?,
            _ => String::new(),
        };
        if ROOTS.contains(&root) && !other_method {
            return Ok(Self { handler: NotSimulated, name: "not_simulated", id });
        }
        if other_method {
            return Err(ApiError::new(405, "method not allowed"));
        }
        Err(ApiError::new(404, "no matching operation was found"))
    }
}

/// What stands in a path where a pattern has its braces, if it fits.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, rest)) = pattern.split_once('{') else {
        return (pattern == path).then_some("");
    };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

fn decoded(name: &str) -> Result<String, ApiError> {
    query::decode(name).ok_or_else(|| ApiError::bad_request("Invalid name"))
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
    fn each_route_is_found_by_its_method_and_path() {
        for &(method, pattern, name, _) in ROUTES {
            let path = pattern.replace("{id}", "i1a-6532622b").replace("{name}", "a%2Fb");
            let found = Matched::of(&method.parse().unwrap(), &path).unwrap();
            assert_eq!(found.name, name, "{method} {path}");
            let id = if pattern.contains("{id}") { "i1a" } else { "a/b" };
            assert_eq!(found.id, if pattern.contains('{') { id } else { "" });
        }
    }

    #[test]
    fn what_e2b_has_besides_is_not_simulated_and_the_rest_is_not_there() {
        for (method, path) in [
            (Method::POST, "/v3/templates"),
            (Method::GET, "/sandboxes/i1a/checkpoints"),
            (Method::POST, "/volumes"),
            (Method::DELETE, "/secrets/x"),
            (Method::GET, "/teams"),
        ] {
            let found = Matched::of(&method, path).unwrap();
            assert!(matches!(found.handler, NotSimulated), "{method} {path}");
        }
        for (method, path, status) in [
            (Method::GET, "/", 404),
            (Method::GET, "/v2/health", 404),
            (Method::POST, "/health", 405),
            (Method::PUT, "/sandboxes", 405),
            (Method::GET, "/sandboxes/i1a/connect", 405),
            (Method::GET, "/sandboxes/..%2F..", 400),
            (Method::DELETE, "/sandboxes/-", 400),
        ] {
            let error = Matched::of(&method, path).unwrap_err().response();
            assert_eq!(error.status(), status, "{method} {path}");
        }
    }
}
