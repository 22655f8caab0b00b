//! A tower layer that stops calling a service that is dead.
//!
//! A [`CircuitBreaker`] counts what calls to a service come to. Once they fail, it opens and rejects
//! calls at once instead of letting each wait for its own failure; after a while it sends a probe,
//! and lets callers back when the service answers. [`CircuitBreakerLayer`] puts it before a service;
//! a waiting room takes it as a [`Gate`](sandtower_core::Gate) instead. Use one or the other for one
//! breaker, never both. [`CircuitBreakers`] keep one for each scope: a region, a key, a host.
//!
//! [`Config::new`] is what to use if nothing else is known: its numbers are right for a call in ten
//! seconds and for a thousand in one. [`Config::classic`] is the plain rule of five failures in a
//! row.
//!
//! # What counts
//!
//! | verdict | closed | half-open, for its probe |
//! |---|---|---|
//! | success | takes from the evidence, or ends the run | success |
//! | permanent, exhausted | the same: the service is alive | success |
//! | transient, unknown; not ready | failure | failure |
//! | throttled | nothing: limits are a limiter's work | failure |
//! | cancelled, after the [expected time](Config::expected) | failure | failure |
//! | cancelled, before it | nothing | nothing; its place is free |
//! | rejected by a layer below | nothing | nothing; its place is free |
//!
//! A wrong key (401, 403) or a missing thing (404) is permanent: a service that checks keys and
//! looks things up is not dead, and rejecting everyone else's calls would cure nothing.
//!
//! # When it opens, and how it comes back
//!
//! - [`Trip`] says when. The [`Cusum`] weighs each outcome by how much likelier it is in an outage;
//!   there is no window to fill and no least number of calls.
//! - It stays open for 1 s, and for half as long again each time it has to open again, 10 s at most. A
//!   server that asks for more gets it, [within bounds](Config::longest_open).
//! - Then it sends a probe. A service that cannot take one is not ready for everyone.
//! - Then it is closed but [ramping](Config::ramp): each answer lets one more call be out at a time.
//!   The load doubles with each round of answers, and those who waited cannot stampede past it. If
//!   the service fails again, it opens after half as much evidence.
//!
//! # What never happens
//!
//! - A probe that hangs, is cancelled or is lost never keeps the breaker half-open: it holds a
//!   lease, and the next call after its expiry is a probe again. The same goes for the ramp.
//! - No more probes are out than were configured, however many calls come at once.
//! - An outcome from before a change of state never changes the state after it.
//! - An attempt that was sent is never aborted. Callers that still wait for the service below to
//!   become ready are woken and rejected when the breaker opens.
//!
//! # Beside a retry budget
//!
//! Both bound what failures cost, at different times; neither replaces the other. A budget acts
//! while the breaker is still closed, and on failures that never open it: with one call in ten
//! failing there is no outage, and retries cure it. Once it is one, the budget still lets each call
//! make its first attempt, and wait for it to fail; the breaker saves that attempt too. A rejection
//! is never retried and costs a budget nothing, so that an open breaker does not leave the budget
//! empty when the service is back.
//!
//! Nor does a breaker replace a limiter: a service that is overloaded but alive needs fewer calls,
//! not none and then all.
//!
//! # In which order
//!
//! | the breaker stands | what changes |
//! |---|---|
//! | inside a retry | it counts attempts and opens sooner; a call can be rejected between two of its attempts, and ends there |
//! | outside a retry | it counts calls; what a retry cures it never sees, and it is slow to see an outage |
//! | outside the time-out of an attempt | a time-out is the error that it is: a failure |
//! | inside of it | a time-out is a dropped attempt, which counts by the [expected time](Config::expected): set that to the time-out, or a little less |
//! | outside a rate limit | calls that the limit rejects are no evidence, but while it lets nothing through a probe learns nothing either |
//! | inside of it | a call that the breaker rejects has used up its share of the rate |
//! | in a waiting room, as a gate | with the other gates it gives all tokens or none: a rejection costs nothing, and with [`WhenOpen::Hold`] calls wait for the probe |
//!
//! # What an operator sees
//!
//! [`CircuitBreaker::snapshot`] is all at one moment, [`history`](CircuitBreaker::history) what led
//! to it, and [`subscribe`](CircuitBreaker::subscribe) tells what comes. Each change of state is
//! also one `tracing` event of the target `sandtower::circuit_breaker`.
//!
//! # What it costs
//!
//! A closed breaker with nothing held against its service decides by reading one word, and counts an
//! answer on a cache line of few threads. Failures, and the answers after one until it is outweighed,
//! take a short lock. No outcome is remembered one by one.

mod breaker;
mod config;
mod engine;
mod events;
mod evidence;
mod history;
mod layer;
mod leases;
mod open_time;
mod scoped;
mod snapshot;
mod switch;
mod transitions;
mod trip;

pub use breaker::CircuitBreaker;
pub use config::{Config, ConfigError, WhenOpen};
pub use engine::Token;
pub use history::Transition;
pub use layer::{CircuitBreakerLayer, CircuitBreakerService, ResponseFuture};
pub use scoped::{CircuitBreakers, ScopeSnapshot, ScopedToken, Scopes};
pub use snapshot::{Counters, Snapshot, State};
pub use transitions::{NextTransition, Told, Transitions};
pub use trip::{Cusum, Trip};
