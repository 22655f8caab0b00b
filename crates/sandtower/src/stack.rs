//! The recommended stack for calls to E2B, and the reasons for its order.
//!
//! From the outside in:
//!
//! 1. **Deadline of the call.** Outermost, so that waits and retries count. The layers below read it and
//!    start nothing that cannot finish in time.
//! 2. **Fallback**, if there is one, and a default template for one that does not exist. The fallback runs
//!    only after retries are exhausted, in what is left of the time.
//! 3. **Retry.** Above admission control, so that a call that backs off holds no slot; a throttled
//!    attempt returns to the front of its queue. Above the health check, so that a dead sandbox is
//!    recreated.
//! 4. **Creation tracking.** Directly below retry, where each attempt is visible: sandboxes that a failed
//!    attempt left behind and that no caller owns are found and killed. Its requests queue like all calls.
//! 5. **Health check.** Above admission control, so that its probes queue like all calls, as an operation
//!    of their own; below retry, so that they are never retried.
//! 6. **Admission control**, the only queue. Quota, rate limit and circuit breakers are gates inside it: a
//!    call gets slot, pace and breaker together or waits for all of them, in one queue. A creation that
//!    finds all sandboxes in use waits here until one ends.
//! 7. **Timeout of the attempt.** Below admission control: waiting never looks like a slow service.
//! 8. **Interpreter.** Innermost: reads the body of an error before any layer classifies it.
//!
//! Beside them, if it is [enabled](Builder::monitor), a monitor probes the service periodically.
//!
//! The same layers also stack in other orders; what changes then:
//!
//! | instead | then |
//! |---|---|
//! | retry below admission control | a call keeps its slot while it backs off |
//! | health check above retry | a dead sandbox is an error for the caller |
//! | breaker as a layer above admission control | it counts time in the queue as part of a call, and ignores rejections by the queue |
//! | timeout above admission control | calls time out in the queue, without evidence for the breaker |
//! | creation tracking above retry | sandboxes of attempts that were retried are not cleaned up |
//! | no interpreter | "too many per second" and "all slots in use" look the same |

mod assembly;
mod build;
mod builder;
mod component;
mod config;
mod error;
mod fallback;
mod gates;
mod handles;
mod metrics;
mod plan;
mod preset;
mod service;
mod shown;
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
pub use transport::{Body, SendBody};
pub use uploads::{Upload, Uploads};
