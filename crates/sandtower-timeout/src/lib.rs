//! Two timeouts: the deadline of a call and the timeout of an attempt.
//!
//! [`DeadlineLayer`] is outermost: it limits the whole call, waits and retries included, and sets the deadline
//! on the request, so that layers below start nothing that cannot finish in time. [`TimeoutLayer`] is
//! innermost: it limits one attempt, by operation, from the moment it is sent.
//!
//! Both fail with an [`Elapsed`], which names the limit; [`is_timeout`] finds it in any error. An attempt
//! that timed out may have had an effect. If the call is
//! [open-ended](sandtower_core::RequestInfo::open_ended), its timeout is not evidence against the service.
//!
//! The timeout can restart whenever the request body [makes progress](TimeoutLayer::moves).
//!
//! Their timers fire whatever the service does: a future that exhausts tokio's cooperative budget on each
//! poll is ended nevertheless.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod deadline;
mod elapsed;
mod future;
mod limits;
mod moves;
mod timeout;

pub use deadline::{Deadline, DeadlineLayer};
pub use elapsed::{Bound, Elapsed, is_timeout};
pub use future::ResponseFuture;
pub use limits::Limits;
pub use moves::{LastMoved, Moves};
pub use timeout::{Timeout, TimeoutLayer};
