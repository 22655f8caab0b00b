//! The service: what you would copy. It knows nothing of the simulator.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sandtower::admission::{CallState, Progress};
use sandtower::core::BoxError;
use sandtower::e2b::{Code, Error, NewSandbox};
use sandtower::http::rejection_response;
use sandtower::{E2b, Message};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Serves until `shutdown` is done, then shuts down in order: waiting users are rejected, running code gets
/// to its result, and no sandbox is left behind at E2B.
pub(crate) async fn serve(
    listener: TcpListener,
    e2b: E2b,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), BoxError> {
    let room = e2b.handles().admission.clone();
    let ends = async move {
        shutdown.await;
        // Rejects from now on. The end of the running requests is awaited below.
        drop(room.begin_shutdown());
    };
    let app = Arc::new(App { e2b: e2b.clone(), runs: Runs::default() });
    axum::serve(listener, routes(app)).with_graceful_shutdown(ends).await?;
    // No more requests; orphaned sandboxes are killed.
    e2b.drain().await?;
    Ok(())
}

fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/run", post(run))
        .route("/runs/{id}", get(progress))
        .route("/snapshot", get(snapshot))
        .with_state(app)
}

struct App {
    e2b: E2b,
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

async fn run(State(app): State<Arc<App>>, Json(run): Json<Run>) -> Result<Json<Ran>, Failed> {
    let entry = app.runs.enter(run.id).ok_or(Failed::Twice)?;
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

/// What a waiting user reads.
#[derive(Serialize)]
struct Shown {
    message: String,
    ahead: Option<usize>,
    wait_s: Option<u64>,
}

async fn progress(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Some(progress) = app.runs.of(&id) else {
        return (StatusCode::NOT_FOUND, "unknown run").into_response();
    };
    let shown = match progress.snapshot() {
        CallState::Queued(standing) => {
            let message = Message::from(&standing);
            let wait_s = message.retry_after().map(|wait| wait.as_secs_f64().ceil() as u64);
            Shown { message: message.to_string(), ahead: Some(standing.ahead), wait_s }
        }
        _ => Shown { message: String::from("Your code is being run"), ahead: None, wait_s: None },
    };
    Json(shown).into_response()
}

/// A snapshot of all layers, for operators.
async fn snapshot(State(app): State<Arc<App>>) -> Json<sandtower::stack::Snapshot> {
    Json(app.e2b.snapshot())
}

/// The ways in which a run can fail.
enum Failed {
    Twice,
    E2b(Box<Error>),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::E2b(Box::new(error))
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let error = match self {
            Self::Twice => {
                return (StatusCode::CONFLICT, "this run has already started").into_response();
            }
            Self::E2b(error) => error,
        };
        let message = Message::from(&*error);
        let mut response = match error.rejection() {
            // 429 or 503, by the reason, and `Retry-After` if it is known.
            Some(rejection) => {
                rejection_response(rejection).map(|_| Body::from(message.to_string()))
            }
            None => (StatusCode::BAD_GATEWAY, message.to_string()).into_response(),
        };
        let text = header::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        response
    }
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
