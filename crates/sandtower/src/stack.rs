//! The recommended stack for calls of E2B, and why it stands in this order.
//!
//! From the outside in:
//!
//! 1. **Deadline of the call.** Outermost, so that waits and retries count; it tells the layers below,
//!    which then begin nothing that cannot end in time.
//! 2. **Retry.** Above the waiting room, so that a call that backs off holds no slot; a throttled
//!    call goes straight back to its place in line. Above the health check, so that a dead sandbox
//!    is made anew.
//! 3. **Health check.** Above the waiting room, so that its probes stand in line like all calls, as an
//!    operation of their own; below retry, so that they are never retried.
//! 4. **Admission**, the one waiting room. Quota, rate limit and circuit breaker are gates inside of
//!    it: a call gets slot, pace and breaker together or waits for all of them, in one line. A
//!    creation that finds all sandboxes in use waits here until one ends.
//! 5. **Time-out of the attempt.** Below the waiting room: waiting never looks like a slow service.
//! 6. **Interpreter.** Innermost: reads what an error says before anyone judges it.
//!
//! The same layers also stack in other orders; what changes then:
//!
//! | instead | then |
//! |---|---|
//! | retry below admission | a call keeps its slot while it backs off |
//! | health check above retry | a dead sandbox is an error for the caller |
//! | breaker as a layer above admission | it sees time in line as part of a call, and counts refusals of the room as neither |
//! | time-out above admission | calls time out in line, and the breaker learns nothing |
//! | no interpreter | "too many a second" and "all slots in use" look the same |

mod handles;
mod plan;
mod recommended;

pub use handles::{Handles, Snapshot};
pub use plan::Plan;
pub use recommended::{Gates, Recommended, Stack};
