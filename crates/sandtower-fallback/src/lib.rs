//! Alternatives for a call that failed: another request, another service, another response.
//!
//! [`FallbackLayer`] has one alternative to the service below. The failures that it [covers](When) go there
//! at once, in the same poll. What the alternative needs:
//!
//! | alternative | needs |
//! |---|---|
//! | [another response](FallbackLayer::respond) | neither request nor response is cloned |
//! | [another service](FallbackLayer::to) | a copy of the request, clones of the other service |
//! | [another request](FallbackLayer::rewrite) to the same service | what the rewrite keeps of the request, clones of the service |
//!
//! The first service is `Clone`, since an instance that fails to become ready is replaced.
//!
//! Several alternatives are several layers, the last resort outermost:
//!
//! ```
//! use sandtower_core::{ByResult, Replay, RequestInfo};
//! use sandtower_fallback::FallbackLayer;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), sandtower_core::BoxError> {
//! // Every error is a failure, and every request may be sent twice.
//! let classify = ByResult::new(RequestInfo::default().replay(Replay::Safe));
//! let dead = |_: &'static str| async { Err::<String, _>("connection refused") };
//! let service = ServiceBuilder::new()
//!     .layer(FallbackLayer::respond("a guess", |_| Some(String::from("about 4")), classify))
//!     .layer(FallbackLayer::to("the spare", service_fn(dead), classify))
//!     .service(service_fn(dead));
//!
//! assert_eq!(service.oneshot("2 + 2").await?, "about 4");
//! # Ok(())
//! # }
//! ```
//!
//! [`Failover`] is for equivalent services, such as regions: it **remembers which one works**. While the
//! first is down, calls start at another; after a while a single call, which holds a lease, probes whether
//! the first is back.
//!
//! # Never twice
//!
//! A failed attempt that may have had an effect is not sent elsewhere unless its request is
//! [safe to replay](sandtower_core::Replay). This does not apply to alternatives that send nothing.
//!
//! # Position in the stack
//!
//! Above retry, in the recommended order of the crate `sandtower`: the fallback runs only after retries
//! are exhausted. Below the deadline of the call, which limits both together.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod alternative;
mod error;
mod failed;
mod failover;
mod future;
mod handle;
mod layer;
mod metrics;
mod pristine;
mod rewrite;
mod service;
mod when;

pub use alternative::{Alternative, MakeAlternative, Respond, RespondAlternative, Sending};
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
