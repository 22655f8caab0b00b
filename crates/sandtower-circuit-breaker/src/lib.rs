//! A tower layer that stops calling a service that is down.
//!
//! A [`CircuitBreaker`] counts what calls to a service come to. Once they fail, it opens and rejects
//! calls at once instead of letting each wait for its own failure; after a while it sends a probe, and
//! lets callers back when the service responds. [`CircuitBreakerLayer`] puts it before a service;
//! admission control takes it as a [`Gate`](sandtower_core::Gate) instead. Use one or the other for
//! one breaker, never both. [`CircuitBreakers`] keep one for each scope: a region, a key, a host.
//!
//! ```
//! use sandtower_circuit_breaker::CircuitBreakerLayer;
//! use tower::{Layer, service_fn};
//!
//! let layer = CircuitBreakerLayer::new("search").failure_if(|status: &u16| *status >= 500);
//! let service = layer.layer(service_fn(async |_: ()| Ok::<u16, std::io::Error>(200)));
//! # let _ = tower::ServiceExt::<()>::oneshot(service, ());
//! ```
//!
//! [`Config::recommended`] has numbers that are right for a call in ten seconds and for a thousand in
//! one. [`Config::classic`] is the widespread rule of five failures in a row.
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
//! | cancelled before it, or [open-ended](sandtower_core::RequestInfo::open_ended) | nothing | nothing; its slot is free |
//! | rejected by a layer below | nothing | nothing; its slot is free |
//!
//! A wrong key (401, 403) or a missing thing (404) is permanent: a service that checks keys and looks
//! things up is not down, and rejecting other callers would cure nothing. An open-ended call, such as
//! a user's code or a watch, takes as long as its caller lets it.
//!
//! # One resource that fails is no outage
//!
//! A request may name the [resource](sandtower_core::RequestInfo::resource) that it is about, such as
//! one sandbox. A failure of one of the two resources that failed last is no further evidence, and the
//! breaker opens only when three resources failed, or a request that names none, since the service was
//! last known to be healthy. A probe that fails opens the breaker again, whatever it was about.
//!
//! # When it opens, and how it comes back
//!
//! - [`Trip`] says when. The [`Cusum`] weighs each outcome by how much likelier it is in an outage;
//!   there is no window to fill and no least number of calls.
//! - It stays open for 1 s, and for half as long again each time it has to open again, 10 s at most. A
//!   server that asks for more gets it, [within bounds](Config::longest_open).
//! - Then it sends a probe. A service that cannot take one is not ready for all callers.
//! - Then it is closed but [ramping](Config::ramp): each response lets one more call be in flight. The
//!   load doubles with each round of responses, and callers that waited cannot stampede past it. If
//!   the service fails again, it opens after half as much evidence.
//!
//! # What a caller gets
//!
//! | state | its layer | admission control |
//! |---|---|---|
//! | open | rejects until the time is over | gets that time, and may hold the call |
//! | forced open | rejects | learns that the time is not known |
//! | half-open, all probes in flight; ramping, as many calls in flight as may be | rejects | holds the call until a slot is free |
//!
//! While slots are taken, a slot is expected when the first of them has been in flight for as long
//! as the last response took. The lease of a call that hangs is no estimate: it only says when to ask
//! again.
//!
//! # What never happens
//!
//! - A probe that hangs, is cancelled or is lost never keeps the breaker half-open: it holds a
//!   lease, and the next call after its expiry is a probe again. The same goes for the ramp.
//! - No more probes are in flight than were configured, however many calls come at once.
//! - An outcome from before a transition never changes the state after it.
//! - An attempt that was sent is never aborted. Callers that still wait for the service below to
//!   become ready are woken and rejected when the breaker opens.
//! - No event is written and no subscriber is notified under a lock: a `tracing` subscriber may ask for a
//!   snapshot.
//!
//! # Beside a retry budget
//!
//! Both bound what failures cost, at different times; neither replaces the other. A budget acts while
//! the breaker is still closed, and on failures that never open it: with one call in ten failing there
//! is no outage, and retries cure it. In an outage, the budget still lets each call make its first
//! attempt, and wait for it to fail; the breaker saves that attempt too. A rejection is never retried
//! and costs a budget nothing, so that an open breaker does not leave the budget empty when the service
//! is back.
//!
//! A breaker does not replace a limiter either: a service that is overloaded but alive needs fewer
//! calls, not none and then all.
//!
//! # In which order
//!
//! | the breaker is | what changes |
//! |---|---|
//! | inside a retry | it counts attempts and opens sooner; a call can be rejected between two of its attempts, and ends there |
//! | outside a retry | it counts calls; it never sees what a retry cures, and is slow to see an outage |
//! | outside the timeout of an attempt | a timeout is the error that it is: a failure |
//! | inside of it | a timeout is a dropped attempt, which counts by the [expected time](Config::expected): set that to the timeout, or a little less |
//! | outside a rate limit | calls that the limit rejects are no evidence, but while it lets nothing through a probe learns nothing either |
//! | inside of it | a call that the breaker rejects has used up its share of the rate |
//! | in admission control, as a gate | with the other gates it gives all permits or none: a rejection costs nothing, and calls can wait for the probe |
//!
//! # What an operator sees
//!
//! [`CircuitBreaker::snapshot`] is all at one moment, [`history`](CircuitBreaker::history) what led to
//! it, and [`transitions`](CircuitBreaker::transitions) what comes. `tracing` events have the target
//! `sandtower::circuit_breaker` and the field `name`:
//!
//! | event | level | fields |
//! |---|---|---|
//! | `circuit breaker opened` | `WARN` | `from`, `to`, `forced`, `failed`, `of`, `retry_in_ms`, `rejected`, `shadow` |
//! | `circuit breaker half-open`, `circuit breaker closed` | `INFO` | the same |
//! | `circuit breaker rejected calls`, at most one in 10 s | `INFO` | `reason`, `count` since the last |
//! | `circuit breaker would have rejected calls`, in [shadow mode](Config::shadow), at most one in 10 s | `INFO` | `reason`, `count` since the last |
//! | `circuit breaker table full: new scopes share one circuit breaker` | `WARN` | `max_scopes` |
//!
//! # What it costs
//!
//! A closed breaker with nothing held against its service decides by reading one word, without the
//! clock, and counts a response by adding to another. Failures, and the responses after one
//! until it is outweighed, take a short lock. No outcome is remembered one by one.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

mod breaker;
mod config;
mod config_error;
mod engine;
mod events;
mod evidence;
mod failure_if;
mod history;
mod layer;
mod leases;
mod metrics;
mod open_time;
mod scoped;
mod scopes;
mod snapshot;
mod sources;
mod switch;
mod transitions;
mod trip;

pub use breaker::CircuitBreaker;
pub use config::Config;
pub use config_error::ConfigError;
pub use engine::Permit;
pub use failure_if::FailureIf;
pub use history::Transition;
pub use layer::CircuitBreakerLayer;
pub use scoped::{CircuitBreakers, ScopeSnapshot, ScopedPermit};
pub use scopes::Scopes;
pub use snapshot::{Counters, Snapshot, State};
pub use transitions::{NextTransition, Transitions, Wait};
pub use trip::{Cusum, Trip};
