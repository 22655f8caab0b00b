//! A rate limit on a clock of numbers.

use std::time::Duration;

use sandtower_core::{
    Completion, Deferred, Gate, No, Now, Operation, Rejection, RequestInfo, Tick, Verdict,
};
use sandtower_rate_limit::{Config, Permit, RateLimit};

pub(crate) const CREATE: Operation = Operation::new(1, "sandbox_create");
pub(crate) const LIST: Operation = Operation::new(2, "sandbox_list");

pub(crate) fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn limit(config: Config) -> RateLimit {
    RateLimit::new(config).unwrap()
}

pub(crate) fn acquire(
    gate: &RateLimit,
    request: &RequestInfo,
    now: Tick,
) -> Result<Permit, (Tick, Rejection)> {
    let acquired = gate.try_acquire(request, &Now::at(now), &mut Deferred::new());
    acquired.map_err(|no| match no {
        No::Wait { earliest, look_again, why } => {
            assert!(now < earliest && earliest <= look_again);
            (earliest, why)
        }
        No::Closed { .. } => panic!("a rate limit always says when: {no:?}"),
    })
}

pub(crate) fn record(gate: &RateLimit, request: &RequestInfo, permit: Permit, done: &Completion) {
    let kept = gate.record(request, permit, done, &mut Deferred::new());
    assert!(kept.is_none(), "the head says all that there is to learn");
}

pub(crate) fn take(
    gate: &RateLimit,
    operation: Operation,
    now: Tick,
) -> Result<Permit, (Tick, Rejection)> {
    acquire(gate, &RequestInfo::new(operation), now)
}

/// When an attempt may go at the earliest: `now`, or later.
pub(crate) fn opens(gate: &RateLimit, operation: Operation, now: Tick) -> Tick {
    match gate.check(Some(&RequestInfo::new(operation)), &Now::at(now)) {
        Some(No::Wait { earliest, .. }) => earliest,
        _ => now,
    }
}

/// Gives back what was never sent.
pub(crate) fn give_back(gate: &RateLimit, operation: Operation, permit: Permit, now: Tick) {
    record(gate, &RequestInfo::new(operation), permit, &Completion::not_sent(now));
}

/// Sends one at `now` that gets `verdict` at once.
pub(crate) fn send(gate: &RateLimit, operation: Operation, now: Tick, verdict: Verdict) {
    let permit = take(gate, operation, now).unwrap();
    let done = Completion::new(verdict, now, now);
    record(gate, &RequestInfo::new(operation), permit, &done);
}
