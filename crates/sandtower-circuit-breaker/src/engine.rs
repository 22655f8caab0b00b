//! The state machine: no lock, no clock, and randomness only from its seed.
//!
//! ```text
//!             the trip rule is due                 its time is over
//!   Closed ------------------------> Open ------------------------------> HalfOpen
//!    ^  ^                             ^  ^                                 |    |
//!    |  |      the rule is due: half  |  +-- a probe failed, was throttled -+    |
//!    |  |      the evidence is enough |                                         |
//!    |  +----------------------- closed, ramping <------------------------------+
//!    |                                |          enough probes succeeded
//!    +--------------------------------+
//!      enough responses came: the ramp is over
//! ```
//!
//! The time of an open breaker ends by itself: afterwards it is half-open, and the first probe moves
//! it. Every move starts a new generation, but for the end of the ramp; a permit of
//! an older generation can change nothing.
//!
//! In the ramp, each response allows one more attempt in flight: the load doubles in the time of one
//! response, whatever the rate of calls and however long a response takes.

#[cfg(test)]
mod model;
#[cfg(test)]
mod search;
mod steer;
#[cfg(test)]
mod table;
mod view;

use std::time::Duration;

use sandtower_core::{Completion, Now, Outcome, Reason, RequestInfo, Rng, Stage, Tick, Verdict};

use crate::{
    Counters, State, Transition,
    evidence::Evidence,
    history::History,
    leases::{LeaseId, Leases},
    open_time::OpenTime,
    trip::{Rule, Tally},
};

/// What the engine is configured to do. Already checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) rule: Rule,
    pub(crate) open: OpenTime,
    /// Closed for so long, it starts with the first open time again.
    pub(crate) stable: Duration,
    pub(crate) probes: u32,
    pub(crate) successes: u32,
    /// How many responses the ramp takes; 0: no ramp.
    pub(crate) ramp: u32,
    pub(crate) lease: Duration,
    pub(crate) expected: Duration,
}

/// What a [`CircuitBreaker`](crate::CircuitBreaker) gives for one attempt.
#[derive(Debug)]
#[must_use = "a permit has to be recorded"]
pub struct Permit {
    pub(crate) generation: u64,
    /// Of a probe, or of an attempt of the ramp: its slot is free when it comes back.
    pub(crate) lease: Option<LeaseId>,
}

/// Why no attempt may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Open until then; `None`: until an operator says otherwise.
    Open { until: Option<Tick>, reason: Reason },
    /// As many attempts are in flight as may be.
    Full {
        /// When the first of them is expected to come back; not before now.
        expected: Tick,
        /// When its lease expires.
        expires: Tick,
        /// The breaker is closed again, and ramping.
        recovering: bool,
    },
}

/// What may change the outcome of asking for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the subscribers have to be notified"]
pub(crate) enum Change {
    Moved(Transition),
    /// A slot is free, and a call was turned away since the last time.
    SlotFreed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open {
        until: Tick,
    },
    HalfOpen {
        succeeded: u32,
    },
    /// Closed, but not for every call at once.
    Ramp {
        succeeded: u32,
    },
    ForcedOpen,
    ForcedClosed,
}

#[derive(Clone, Debug)]
pub(crate) struct Engine {
    settings: Settings,
    rng: Rng,
    phase: Phase,
    since: Tick,
    generation: u64,
    /// How often it opened since it was last stable.
    opened: u32,
    /// How long the last response to a leased attempt took.
    answered_in: Duration,
    tally: Tally,
    leases: Leases,
    /// Whether a call was turned away for want of a slot since the subscribers were last notified.
    turned_away: bool,
    counters: Counters,
    /// Of the counters, when it last moved.
    rejected_before: u64,
    last_cause: Option<Outcome>,
    history: History,
}

impl Engine {
    /// A closed breaker.
    pub(crate) fn new(settings: Settings, rng: Rng, now: Tick) -> Self {
        Self {
            settings,
            rng,
            phase: Phase::Closed,
            since: now,
            generation: 0,
            opened: 0,
            answered_in: Duration::ZERO,
            tally: Tally::default(),
            leases: Leases::new(settings.probes, settings.lease),
            turned_away: false,
            counters: Counters::default(),
            rejected_before: 0,
            last_cause: None,
            history: History::default(),
        }
    }

