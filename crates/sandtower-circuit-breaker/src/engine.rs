//! The state machine: no lock, no clock, and randomness only from its seed.
//!
//! ```text
//!             the trip rule is due                 its time is over
//!   Closed ------------------------> Open ------------------------------> HalfOpen
//!    ^  ^                             ^  ^                                 |    |
//!    |  |      the rule is due: half  |  +-- a probe failed, was throttled -+    |
//!    |  |      the evidence is enough |                                         |
//!    |  +----------------------- closed, ramping <------------------------------+
//!    |                                |          enough probes came back
//!    +--------------------------------+
//!      enough attempts came back: the ramp is over
//! ```
//!
//! The time of an open breaker ends by itself: whoever looks afterwards finds it half-open, and the
//! first to take a probe moves it. Every move starts a new generation, but for the end of the ramp;
//! what was handed out in an older generation can change nothing.
//!
//! While ramping, one attempt more may be out with each that came back: the load doubles in the time
//! of one answer, whatever the rate of calls and however long an answer takes.

#[cfg(test)]
mod model;
#[cfg(test)]
mod search;
#[cfg(test)]
mod table;

use std::time::Duration;

use sandtower_core::{Completion, Outcome, Reason, Rng, Tick, Verdict};

use crate::{
    Counters, Snapshot, State, Transition,
    evidence::Evidence,
    history::History,
    leases::{LeaseId, Leases},
    open_time::OpenTime,
    trip::{Rule, Tally},
};

/// What the engine was told by its configuration. Already checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) rule: Rule,
    pub(crate) open: OpenTime,
    /// Closed for so long, it begins again with the first open time.
    pub(crate) stable: Duration,
    pub(crate) probes: u32,
    pub(crate) successes: u32,
    /// How many attempts have to come back before everyone is let through; 0: no ramp.
    pub(crate) ramp: u32,
    pub(crate) lease: Duration,
    pub(crate) expected: Duration,
}

/// What a breaker hands out for one attempt. Comes back once, or its lease runs out.
#[derive(Debug)]
#[must_use = "a token has to be given back or settled"]
pub struct Token {
    generation: u64,
    lease: Option<LeaseId>,
}

impl Token {
    /// For an attempt of a breaker that lets everyone through.
    #[inline]
    pub(crate) fn free(generation: u64) -> Self {
        Self { generation, lease: None }
    }

    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a place has to be freed when it comes back.
    #[inline]
    pub(crate) fn is_leased(&self) -> bool {
        self.lease.is_some()
    }
}

/// No attempt may go before `at`; [`Tick::MAX`] if nobody knows when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) at: Tick,
    pub(crate) reason: Reason,
    /// It will probably be over in this time, but nobody promises it.
    pub(crate) soon: Option<Duration>,
}

