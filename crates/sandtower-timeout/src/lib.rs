//! Two limits on time: the deadline of a call and the timeout of an attempt.
//!
//! [`DeadlineLayer`] stands outermost: it limits the whole call, waits and retries included, and
//! writes the deadline on the request, so that layers below start nothing that cannot end in time.
//! [`TimeoutLayer`] stands innermost: it limits one attempt, by operation, from the moment it is sent.
//!
//! Both fail with an [`Elapsed`], which says which limit passed; [`is_timeout`] finds it in any error. An attempt that timed out may have
//! had an effect; of a call [without an end of its own](sandtower_core::RequestInfo::open_ended) that
//! says nothing about the service.
//!
//! An attempt whose request body still [moves](TimeoutLayer::moves) can be given its time anew.
//!
//! Their timers fire whatever the service does: a future that uses up tokio's cooperative budget on
//! each poll is ended all the same.

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