    /// Asks for a permit. The move is the one to half-open, made by the first probe.
    pub(crate) fn try_acquire(
        &mut self,
        now: &Now,
    ) -> Result<(Permit, Option<Transition>), Denied> {
        if let Some(denied) = self.check(now) {
            self.counters.rejected += 1;
            return Err(denied);
        }
        Ok(self.acquire(now))
    }

    /// The same in shadow mode: there always is a permit. The outcome of an attempt that would have
    /// been rejected is learned like any other.
    pub(crate) fn acquire_in_shadow(
        &mut self,
        now: &Now,
    ) -> (Permit, Option<Transition>, Option<Denied>) {
        // Looks, and does not check: no call waits for a slot.
        if let Some(denied) = self.look(now) {
            self.counters.would_reject += 1;
            return (Permit { generation: self.generation, lease: None }, None, Some(denied));
        }
        let (permit, moved) = self.acquire(now);
        (permit, moved, None)
    }

    /// A permit, when nothing denies it.
    fn acquire(&mut self, now: &Now) -> (Permit, Option<Transition>) {
        let moved = match self.phase {
            Phase::Open { until } => {
                let phase = Phase::HalfOpen { succeeded: 0 };
                Some(self.enter_from(State::Open, phase, until, now.tick()))
            }
            _ => None,
        };
        let lease = match self.phase {
            Phase::HalfOpen { .. } => {
                let (lease, expired) = self.leases.grant(now.tick());
                self.counters.probes += 1;
                self.counters.expired_probes += expired;
                Some(lease)
            }
            Phase::Ramp { .. } => Some(self.leases.grant(now.tick()).0),
            _ => None,
        };
        (Permit { generation: self.generation, lease }, moved)
    }

    /// Takes a permit back.
    pub(crate) fn record(
        &mut self,
        request: &RequestInfo,
        permit: Permit,
        done: &Completion,
    ) -> Option<Change> {
        let is_current = permit.generation == self.generation;
        if done.stage == Stage::NotSent {
            return match permit.lease {
                Some(lease) if is_current => {
                    self.leases.end(lease);
                    self.slot_freed()
                }
                _ => None,
            };
        }
        if !is_current {
            self.counters.late += 1;
            return None;
        }
        let Some(lease) = permit.lease else { return self.learn(request, done) };
        let since = self.leases.end(lease);
        if let Phase::HalfOpen { .. } = self.phase {
            // A probe that outlived its lease is void: another may have been sent instead.
            return match since {
                Some(since) if done.now() < since + self.leases.term() => {
                    self.learn_from_probe(request, done)
                }
                _ => {
                    self.counters.late += 1;
                    self.slot_freed()
                }
            };
        }
        // The lease of a ramp is about a slot, not about what is learned.
        self.learn(request, done).or_else(|| self.slot_freed())
    }

    /// The service below failed to become ready at `now`. While probes are awaited, that is as good
    /// as one that failed.
    pub(crate) fn not_ready(&mut self, verdict: Verdict, now: Tick) -> Option<Change> {
        let (request, done) = (RequestInfo::default(), Completion::new(verdict, now, now));
        match self.state(now) {
            State::Closed => self.learn(&request, &done),
            State::HalfOpen if verdict.is_failure() => self.learn_from_probe(&request, &done),
            State::HalfOpen | State::Open => None,
        }
    }

    /// Learns from an attempt of a closed breaker.
    fn learn(&mut self, request: &RequestInfo, done: &Completion) -> Option<Change> {
        let Settings { rule, .. } = self.settings;
        match self.evidence(request, done) {
            Evidence::Nothing => None,
            Evidence::Throttled => {
                self.tally.other();
                None
            }
            Evidence::Alive => {
                self.tally.alive(&rule, done.now());
                self.climb(done)
            }
            Evidence::Failed => {
                self.failed(request, done);
                let opens = match self.phase {
                    Phase::Closed => self.tally.is_due(&rule, done.now()),
                    // It was down a moment ago: no need to see whether it goes on.
                    Phase::Ramp { .. } => self.tally.is_full(&rule),
                    // What was forced closed keeps count, but does not act on it.
                    _ => false,
                };
                opens.then(|| Change::Moved(self.open(done)))
            }
        }
    }

