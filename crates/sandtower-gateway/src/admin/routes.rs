use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};

use super::api::{Failed, act, limits, probes, read};
use super::{State, guard, keys, live, login, pages};

/// The longest body of a request.
const LONGEST_BODY: usize = 64 * 1_024;

const OPENAPI: &str = include_str!("openapi.json");
const STYLE: &str = include_str!("assets/style.css");
const ICON: &str = include_str!("assets/icon.svg");
const SCRIPT: &str = include_str!("assets/script.js");

/// One method of one path.
pub(super) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the description"))]
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    serve: MethodRouter<Arc<State>>,
}

fn reads<H: Handler<T, Arc<State>>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: "get", path, serve: get(handler) }
}

fn changes<H: Handler<T, Arc<State>>, T: 'static>(path: &'static str, handler: H) -> Route {
    Route { method: "post", path, serve: post(handler) }
}

impl Route {
    pub(super) fn new(
        method: &'static str,
        path: &'static str,
        serve: MethodRouter<Arc<State>>,
    ) -> Self {
        Self { method, path, serve }
    }
}

/// The API, the probes and the metrics.
pub(super) fn api() -> Vec<Route> {
    let mut all = Vec::from(keys::routes());
    all.extend([
        reads("/livez", probes::lives),
        reads("/readyz", probes::ready),
        reads("/metrics", probes::metrics),
        reads("/api/v1/snapshot", probes::snapshot),
        reads("/api/v1/overview", read::overview),
        reads("/api/v1/breakers", read::breakers),
        reads("/api/v1/queues", read::queues),
        reads("/api/v1/limits", read::limits),
        reads("/api/v1/sandboxes", read::sandboxes),
        reads("/api/v1/creations", read::creations),
        reads("/api/v1/pool", read::pool),
        reads("/api/v1/latency", read::latency),
        reads("/api/v1/alerts", read::alerts),
        reads("/api/v1/calls", read::calls),
        reads("/api/v1/audit", read::audit),
        reads("/api/v1/history", read::history),
        reads("/api/v1/events", live::events),
        reads("/api/v1/openapi.json", async || {
            ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
        }),
        changes("/api/v1/breakers/{breaker}/reset", act::reset),
        changes("/api/v1/breakers/{breaker}/release", act::release),
        changes("/api/v1/breakers/{breaker}/force_open", act::force_open),
        changes("/api/v1/breakers/{breaker}/force_closed", act::force_closed),
        changes("/api/v1/limits", limits::change),
        changes("/api/v1/sandboxes/{sandbox}/kill", act::kill),
        changes("/api/v1/drain", act::drain),
        changes("/api/v1/reload", act::reload),
    ]);
    all
}

/// All routes.
pub(super) fn all(state: Arc<State>) -> Router {
    let mut router = Router::new();
    for Route { path, serve, .. } in api() {
        router = router.route(path, serve);
    }
    for page in pages::ALL {
        router =
            router.route(page.path(), get(move |state, caller| pages::show(page, state, caller)));
    }
    router
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/assets/style.css", asset("text/css; charset=utf-8", STYLE))
        .route("/assets/script.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/assets/icon.svg", asset("image/svg+xml", ICON))
        .fallback(async || Failed::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Failed::new(StatusCode::METHOD_NOT_ALLOWED, "this path has another method")
        })
        .layer(from_fn_with_state(Arc::clone(&state), guard::guard))
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(state)
}

fn asset(kind: &'static str, text: &'static str) -> MethodRouter<Arc<State>> {
    get(async move || {
        // A new version of the gateway has new ones.
        ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], text).into_response()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_description_has_each_route_and_no_other() {
        let described: Value = serde_json::from_str(OPENAPI).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().unwrap().keys();
                methods.filter(|it| *it != "parameters").map(|it| (it.clone(), path.clone()))
            })
            .collect();
        let served: BTreeSet<(String, String)> =
            api().iter().map(|it| (it.method.to_owned(), it.path.to_owned())).collect();
        let missing: Vec<_> = served.difference(&described).collect();
        let invented: Vec<_> = described.difference(&served).collect();
        assert!(missing.is_empty() && invented.is_empty(), "{missing:?} {invented:?}");
    }
}
