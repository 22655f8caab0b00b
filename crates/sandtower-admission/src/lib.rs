//! The waiting room: not everything hits the service at once.
//!
//! [`AdmissionLayer`] puts a limit on the calls in flight, with a bounded line in front of it, one
//! lane per operation. It is the one place in a stack where calls wait: a breaker or a rate limit
//! put inside it as a [gate](AdmissionLayer::with_gates) decides together with it when the next call
//! goes, and every call has one place in one line.
//!
//! A [`Quota`] is such a gate: it turns a service's "out of slots" into waiting for one.
//!
//! A waiting call holds nothing below: only when it is its turn is an instance of the inner service
//! made ready. Dropping a call at any point gives up its place, its slot and its tokens.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use sandtower_admission::{AdmissionLayer, Config};
//! use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
//!
//! let admission = AdmissionLayer::new(Config::new("E2B").concurrency(4).queue(100))?;
//! let room = admission.room().clone();
//! let mut service = ServiceBuilder::new()
//!     .layer(admission)
//!     .service(service_fn(|n: u32| async move { Ok::<_, std::convert::Infallible>(n + 1) }));
//!
//! assert_eq!(service.ready().await?.call(1).await?, 2);
//! assert_eq!(room.snapshot().lanes[0].admitted, 1);
//! # Ok(())
//! # }
//! ```

mod adaptive;
mod config;
mod drain;
mod future;
mod lane;
mod layer;
mod limiter;
#[cfg(all(test, loom))]
mod loom_tests;
mod pace;
mod progress;
mod quota;
mod room;
mod slot;
mod snapshot;
mod stepwise;
mod sync;
mod ticket;

pub use adaptive::Adaptive;
pub use config::{Config, ConfigError};
pub use drain::Drain;
pub use future::ResponseFuture;
pub use layer::{Admission, AdmissionLayer};
pub use limiter::Limit;
pub use progress::{CallState, Progress, QueuePosition, Watch};
pub use quota::{Quota, QuotaConfig, QuotaConfigError, QuotaSnapshot, QuotaToken};
pub use room::AdmissionControl;
pub use slot::Slot;
pub use snapshot::{AdmissionSnapshot, QueueSnapshot};
pub use stepwise::Stepwise;
