//! The service: what you would copy. It knows nothing of the simulator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use sandtower::admission::Progress;
use sandtower::axum::ErrorResponse;
use sandtower::core::BoxError;
use sandtower::e2b::{Code, NewSandbox};
use sandtower::{E2b, ProgressUpdate};
use sandtower_telemetry::{Registry, Watch};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Serves until `shutdown` is done, then shuts down in order: waiting users are rejected, running code gets
/// to its result, and no sandbox is left behind at E2B.
pub(crate) async fn serve(
    listener: TcpListener,
    e2b: E2b,
    registry: Registry,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), BoxError> {
    let room = e2b.handles().admission.clone();
    let ends = async move {
        shutdown.await;
        // Rejects from now on. The end of the running requests is awaited below.
        drop(room.begin_shutdown());
    };
    registry.add("e2b", e2b.handles().clone())?;
    // Alerts as events, without a Prometheus.
    let watching = tokio::spawn(Watch::new(registry.clone()).run());
    let app = Arc::new(App { e2b: e2b.clone(), registry, runs: Runs::default() });
    axum::serve(listener, routes(app)).with_graceful_shutdown(ends).await?;
    // No more requests; orphaned sandboxes are killed.
    e2b.drain().await?;
    watching.abort();
    Ok(())
}

fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/run", post(run))
        .route("/runs/{id}", get(progress))
        .route("/snapshot", get(snapshot))
        .route("/metrics", get(metrics))
        .with_state(app)
}

struct App {
    e2b: E2b,
    registry: Registry,
    runs: Runs,
}

/// The code to run, and an id by which its user can follow it.
#[derive(Deserialize)]
struct Run {
    id: String,
    code: String,
}

#[derive(Serialize)]
struct Ran {
    stdout: String,
    /// The exception of the code. It is the user's own, and no failure of this service.
    error: Option<String>,
}

async fn run(
    State(app): State<Arc<App>>,
    Json(run): Json<Run>,
) -> Result<Json<Ran>, ErrorResponse> {
    let twice = || ErrorResponse::new(StatusCode::CONFLICT, "This run has already started.");
    let entry = app.runs.enter(run.id).ok_or_else(twice)?;
    let e2b = app.e2b.watched(entry.progress.clone());
    let sandbox = e2b.create(&NewSandbox::new("code-interpreter-v1")).await?;
    // From here on it is killed in any case, even if the user goes away.
    let sandbox = e2b.kill_on_drop(sandbox);
    let code = Code::new(run.code).timeout(Duration::from_secs(30));
    let ran = e2b.run_code(&sandbox, &code).await?;
    sandbox.close().await?;
    let error = ran.error.map(|exception| format!("{}: {}", exception.name, exception.value));
    Ok(Json(Ran { stdout: ran.stdout, error }))
}

/// What a waiting user reads. As server-sent events it would be `sandtower::axum::progress_sse`.
async fn progress(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<ProgressUpdate>, ErrorResponse> {
    let no_such_run = || ErrorResponse::new(StatusCode::NOT_FOUND, "Unknown run.");
    let progress = app.runs.of(&id).ok_or_else(no_such_run)?;
    Ok(Json(ProgressUpdate::from(&progress.snapshot())))
}

/// A snapshot of all layers, for operators.
async fn snapshot(State(app): State<Arc<App>>) -> Json<sandtower::stack::Snapshot> {
    Json(app.e2b.snapshot())
}

/// What Prometheus scrapes.
async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> impl IntoResponse {
    app.registry.scrape(&headers)
}

/// The runs in progress: never more than there are requests.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<String, Progress>>>);

impl Runs {
    /// `None`: the id is in use.
    fn enter(&self, id: String) -> Option<Entry> {
        let mut runs = self.lock();
        if runs.contains_key(&id) {
            return None;
        }
        let progress = Progress::new();
        runs.insert(id.clone(), progress.clone());
        Some(Entry { runs: self.clone(), id, progress })
    }

    fn of(&self, id: &str) -> Option<Progress> {
        self.lock().get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run, until it ends in any way.
struct Entry {
    runs: Runs,
    id: String,
    progress: Progress,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.runs.lock().remove(&self.id);
    }
}
