use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use sandtower::stack::Snapshot;
use serde::Serialize;
use serde_json::json;

use super::State;

pub(super) fn all(state: Arc<State>) -> Router {
    Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/api/v1/snapshot", get(snapshot))
        .route("/api/v1/reload", post(reload))
        .with_state(state)
}

/// Whether it takes traffic: it says nothing of E2B, for a gateway without E2B is the one that can still
/// tell its callers so.
async fn ready(Extract(state): Extract<Arc<State>>) -> (StatusCode, &'static str) {
    match state.gateway.shared.is_draining() {
        false => (StatusCode::OK, "ready\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n"),
    }
}

/// The whole gateway at one moment.
#[derive(Serialize)]
struct Whole {
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

async fn snapshot(Extract(state): Extract<Arc<State>>) -> Json<Whole> {
    let (gateway, shared) = (&state.gateway, &state.gateway.shared);
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

async fn reload(Extract(state): Extract<Arc<State>>) -> Response {
    match state.reload() {
        Ok(reloaded) => Json(json!({"needs_restart": reloaded.needs_restart})).into_response(),
        Err(error) => {
            let problem = Json(json!({"error": error.to_string()}));
            (StatusCode::UNPROCESSABLE_ENTITY, problem).into_response()
        }
    }
}
