use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use sandtower::stack::Snapshot;
use sandtower_telemetry::Registry;
use serde::Serialize;

use crate::admin::State;
use crate::admin::board::named;
use crate::stacks::Stacks;

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

/// The metrics of all stacks: `source` is `data_plane`, or names an API key without showing it, after the
/// name of the place if that is not home; for the times of calls it is the thread.
pub(in crate::admin) async fn metrics(
    Extract(state): Extract<Arc<State>>,
    headers: HeaderMap,
) -> Response {
    let generation = state.board.gateway().shared.generation.load_full();
    let registry = Registry::new();
    // Each name is there once.
    for (worker, durations) in generation.times.all().iter().enumerate() {
        drop(registry.add(format!("worker_{worker}"), durations.clone()));
    }
    for (name, stack) in generation.places().flat_map(named) {
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
    #[serde(flatten)]
    home: OfPlace,
    /// The other places, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    places: BTreeMap<String, OfPlace>,
}

/// The stacks of one place.
#[derive(Serialize)]
struct OfPlace {
    data_plane: Snapshot,
    /// By the name of the API key, which is not the key.
    keys: BTreeMap<String, Snapshot>,
}

impl OfPlace {
    fn of(stacks: &Stacks) -> Self {
        let keys = stacks.keys.all().into_iter();
        Self {
            data_plane: stacks.data.handles().snapshot(),
            keys: keys.map(|(id, stack)| (id.to_string(), stack.handles().snapshot())).collect(),
        }
    }
}

pub(in crate::admin) async fn snapshot(Extract(state): Extract<Arc<State>>) -> Json<Whole> {
    let gateway = state.board.gateway();
    let shared = &gateway.shared;
    let generation = shared.generation.load_full();
    let others = generation.others.iter();
    Json(Whole {
        version: env!("CARGO_PKG_VERSION"),
        shuts_down: shared.is_draining(),
        connections: gateway.connections(),
        in_flight: gateway.in_flight(),
        sandboxes: shared.sandboxes.len(),
        access_log_dropped: shared.access_log.dropped(),
        home: OfPlace::of(&generation.home),
        places: others.map(|place| (place.place.name.to_string(), OfPlace::of(place))).collect(),
    })
}
