//! A tower layer that checks what was handed out.
//!
//! Some things are created dead: a sandbox that answers its creation with 201 and nothing after it.
//! [`HealthCheckLayer`] looks at each successful answer, runs a probe on what it hands out, and lets
//! the caller have it only then. What fails is either reported and passed on, or
//! [discarded](OnFailure::Discard): released again, whether or not the caller is still there, and
//! answered by an error that a retry above takes as leave to make a new one.
//!
//! ```
//! use std::time::Duration;
//! use sandtower_core::{BoxError, Effect, Verdict};
//! use sandtower_health_check::{Config, HealthCheckLayer, check_fn};
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
//! // Makes sandbox 7, which is dead.
//! let sandboxes: Sandboxes = BoxCloneService::new(service_fn(async |request| match request {
//!     Request::Create => Ok(7),
//!     Request::Echo(_) => Err("no answer".into()),
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
//!     |inner: Sandboxes, sandbox: u32| async move {
//!         let _ = inner.oneshot(Request::Kill(sandbox)).await;
//!     },
//! );
//! let layer = HealthCheckLayer::new(check, Config::new("E2B"))?;
//!
//! let error = layer.layer(sandboxes).oneshot(Request::Create).await.unwrap_err();
//! assert_eq!(sandtower_core::verdict_of_error(&*error), Some(Verdict::transient(Effect::None)));
//!
//! layer.handle().drain(Duration::from_secs(5)).await?;
//! assert_eq!(layer.handle().counts().discards_done, 1);
//! # Ok(()) }
//! ```
//!
//! # Its place
//!
//! Inside retries, so that a dead thing is made anew; outside of what admits attempts, since its
//! probes are requests of their own and are admitted as such. They never pass through the layers
//! above it.
//!
//! # On a schedule
//!
//! A [`Monitor`] probes a service in the background, by any future that ends in a verdict, and is a
//! [gate](sandtower_core::Gate) that rejects while the service is down: put it before the service
//! with [`GatedLayer`](sandtower_core::GatedLayer), or into a waiting room.

mod check;
mod checking;
mod config;
mod error;
mod future;
mod handle;
mod layer;
mod ledger;
mod monitor;
mod service;
mod unchecked;

pub use check::{Check, CheckFn, check_fn};
pub use config::{Config, ConfigError, OnFailure};
pub use error::{Finding, Undrained, Unhealthy};
pub use future::ResponseFuture;
pub use handle::{Counts, Handle};
pub use layer::HealthCheckLayer;
pub use monitor::{Health, Monitor, MonitorConfig, MonitorConfigError, MonitorSnapshot};
pub use service::HealthCheck;
