//! Retries by verdict: cures passing failures, and never makes an overload worse.
//!
//! [`RetryLayer`] sends a request again when its answer says that another attempt may help and that
//! a second one does no harm: nothing has happened, or the request is safe to replay. Permanent
//! failures and rejections of layers below end the call at once, and so does a wait that does not fit
//! before the caller's deadline.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use sandtower_core::{RequestInfo, Replay, ByResult};
//! use sandtower_retry::RetryLayer;
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
//! let flaky = service_fn(|(): ()| async {
//!     match ATTEMPTS.fetch_add(1, Ordering::Relaxed) {
//!         0 | 1 => Err("reset by peer"),
//!         _ => Ok("done"),
//!     }
//! });
//! let retry = RetryLayer::recommended()
//!     .classify(ByResult::new(RequestInfo::default().replay(Replay::Safe)));
//! let mut service = ServiceBuilder::new().layer(retry).service(flaky);
//!
//! assert_eq!(service.ready().await?.call(()).await?, "done");
//! # Ok(())
//! # }
//! ```

mod budget;
mod config;
mod decide;
mod future;
mod gave_up;
mod handle;
mod history;
mod hooks;
mod layer;

pub use budget::{Budget, BudgetError, BudgetSnapshot};
pub use config::{Config, WhenThrottled};
pub use decide::{Decision, Progress, Stop};
pub use future::ResponseFuture;
pub use gave_up::GaveUp;
pub use handle::{Handle, Snapshot};
pub use hooks::{Answers, Found, Reconcile};
pub use layer::{Retry, RetryLayer};