/// Why an earlier "no", or an earlier "yes", may not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "those who wait have to be told"]
pub(crate) enum Change {
    Moved(Transition),
    /// An attempt came back that others had to wait for.
    PlaceFreed,
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
    /// Closed, but not for everyone at once.
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
    /// How long the last answer to a leased attempt took.
    answered_in: Duration,
    tally: Tally,
    leases: Leases,
    counters: Counters,
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
            counters: Counters::default(),
            last_cause: None,
            history: History::default(),
        }
    }

    /// Asks for a token. The move is the one to half-open, made by the first probe.
    pub(crate) fn take(&mut self, now: Tick) -> Result<(Token, Option<Transition>), No> {
        if let Some(no) = self.look(now) {
            self.counters.rejected += 1;
            return Err(no);
        }
        let moved = match self.phase {
            Phase::Open { until } => {
                Some(self.enter_from(State::Open, Phase::HalfOpen { succeeded: 0 }, until, now))
            }
            _ => None,
        };
        let lease = match self.phase {
            Phase::HalfOpen { .. } => {
                let (lease, expired) = self.leases.grant(now);
                self.counters.probes += 1;
                self.counters.expired_probes += expired;
                Some(lease)
            }
            Phase::Ramp { .. } => Some(self.leases.grant(now).0),
            _ => None,
        };
        Ok((Token { generation: self.generation, lease }, moved))
    }

    /// Takes back a token whose attempt was never sent.
    pub(crate) fn give_back(&mut self, token: Token) {
        if token.generation == self.generation
            && let Some(lease) = token.lease
        {
            self.leases.end(lease);
        }
    }

    /// Takes back a token whose attempt was sent.
    pub(crate) fn settle(&mut self, token: Token, settlement: &Completion) -> Option<Change> {
        if token.generation != self.generation {
            self.counters.late += 1;
            return None;
        }
        let Some(lease) = token.lease else { return self.learn(settlement) };
        self.answered_in = settlement.now.since(settlement.sent);
        let was_full = self.leases.free_at() != Tick::ZERO;
        let expires = self.leases.end(lease);
        if let Phase::HalfOpen { .. } = self.phase {
            // A probe that outlived its lease is void: another went in its place.
            return match expires {
                Some(expires) if settlement.now < expires => {
                    Some(self.learn_from_probe(settlement))
                }
                _ => {
                    self.counters.late += 1;
                    None
                }
            };
        }
        // The lease of a ramp is about a place, not about what is learnt.
        self.learn(settlement).or(was_full.then_some(Change::PlaceFreed))
    }

    /// The service below failed to become ready at `now`. While probes are awaited, that is as good
    /// as one that failed.
    pub(crate) fn unready(&mut self, verdict: Verdict, now: Tick) -> Option<Change> {
        let settlement = Completion::new(verdict, now, now);
        match self.state(now) {
            State::Closed => self.learn(&settlement),
            State::HalfOpen if verdict.is_failure() => Some(self.learn_from_probe(&settlement)),
            State::HalfOpen | State::Open => None,
        }
    }

    /// Whether any attempt would be rejected at `now`. Changes nothing.
    pub(crate) fn look(&self, now: Tick) -> Option<No> {
        let at = self.rejects_until();
        let reason = match self.phase {
            Phase::Open { .. } => Reason::Open { failed: self.tally.failed, of: self.tally.of },
            Phase::HalfOpen { .. } | Phase::Ramp { .. } => Reason::Probing,
            Phase::ForcedOpen => Reason::ForcedOpen,
            Phase::Closed | Phase::ForcedClosed => return None,
        };
        let soon = self.is_ramping().then_some(self.answered_in);
        (now < at).then_some(No { at, reason, soon })
    }

    /// Until when everything is rejected, as long as nothing else happens. [`Tick::ZERO`]: nothing
    /// is rejected; [`Tick::MAX`]: until an operator says otherwise.
    fn rejects_until(&self) -> Tick {
        match self.phase {
            Phase::Closed | Phase::ForcedClosed => Tick::ZERO,
            Phase::Open { until } => until,
            Phase::HalfOpen { .. } | Phase::Ramp { .. } => self.leases.free_at(),
            Phase::ForcedOpen => Tick::MAX,
        }
    }

    /// The "no" that every attempt gets until then, for those who would rather not try: while
    /// ramping there is none, since places are free again and again.
    pub(crate) fn standing_no(&self) -> Option<No> {
        if self.is_ramping() { None } else { self.look(Tick::ZERO) }
    }

    /// Whether it is closed, but not for everyone at once.
    pub(crate) fn is_ramping(&self) -> bool {
        matches!(self.phase, Phase::Ramp { .. })
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether every attempt may go, and taking its token changes nothing.
    pub(crate) fn lets_everyone_through(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::ForcedClosed)
    }

    /// Whether an answer would change nothing.
    pub(crate) fn is_quiet(&self) -> bool {
        self.lets_everyone_through() && self.tally.is_quiet()
    }

    /// The state at `now`.
    pub(crate) fn state(&self, now: Tick) -> State {
        match self.phase {
            Phase::Closed | Phase::Ramp { .. } | Phase::ForcedClosed => State::Closed,
            Phase::Open { until } if now < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::ForcedOpen => State::Open,
        }
    }

    pub(crate) fn is_forced(&self) -> bool {
        matches!(self.phase, Phase::ForcedOpen | Phase::ForcedClosed)
    }

    /// What it knows, but for what was counted elsewhere.
    pub(crate) fn snapshot(&self, name: &str, now: Tick) -> Snapshot {
        let since = match self.phase {
            Phase::Open { until } if now >= until => until,
            _ => self.since,
        };
        let at_once = match (self.phase, self.state(now)) {
            (Phase::Ramp { .. } | Phase::HalfOpen { .. }, _) => Some(self.leases.places()),
            (_, State::HalfOpen) => Some(self.settings.probes),
            (_, State::Open) => Some(0),
            (_, State::Closed) => None,
        };
        Snapshot {
            name: name.to_owned(),
            state: self.state(now),
            forced: self.is_forced(),
            since: now.since(since),
            at_once,
            recent_failures: self.tally.failed,
            recent_calls: self.tally.of,
            last_cause: self.last_cause,
            retry_in: self.look(now).and_then(|no| no.retry_in(now)),
            counters: self.counters,
        }
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Closed, as if nothing had happened; no longer forced.
    pub(crate) fn reset(&mut self, now: Tick) -> Change {
        self.tally.clear();
        self.last_cause = None;
        self.opened = 0;
        Change::Moved(self.enter(Phase::Closed, now))
    }

    pub(crate) fn force_open(&mut self, now: Tick) -> Change {
        Change::Moved(self.enter(Phase::ForcedOpen, now))
    }

    pub(crate) fn force_closed(&mut self, now: Tick) -> Change {
        self.tally.clear();
        Change::Moved(self.enter(Phase::ForcedClosed, now))
    }

    /// Ends what an operator forced: from open by way of probes, so that nobody stampedes.
    pub(crate) fn release(&mut self, now: Tick) -> Option<Change> {
        let phase = match self.phase {
            Phase::ForcedOpen => Phase::HalfOpen { succeeded: 0 },
            Phase::ForcedClosed => Phase::Closed,
            _ => return None,
        };
        self.tally.clear();
        Some(Change::Moved(self.enter(phase, now)))
    }

    /// Learns from an attempt of a closed breaker.
    fn learn(&mut self, settlement: &Completion) -> Option<Change> {
        let Settings { rule, .. } = self.settings;
        let now = settlement.now;
        match self.evidence(settlement) {
            Evidence::Nothing => None,
            Evidence::Throttled => {
                self.tally.other();
                None
            }
            Evidence::Alive => {
                self.tally.alive(&rule, now);
                self.climb()
            }
            Evidence::Failed => {
                self.failed(settlement);
                let opens = match self.phase {
                    Phase::Closed => self.tally.is_due(&rule, now),
                    // It was down a moment ago: no need to see whether it goes on.
                    Phase::Ramp { .. } => self.tally.is_full(&rule),
                    // What was forced closed keeps count, but does not act on it.
                    _ => false,
                };
                opens.then(|| Change::Moved(self.open(settlement)))
            }
        }
    }

    /// Learns from a probe of a half-open breaker.
    fn learn_from_probe(&mut self, settlement: &Completion) -> Change {
        match self.evidence(settlement) {
            Evidence::Nothing => Change::PlaceFreed,
            Evidence::Alive => self.probe_succeeded(settlement.now),
            Evidence::Throttled | Evidence::Failed => {
                self.failed(settlement);
                Change::Moved(self.open(settlement))
            }
        }
    }

    fn evidence(&mut self, settlement: &Completion) -> Evidence {
        self.counters.count(&settlement.verdict);
        Evidence::of(settlement, self.settings.expected)
    }

    fn failed(&mut self, settlement: &Completion) {
        self.tally.failure(&self.settings.rule, settlement.now);
        self.last_cause = Some(settlement.verdict.outcome);
    }

    fn probe_succeeded(&mut self, now: Tick) -> Change {
        let Phase::HalfOpen { succeeded } = &mut self.phase else { return Change::PlaceFreed };
        *succeeded += 1;
        if *succeeded < self.settings.successes {
            self.tally.other();
            return Change::PlaceFreed;
        }
        if self.settings.ramp == 0 {
            self.tally.clear();
            return Change::Moved(self.enter(Phase::Closed, now));
        }
        self.tally = Tally::wary(&self.settings.rule, now);
        Change::Moved(self.enter(Phase::Ramp { succeeded: 0 }, now))
    }

    /// An attempt came back: one more may be out from now on, and in the end everyone.
    fn climb(&mut self) -> Option<Change> {
        let Phase::Ramp { succeeded } = &mut self.phase else { return None };
        *succeeded += 1;
        self.leases.grow();
        if *succeeded >= self.settings.ramp {
            self.phase = Phase::Closed;
            self.leases.clear(0);
            return Some(Change::PlaceFreed);
        }
        None
    }

    /// Opens for its own time, or for longer if the server asked for it.
    fn open(&mut self, settlement: &Completion) -> Transition {
        let Settings { open, stable, .. } = self.settings;
        let was_closed = self.state(settlement.now) == State::Closed;
        if was_closed && settlement.now.since(self.since) >= stable {
            self.opened = 0;
        }
        let wait = open.draw(self.opened, settlement.verdict.retry_after, &mut self.rng);
        self.opened = self.opened.saturating_add(1);
        self.counters.trips += 1;
        self.enter(Phase::Open { until: settlement.now + wait }, settlement.now)
    }

    fn enter(&mut self, phase: Phase, now: Tick) -> Transition {
        self.enter_from(self.state(now), phase, now, now)
    }

    /// The one way into a phase, in which it is `since` then: all that was handed out before is
    /// void. The end of the ramp alone is none: who is out stays counted.
    fn enter_from(&mut self, from: State, phase: Phase, since: Tick, now: Tick) -> Transition {
        self.phase = phase;
        self.since = since;
        self.generation += 1;
        self.leases.clear(match phase {
            Phase::HalfOpen { .. } => self.settings.probes,
            Phase::Ramp { .. } => self.settings.successes.saturating_add(1),
            _ => 0,
        });
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
            retry_in: self.look(now).and_then(|no| no.retry_in(now)),
        })
    }
}

impl No {
    /// How long to wait from `now`; `None` if nobody knows.
    pub(crate) fn retry_in(&self, now: Tick) -> Option<Duration> {
        let wait = (self.at != Tick::MAX).then(|| self.at.since(now))?;
        Some(self.soon.map_or(wait, |soon| soon.min(wait)))
    }
}
