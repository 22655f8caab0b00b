//! Admission control: limits concurrent calls to a service and queues the rest.
//!
//! [`AdmissionLayer`] limits the calls in flight, with a bounded queue in front of the limit, one per
//! operation. It is the only place in a stack where calls wait: a breaker or a rate limit inside it as a
//! [gate](AdmissionLayer::with_gates) takes part in each admission decision, and each call has one
//! position in one queue. Calls that a gate does not hold overtake those that it holds.
//!
//! A [`Quota`] is such a gate: calls wait while the service is out of slots.
//!
//! A queued call holds no resources of the inner service, which is polled for readiness only once the
//! call is admitted. Dropping a call at any point releases its position, slot and permits.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use sandtower_admission::{AdmissionLayer, Config};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let admission = AdmissionLayer::new(Config::new("E2B").concurrency(4).queue(100))?;
//! let control = admission.control().clone();
//! let mut service = ServiceBuilder::new()
//!     .layer(admission)
//!     .service(service_fn(|n: u32| async move { Ok::<_, std::convert::Infallible>(n + 1) }));
//!
//! assert_eq!(service.ready().await?.call(1).await?, 2);
//! assert_eq!(control.snapshot().queues[0].admitted, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Order
//!
//! Calls are admitted in order of arrival; a retried attempt keeps the arrival time of its call. Once
//! calls have waited for [a second](Config::newest_first_after), the newest goes first until the queue is
//! empty, and no call waits longer than [two minutes](Config::longest_wait). A free slot belongs to the
//! next call. If its task does not poll it within a second, the call after it goes first.
//!
//! A call that cannot be served before its deadline is rejected immediately, with the wait it would have
//! had.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod adaptive;
mod config;
mod control;
mod drain;
mod future;
mod layer;
mod limiter;
mod limits;
#[cfg(all(test, loom))]
mod loom_tests;
mod metrics;
mod pace;
mod progress;
mod queue;
mod quota;
mod rate;
mod slot;
mod snapshot;
mod state;
mod stepwise;
mod sync;
mod ticket;
mod waiting;

pub use adaptive::Adaptive;
pub use config::{Config, ConfigError};
pub use control::AdmissionControl;
pub use drain::Drain;
pub use future::ResponseFuture;
pub use layer::{Admission, AdmissionLayer};
pub use limiter::Limit;
pub use progress::{CallState, Progress, QueuePosition, Watch, WeakProgress};
pub use quota::{Quota, QuotaConfig, QuotaConfigError, QuotaPermit, QuotaSnapshot};
pub use rate::Rate;
pub use slot::Slot;
pub use snapshot::{AdmissionSnapshot, QueueSnapshot};
pub use stepwise::Stepwise;
pub use waiting::Waiting;