    /// Learns from a probe of a half-open breaker.
    fn learn_from_probe(&mut self, request: &RequestInfo, done: &Completion) -> Option<Change> {
        match self.evidence(request, done) {
            Evidence::Nothing => self.slot_freed(),
            Evidence::Alive => self.probe_succeeded(done),
            Evidence::Throttled | Evidence::Failed => {
                self.failed(request, done);
                Some(Change::Moved(self.open(done)))
            }
        }
    }

    fn evidence(&mut self, request: &RequestInfo, done: &Completion) -> Evidence {
        self.counters.count(&done.verdict);
        Evidence::of(request, done, self.settings.expected)
    }

    fn failed(&mut self, request: &RequestInfo, done: &Completion) {
        self.tally.failure(&self.settings.rule, request.resource, done.now());
        self.last_cause = Some(done.verdict.outcome);
    }

    fn probe_succeeded(&mut self, done: &Completion) -> Option<Change> {
        let Phase::HalfOpen { succeeded } = &mut self.phase else { return None };
        *succeeded += 1;
        self.answered_in = done.took();
        if *succeeded < self.settings.successes {
            self.tally.other();
            return self.slot_freed();
        }
        let phase = if self.settings.ramp == 0 {
            self.tally.clear();
            Phase::Closed
        } else {
            self.tally = Tally::wary(&self.settings.rule, done.now());
            Phase::Ramp { succeeded: 0 }
        };
        Some(Change::Moved(self.enter(phase, done.now())))
    }

    /// A response came in the ramp: one more attempt may be in flight, and in the end any number.
    fn climb(&mut self, done: &Completion) -> Option<Change> {
        let Phase::Ramp { succeeded } = &mut self.phase else { return None };
        *succeeded += 1;
        self.answered_in = done.took();
        self.leases.grow();
        if *succeeded >= self.settings.ramp {
            self.phase = Phase::Closed;
            self.leases.clear(0);
        }
        self.slot_freed()
    }

    /// Opens for its own time, or for longer if the server asked for it.
    fn open(&mut self, done: &Completion) -> Transition {
        let Settings { open, stable, .. } = self.settings;
        let now = done.now();
        if self.state(now) == State::Closed && now.since(self.since) >= stable {
            self.opened = 0;
        }
        let wait = open.draw(self.opened, done.verdict.retry_after, &mut self.rng);
        self.opened = self.opened.saturating_add(1);
        self.counters.trips += 1;
        self.enter(Phase::Open { until: now + wait }, now)
    }

    /// Says so only if a call waits for it, and only once.
    fn slot_freed(&mut self) -> Option<Change> {
        std::mem::take(&mut self.turned_away).then_some(Change::SlotFreed)
    }

    fn enter(&mut self, phase: Phase, now: Tick) -> Transition {
        self.enter_from(self.state(now), phase, now, now)
    }

    /// The one way into a phase, in which it is `since` then: all permits from before are void. The
    /// end of the ramp alone does not come here: what is in flight still counts.
    fn enter_from(&mut self, from: State, phase: Phase, since: Tick, now: Tick) -> Transition {
        self.phase = phase;
        self.since = since;
        self.generation += 1;
        self.turned_away = false;
        self.leases.clear(match phase {
            Phase::HalfOpen { .. } => self.settings.probes,
            Phase::Ramp { .. } => self.settings.successes.saturating_add(1),
            _ => 0,
        });
        let before = std::mem::replace(&mut self.rejected_before, self.counters.rejected);
        self.history.push(Transition {
            number: 0,
            at: since,
            ago: Duration::ZERO,
            from,
            to: self.state(now),
            forced: self.is_forced(),
            failed: self.tally.failed,
            of: self.tally.of,
            cause: self.last_cause,
            retry_in: self.retry_in(now),
            rejected: self.counters.rejected - before,
        })
    }
}
