use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use sandtower::stack::Snapshot;
use sandtower_telemetry::Registry;
use serde::Serialize;

use crate::admin::State;

/// Whether the process lives.
pub(in crate::admin) async fn lives() -> &'static str {
    "alive\n"
}

/// Whether it takes traffic: it says nothing of E2B, for a gateway without E2B is the one that can still
/// tell its callers so.
pub(in crate::admin) async fn ready(
    Extract(state): Extract<Arc<State>>,
) -> (StatusCode, &'static str) {
    match state.board.gateway().shared.is_draining() {
        false => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
    }
}

/// The metrics of all stacks: `source` is `data_plane`, or names an API key without showing it; for the
/// times of calls it is the thread.
pub(in crate::admin) async fn metrics(
    Extract(state): Extract<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    let generation = state.board.gateway().shared.generation.load_full();
    let keys = generation.keys.all().into_iter();
    let keys = keys.map(|(id, stack)| (format!("key_{id}"), stack));
    let data_plane = ("data_plane".to_owned(), Arc::clone(&generation.data));
    let registry = Registry::new();
    // Each name is there once.
    for (worker, durations) in generation.times.all().iter().enumerate() {
        drop(registry.add(format!("worker_{worker}"), durations.clone()));
    }
    for (name, stack) in std::iter::once(data_plane).chain(keys) {
        drop(registry.add(name, stack.handles().clone()));
    }
    registry.scrape(&headers).map(axum::body::Body::from).into_response()
}

/// The whole gateway at one moment.
#[derive(Serialize)]
pub(in crate::admin) struct Whole {
    version: &'static str,
    shuts_down: bool,
    connections: usize,
    in_flight: usize,
    sandboxes: usize,
    access_log_dropped: u64,
    data_plane: Snapshot,
    /// By the name of the API key, which is not the key.
    keys: BTreeMap<String, Snapshot>,
}

pub(in crate::admin) async fn snapshot(Extract(state): Extract<Arc<State>>) -> Json<Whole> {
    let gateway = state.board.gateway();
    let shared = &gateway.shared;
    let generation = shared.generation.load_full();
    let keys = generation.keys.all().into_iter();
    Json(Whole {
        version: env!("CARGO_PKG_VERSION"),
        shuts_down: shared.is_draining(),
        connections: gateway.connections(),
        in_flight: gateway.in_flight(),
        sandboxes: shared.sandboxes.len(),
        access_log_dropped: shared.access_log.dropped(),
        data_plane: generation.data.handles().snapshot(),
        keys: keys.map(|(id, stack)| (id.to_string(), stack.handles().snapshot())).collect(),
    })
}
