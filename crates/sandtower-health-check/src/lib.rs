//! A tower layer that health-checks new resources before the caller gets them.
//!
//! Some resources are created dead, such as a sandbox whose creation succeeds but that never responds.
//! [`HealthCheckLayer`] probes the resource of each successful response before it returns the response. A
//! failure is either logged and the response returned, or the response is
//! [discarded](OnFailure::Discard): the resource is released, whether or not the caller is still there, and
//! the caller gets an error on which a retry above creates a new one.
//!
//! ```
//! use std::time::Duration;
//! use sandtower_core::{BoxError, Effect, Verdict};
//! use sandtower_health_check::{HealthCheckLayer, check_fn};
//! use tower::{Layer, ServiceExt, service_fn, util::BoxCloneService};
//!
//! enum Request {
//!     Create,
//!     Echo(u32),
//!     Kill(u32),
//! }
//!
//! type Sandboxes = BoxCloneService<Request, u32, BoxError>;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! // Creates sandbox 7, which is dead.
//! let sandboxes: Sandboxes = BoxCloneService::new(service_fn(async |request| match request {
//!     Request::Create => Ok(7),
//!     Request::Echo(_) => Err("no response".into()),
//!     Request::Kill(sandbox) => Ok(sandbox),
//! }));
//!
//! let check = check_fn(
//!     |inner: Sandboxes, sandbox: &u32| {
//!         let echo = inner.oneshot(Request::Echo(*sandbox));
//!         Some(async move {
//!             match echo.await {
//!                 Ok(_) => Verdict::success(),
//!                 Err(_) => Verdict::transient(Effect::None),
//!             }
//!         })
//!     },
//!     |inner: Sandboxes, sandbox: &u32| {
//!         let kill = inner.oneshot(Request::Kill(*sandbox));
//!         async move { drop(kill.await) }
//!     },
//! );
//! let layer = HealthCheckLayer::recommended("E2B", check);
//!
//! let error = layer.layer(sandboxes).oneshot(Request::Create).await.unwrap_err();
//! assert_eq!(sandtower_core::verdict_of_error(&*error), Some(Verdict::transient(Effect::None)));
//!
//! layer.handle().drain(Duration::from_secs(5)).await?;
//! assert_eq!(layer.handle().snapshot().discards_done, 1);
//! # Ok(()) }
//! ```
//!
//! # Position in the stack
//!
//! Below retry, so that a dead resource is recreated; above admission control, since its probes are requests
//! of their own and are admitted as such. They do not pass the layers above it.
//!
//! # Periodic probes
//!
//! A [`Monitor`] probes a service in the background, with any future that returns a verdict, and is a
//! [gate](sandtower_core::Gate) that rejects requests while the service is down: place it in front of the
//! service with [`GatedLayer`](sandtower_core::GatedLayer), or pass it to admission control.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod check;
mod checking;
mod config;
mod error;
mod future;
mod handle;
mod layer;
mod ledger;
mod metrics;
mod monitor;
mod service;
mod unchecked;

pub use check::{Check, CheckFn, check_fn};
pub use config::{Config, ConfigError, OnFailure};
pub use error::{Finding, Undrained, Unhealthy};
pub use future::ResponseFuture;
pub use handle::{Handle, Snapshot};
pub use layer::HealthCheckLayer;
pub use monitor::{Health, Monitor, MonitorConfig, MonitorConfigError, MonitorSnapshot};
pub use service::HealthCheck;
