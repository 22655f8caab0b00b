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

/// Serves until `shutdown` is done, then ends in order: who waits is told so, who runs code gets the
/// result, and nothing is left behind at E2B.
pub(crate) async fn serve(
    listener: TcpListener,
    e2b: E2b,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), BoxError> {
    let room = e2b.handles().admission.clone();
    let ends = async move {
        shutdown.await;
        // Rejects from now on. That the last one has left is waited for below.
        drop(room.begin_shutdown());
    };
    let app = Arc::new(App { e2b: e2b.clone(), runs: Runs::default() });
    axum::serve(listener, routes(app)).with_graceful_shutdown(ends).await?;
    // Nobody asks any more; what nobody holds is ended.
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

/// What is to be run; by its id its user can look how far it is.
#[derive(Deserialize)]
struct Run {
    id: String,
    code: String,
}

#[derive(Serialize)]
struct Ran {
    stdout: String,
    /// What the code itself ended by. It is its user's matter, and no failure of this service.
    error: Option<String>,
}

async fn run(State(app): State<Arc<App>>, Json(run): Json<Run>) -> Result<Json<Ran>, Failed> {
    let entry = app.runs.enter(run.id).ok_or(Failed::Twice)?;
    let e2b = app.e2b.watched(entry.progress.clone());
    let sandbox = e2b.create(&NewSandbox::new("code-interpreter-v1")).await?;
    // From here on it is killed whatever happens: also when the user goes away.
    let sandbox = e2b.kill_on_drop(sandbox);
    let code = Code::new(run.code).timeout(Duration::from_secs(30));
    let ran = e2b.run_code(&sandbox, &code).await?;
    sandbox.close().await?;
    let error = ran.error.map(|exception| format!("{}: {}", exception.name, exception.value));
    Ok(Json(Ran { stdout: ran.stdout, error }))
}

/// What a user reads while waiting.
#[derive(Serialize)]
struct Shown {
    message: String,
    ahead: Option<usize>,
    wait_s: Option<u64>,
}

async fn progress(State(app): State<Arc<App>>, Path(id): Path<String>) -> Response {
    let Some(progress) = app.runs.of(&id) else {
        return (StatusCode::NOT_FOUND, "there is no such run").into_response();
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

/// All layers at one moment, for whoever operates this.
async fn snapshot(State(app): State<Arc<App>>) -> Json<sandtower::stack::Snapshot> {
    Json(app.e2b.snapshot())
}

/// What a run can end by, besides its end.
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
            Self::Twice => return (StatusCode::CONFLICT, "this run has begun").into_response(),
            Self::E2b(error) => error,
        };
        let message = Message::from(&*error);
        let mut response = match error.rejection() {
            // 429 or 503, as the reason is, and `Retry-After` where anybody knows when.
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

/// The runs that have not ended: never more than there are requests.
#[derive(Clone, Default)]
struct Runs(Arc<Mutex<HashMap<String, Progress>>>);

impl Runs {
    /// `None`: there is one of this id.
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

/// A run, until it ends in whatever way.
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
