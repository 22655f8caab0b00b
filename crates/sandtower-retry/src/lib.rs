//! Retries by verdict: hide transient failures without making an overload worse.
//!
//! [`RetryLayer`] sends a request again if its response says that another attempt may succeed, and if a
//! second one does no harm: the first had no effect, or the request is safe to replay. Permanent failures
//! and rejections of layers below end the call at once, and so does a wait that does not fit before the
//! caller's deadline.
//!
//! A classifier says what a response means; every layer takes one. The crate `sandtower-http` has one for
//! HTTP, in `sandtower_http::retry_layer`.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use sandtower_core::{RequestInfo, Replay, ByResult};
//! use sandtower_retry::{Config, RetryLayer};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
//! let flaky = service_fn(|(): ()| async {
//!     match ATTEMPTS.fetch_add(1, Ordering::Relaxed) {
//!         0 | 1 => Err("reset by peer"),
//!         _ => Ok("done"),
//!     }
//! });
//! // Every error is a failure, and every request may be sent twice.
//! let classify = ByResult::new(RequestInfo::default().replay(Replay::Safe));
//! let retry = RetryLayer::new(Config::recommended(), classify);
//! let mut service = ServiceBuilder::new().layer(retry).service(flaky);
//!
//! assert_eq!(service.ready().await?.call(()).await?, "done");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod budget;
mod config;
mod decide;
mod future;
mod handle;
mod history;
mod hooks;
mod layer;
mod metrics;
mod on_retry;
mod overrides;
mod retries_exhausted;
mod retry_if;

pub use budget::{Budget, BudgetError, BudgetSnapshot};
pub use config::{Config, WhenThrottled};
pub use decide::{Decision, Progress, Stop};
pub use future::ResponseFuture;
pub use handle::{Handle, Snapshot};
pub use hooks::{Found, Reconcile, ResponseHooks};
pub use layer::{Retry, RetryLayer};
pub use on_retry::RetryEvent;
pub use overrides::Overrides;
pub use retries_exhausted::RetriesExhausted;
pub use retry_if::RetryIf;

/// The target of all events.
pub(crate) const TARGET: &str = "sandtower::retry";
