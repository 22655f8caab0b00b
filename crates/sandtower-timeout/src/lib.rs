//! Bounds on time: the deadline of a call and the time-out of an attempt.
//!
//! They are two things. [`DeadlineLayer`] stands outermost: it says until when the caller cares,
//! waits and retries included, and writes that on the request so that layers below do not begin
//! what cannot end in time. [`TimeoutLayer`] stands innermost: it bounds one attempt, by operation,
//! from the moment it is sent.
//!
//! Both end with an [`Elapsed`] that says which of them it was, and what it means: an attempt that
//! timed out may have had an effect.

mod deadline;
mod elapsed;
mod future;
mod limits;
mod timeout;

pub use deadline::{Deadline, DeadlineLayer};
pub use elapsed::{Bound, Elapsed};
pub use future::ResponseFuture;
pub use limits::Limits;
pub use timeout::{Timeout, TimeoutLayer};
