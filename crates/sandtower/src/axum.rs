//! What a service built with Axum needs: progress as server-sent events, and errors as responses.
//!
//! ```
//! use axum::Json;
//! use sandtower::E2b;
//! use sandtower::axum::{ErrorResponse, sse};
//! use sandtower::admission::Progress;
//! use sandtower::e2b::{Code, NewSandbox};
//! use axum::response::IntoResponse;
//!
//! // Runs code and shows its user how far it is: events `progress`, then `result` or `error`.
//! async fn run_with_progress(e2b: E2b, code: String) -> impl IntoResponse {
//!     let progress = Progress::new();
//!     let e2b = e2b.watched(progress.clone());
//!     sse(progress, async move { run(e2b, code).await })
//! }
//!
//! // The same without progress: a rejection is a 429 or 503 with `Retry-After`.
//! async fn run_at_once(e2b: E2b, code: String) -> Result<Json<String>, ErrorResponse> {
//!     Ok(Json(run(e2b, code).await?))
//! }
//!
//! async fn run(e2b: E2b, code: String) -> Result<String, sandtower::e2b::Error> {
//!     let sandbox = e2b.kill_on_drop(e2b.create(&NewSandbox::new("code-interpreter-v1")).await?);
//!     Ok(e2b.run_code(&sandbox, &Code::new(code)).await?.stdout)
//! }
//! # let _ = (run_with_progress, run_at_once);
//! ```

mod error;
mod events;

pub use error::ErrorResponse;
pub use events::{CallEvents, ProgressEvents, progress_sse, sse};
