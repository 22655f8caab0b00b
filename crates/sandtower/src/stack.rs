//! The recommended stack for calls of E2B, and why it stands in this order.
//!
//! From the outside in:
//!
//! 1. **Deadline of the call.** Outermost, so that waits and retries count; it tells the layers below,
//!    which then begin nothing that cannot end in time.
//! 2. **Fallback**, if there is one, and a default template for one that is not found: another way is
//!    gone only when this one was tried for good, in what is left of the time.
//! 3. **Retry.** Above the waiting room, so that a call that backs off holds no slot; a throttled
//!    call goes straight back to its place in line. Above the health check, so that a dead sandbox
//!    is made anew.
//! 4. **The account of what is made.** Right below retry, where each attempt is seen: what an attempt
//!    may have left, and nobody holds, is found and killed. Its look-ups stand in line like all calls.
//! 5. **Health check.** Above the waiting room, so that its probes stand in line like all calls, as an
//!    operation of their own; below retry, so that they are never retried.
//! 6. **Admission**, the one waiting room. Quota, rate limit and circuit breakers are gates inside of
//!    it: a call gets slot, pace and breaker together or waits for all of them, in one line. A
//!    creation that finds all sandboxes in use waits here until one ends.
//! 7. **Time-out of the attempt.** Below the waiting room: waiting never looks like a slow service.
//! 8. **Interpreter.** Innermost: reads what an error says before anyone judges it.
//!
//! Beside them, if it is [asked for](Builder::monitor), a monitor asks on a schedule how the service is.
//!
//! The same layers also stack in other orders; what changes then:
//!
//! | instead | then |
//! |---|---|
//! | retry below admission | a call keeps its slot while it backs off |
//! | health check above retry | a dead sandbox is an error for the caller |
//! | breaker as a layer above admission | it sees time in line as part of a call, and counts rejections of the room as neither |
//! | time-out above admission | calls time out in line, and the breaker learns nothing |
//! | the account of what is made above retry | what an attempt made that a retry has replaced is not looked for |
//! | no interpreter | "too many a second" and "all slots in use" look the same |

mod assembly;
mod build;
mod builder;
mod component;
mod config;
mod error;
mod fallback;
mod gates;
mod handles;
mod plan;
mod preset;
mod service;
mod transport;
mod uploads;

pub use assembly::{Parts, Stack};
pub use builder::Builder;
pub use component::Component;
pub use config::{CustomPlan, StackConfig};
pub use error::BuildError;
pub use fallback::{BelowFallback, BelowFallbackFuture, StackFallback};
pub use gates::{Gates, Permits};
pub use handles::{Handles, Snapshot, Undrained};
pub use plan::Plan;
pub use preset::Preset;
pub use service::{StackFuture, StackService, WatchExtension};
pub use transport::Body;
pub use uploads::{Upload, Uploads};
