//! Admission control: not everything hits the service at once.
//!
//! [`AdmissionLayer`] puts a limit on the calls in flight, with a bounded queue in front of it, one for
//! each operation. It is the one place in a stack where calls wait: a breaker or a rate limit put inside
//! it as a [gate](AdmissionLayer::with_gates) decides together with it when the next call goes, and each
//! call has one position in one queue. A call that a gate holds is passed by those that it does not hold.
//!
//! A [`Quota`] is such a gate: it turns a service's "out of slots" into waiting for one.
//!
//! A waiting call holds nothing below: only when it is its turn is an instance of the inner service made
//! ready. Dropping a call at any point gives up its position, its slot and its permits.
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
//! # Whose turn it is
//!
//! In order of arrival, where an attempt that returns keeps the arrival of its call. Once calls have
//! waited for [a second](Config::newest_first_after), the newest goes first until the queue is empty, and
//! a call waits [two minutes](Config::longest_wait) at most. A free slot belongs to the call that is next
//! and is not handed over: a call whose task does not poll it within a second is passed by the next one.
//!
//! A call whose deadline comes before its turn and its response is rejected at once, with the wait that
//! it would have had.

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
