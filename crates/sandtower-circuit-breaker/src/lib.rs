//! A tower layer that stops calling a service that is dead.
//!
//! A [`CircuitBreaker`] counts what calls to a service come to. Once they fail, it opens and refuses
//! calls at once instead of letting each wait for its own failure; after a while it sends a probe,
//! and closes when the service answers. [`CircuitBreakerLayer`] puts it before a service; a waiting
//! room takes it as a [`Gate`](sandtower_core::Gate) instead. Use one or the other for one breaker,
//! never both.
//!
//! # What counts
//!
//! | verdict | closed | half-open, for its probe |
//! |---|---|---|
//! | success | ends the run of failures | success |
//! | permanent, exhausted | the same: the service is alive | success |
//! | transient, unknown; not ready | failure | failure |
//! | throttled | nothing: limits are a limiter's work | failure |
//! | cancelled, after the [expected time](Config::expected) | failure | failure |
//! | cancelled, before it | nothing | nothing; its place is free |
//! | refused by a layer below | nothing | nothing; its place is free |
//!
//! A wrong key (401, 403) or a missing thing (404) is permanent: a service that checks keys and
//! looks things up is not dead, and refusing everyone else's calls would cure nothing.
//!
//! # What never happens
//!
//! - A probe that hangs, is cancelled or is lost never keeps the breaker half-open: it holds a
//!   lease, and the next call after its expiry is a probe again.
//! - No more probes are out than were configured, however many calls come at once.
//! - An outcome from before a change of state never changes the state after it.
//! - An attempt that was sent is never aborted. Callers that still wait for the service below to
//!   become ready are woken and refused when the breaker opens.
//!
//! # In which order
//!
//! The breaker counts attempts if it stands inside a retry, calls if outside: inside it opens
//! sooner, and a refusal is never retried, so that the retry does not hammer an open breaker.
//! Outside an attempt's time-out it sees that time-out as the error it is; inside, it sees a dropped
//! attempt, which counts by the expected time. It replaces no budget for retries, which bounds
//! retries while the breaker is still closed, and no limiter: a service that is overloaded but
//! alive needs fewer calls, not none.

mod breaker;
mod config;
mod engine;
mod events;
mod evidence;
mod layer;
mod leases;
mod snapshot;
mod trip;

pub use breaker::CircuitBreaker;
pub use config::{Config, ConfigError, WhenOpen};
pub use engine::Token;
pub use layer::{CircuitBreakerLayer, CircuitBreakerService, ResponseFuture};
pub use snapshot::{Counters, Snapshot, State};
pub use trip::Trip;
