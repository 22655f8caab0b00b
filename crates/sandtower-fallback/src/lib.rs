//! Alternatives to a call that failed: another request, another service, another answer.
//!
//! [`FallbackLayer`] has one alternative to what is below. A failure that is
//! [worth it](When) goes there at once, in the same poll: nothing is delayed, and nothing waits that
//! could fail at once. What the alternative is decides what is asked of the service:
//!
//! | alternative | demands |
//! |---|---|
//! | [another answer](FallbackLayer::answer) | nothing: neither request, response nor service is cloned |
//! | [another service](FallbackLayer::to) | a copy of the request; only the other service is cloned |
//! | [another request](FallbackLayer::rewrite) to the same service | the service is cloned |
//!
//! Alternatives in order are layers in order, the last resort outermost:
//!
//! ```
//! use sandtower_fallback::{FallbackLayer, When};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sandtower_core::BoxError> {
//! let dead = |_: &'static str| async { Err::<String, _>("connection refused") };
//! let service = ServiceBuilder::new()
//!     .layer(FallbackLayer::answer("a guess", |_| Some(String::from("about 4"))))
//!     .layer(FallbackLayer::to("the spare", service_fn(dead)))
//!     // Nothing is known of these errors, so only a request that is safe to replay goes to a spare.
//!     .service(service_fn(dead));
//!
//! assert_eq!(service.oneshot("2 + 2").await?, "about 4");
//! # Ok(())
//! # }
//! ```
//!
//! [`Failover`] is for services of one kind, such as regions: it **remembers which one works**. While
//! the first is down, calls begin with another; after a while a single call, which holds a lease,
//! looks whether the first is back.
//!
//! # Never twice
//!
//! A failed attempt that may have had an effect is sent nowhere else unless its request is
//! [safe to replay](sandtower_core::Replay). An alternative that sends nothing is free of this.
//!
//! # Its place
//!
//! Above retry, in the recommended order of the crate `sandtower`: another way is gone only when this
//! one was tried for good. Below the deadline of the call, which bounds all ways together.

mod alternative;
mod error;
mod failed;
mod failover;
mod future;
mod handle;
mod layer;
mod rewrite;
mod service;
mod when;

pub use alternative::{Alternative, Answer, AnswerAlternative, MakeAlternative, Sending};
pub use alternative::{ServiceAlternative, ToService};
pub use error::AlternativeFailed;
pub use failed::Failed;
pub use failover::{Failover, FailoverConfig, FailoverConfigError, FailoverFuture};
pub use failover::{FailoverHandle, FailoverSnapshot, PlaceSnapshot};
pub use future::ResponseFuture;
pub use handle::{Handle, Snapshot};
pub use layer::FallbackLayer;
pub use rewrite::{Rewrite, RewriteAlternative, Rewritten};
pub use service::Fallback;
pub use when::When;
