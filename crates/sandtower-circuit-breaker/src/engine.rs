//! The state machine: no lock, no clock, no randomness.
//!
//! ```text
//!             the trip rule is due                 its time is over
//!   Closed ------------------------> Open ------------------------------> HalfOpen
//!      ^                              ^                                    |    |
//!      |                              +--- a probe failed, was throttled --+    |
//!      +---------------------------- enough probes came back -------------------+
//! ```
//!
//! The time of an open breaker ends by itself: whoever looks afterwards finds it half-open, and the
//! first to take a probe moves it. Every move starts a new generation; what was handed out in an
//! older one can change nothing.

#[cfg(test)]
mod model;
#[cfg(test)]
mod table;

use std::time::Duration;

use sandtower_core::{Outcome, Reason, Settlement, Tick, Verdict};

use crate::{
    Counters, Snapshot, State, Trip,
    evidence::Evidence,
    leases::{Leases, ProbeId},
    trip::Tally,
};

/// What the engine was told by its configuration. Already checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) trip: Trip,
    pub(crate) open_for: Duration,
    pub(crate) longest_open: Duration,
    pub(crate) probes: u32,
    pub(crate) successes: u32,
    pub(crate) lease: Duration,
    pub(crate) expected: Duration,
}

/// What a breaker hands out for one attempt. Comes back once, or its lease runs out.
#[derive(Debug)]
#[must_use = "a token has to be given back or settled"]
pub struct Token {
    generation: u64,
    probe: Option<ProbeId>,
}

/// No attempt may go before `at`; [`Tick::MAX`] if nobody knows when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct No {
    pub(crate) at: Tick,
    pub(crate) reason: Reason,
}

/// A move from one state to another, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) from: State,
    pub(crate) to: State,
    pub(crate) forced: bool,
    pub(crate) tally: Tally,
    /// How long it will refuse; `None` if it does not, or until it is told otherwise.
    pub(crate) retry_in: Option<Duration>,
}

/// Why an earlier "no", or an earlier "yes", may not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "those who wait have to be told"]
pub(crate) enum Change {
    Moved(Transition),
    /// A probe came back and left the breaker half-open: the next may go.
    PlaceFreed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Tick },
    HalfOpen { succeeded: u32 },
    ForcedOpen,
    ForcedClosed,
}

#[derive(Debug)]
pub(crate) struct Engine {
    settings: Settings,
    phase: Phase,
    since: Tick,
    generation: u64,
    tally: Tally,
    leases: Leases,
    counters: Counters,
    last_cause: Option<Outcome>,
}

impl Engine {
    /// A closed breaker.
    pub(crate) fn new(settings: Settings, now: Tick) -> Self {
        Self {
            settings,
            phase: Phase::Closed,
            since: now,
            generation: 0,
            tally: Tally::default(),
            leases: Leases::new(settings.probes, settings.lease),
            counters: Counters::default(),
            last_cause: None,
        }
    }

    /// Asks for a token. The move is the one to half-open, made by the first probe.
    pub(crate) fn take(&mut self, now: Tick) -> Result<(Token, Option<Transition>), No> {
        if let Some(no) = self.refuse(now) {
            return Err(no);
        }
        let moved = match self.phase {
            Phase::Open { until } => {
                let moved = self.enter(Phase::HalfOpen { succeeded: 0 }, until);
                Some(Transition { from: State::Open, ..moved })
            }
            _ => None,
        };
        let probe = match self.phase {
            Phase::HalfOpen { .. } => Some(self.leases.grant(now)),
            _ => None,
        };
        Ok((Token { generation: self.generation, probe }, moved))
    }

    /// Takes back a token whose attempt was never sent.
    pub(crate) fn give_back(&mut self, token: Token) {
        if token.generation == self.generation
            && let Some(probe) = token.probe
        {
            self.leases.end(probe);
        }
    }

    /// Takes back a token whose attempt was sent.
    pub(crate) fn settle(&mut self, token: Token, settlement: &Settlement) -> Option<Change> {
        if !self.is_valid(&token, settlement.now) {
            self.counters.late += 1;
            return None;
        }
        match token.probe {
            None => self.learn(settlement),
            Some(_) => Some(self.learn_from_probe(settlement)),
        }
    }

    /// The service below failed to become ready at `now`. While probes are awaited, that is as good
    /// as one that failed.
    pub(crate) fn unready(&mut self, verdict: Verdict, now: Tick) -> Option<Change> {
        let settlement = Settlement::new(verdict, now, now);
        match self.state(now) {
            State::Closed => self.learn(&settlement),
            State::HalfOpen if verdict.is_failure() => Some(self.learn_from_probe(&settlement)),
            State::HalfOpen | State::Open => None,
        }
    }

    /// Whether any attempt would be refused at `now`. Changes nothing.
    pub(crate) fn look(&self, now: Tick) -> Option<No> {
        let at = self.refuses_until();
        let reason = match self.phase {
            Phase::Open { .. } => Reason::Open { failed: self.tally.failed, of: self.tally.of },
            Phase::HalfOpen { .. } => Reason::Probing,
            Phase::ForcedOpen => Reason::ForcedOpen,
            Phase::Closed | Phase::ForcedClosed => return None,
        };
        (now < at).then_some(No { at, reason })
    }

    /// Like [`look`](Self::look), for an attempt that is then refused.
    pub(crate) fn refuse(&mut self, now: Tick) -> Option<No> {
        let no = self.look(now)?;
        self.counters.refused += 1;
        Some(no)
    }

    /// Until when everything is refused, as long as nothing else happens. [`Tick::ZERO`]: nothing
    /// is refused; [`Tick::MAX`]: until an operator says otherwise.
    pub(crate) fn refuses_until(&self) -> Tick {
        match self.phase {
            Phase::Closed | Phase::ForcedClosed => Tick::ZERO,
            Phase::Open { until } => until,
            Phase::HalfOpen { .. } => self.leases.free_at(),
            Phase::ForcedOpen => Tick::MAX,
        }
    }

    /// The state at `now`.
    pub(crate) fn state(&self, now: Tick) -> State {
        match self.phase {
            Phase::Closed | Phase::ForcedClosed => State::Closed,
            Phase::Open { until } if now < until => State::Open,
            Phase::Open { .. } | Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::ForcedOpen => State::Open,
        }
    }

    pub(crate) fn snapshot(&self, name: &str, now: Tick) -> Snapshot {
        let since = match self.phase {
            Phase::Open { until } if now >= until => until,
            _ => self.since,
        };
        Snapshot {
            name: name.to_owned(),
            state: self.state(now),
            forced: self.is_forced(),
            since: now.since(since),
            recent_failures: self.tally.failed,
            recent_calls: self.tally.of,
            last_cause: self.last_cause,
            retry_in: self.look(now).and_then(|no| no.retry_in(now)),
            counters: Counters {
                probes: self.leases.granted(),
                expired_probes: self.leases.expired(),
                ..self.counters
            },
        }
    }

    /// Closed, as if nothing had happened; no longer forced.
    pub(crate) fn reset(&mut self, now: Tick) -> Change {
        self.tally.clear();
        self.last_cause = None;
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
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => return None,
        };
        self.tally.clear();
        Some(Change::Moved(self.enter(phase, now)))
    }

    /// Whether the outcome of `token` may change anything. Frees the place of a probe.
    fn is_valid(&mut self, token: &Token, now: Tick) -> bool {
        if token.generation != self.generation {
            return false;
        }
        match token.probe {
            None => true,
            Some(probe) => self.leases.end(probe).is_some_and(|expires| now < expires),
        }
    }

    /// Learns from an attempt of a closed breaker.
    fn learn(&mut self, settlement: &Settlement) -> Option<Change> {
        match self.evidence(settlement) {
            Evidence::Nothing => {}
            Evidence::Alive => self.tally.clear(),
            Evidence::Throttled => self.tally.other(),
            Evidence::Failed => {
                self.failed(settlement);
                // What was forced closed keeps count, but does not act on it.
                if self.phase == Phase::Closed && self.settings.trip.is_due(self.tally) {
                    return Some(Change::Moved(self.open(settlement)));
                }
            }
        }
        None
    }

    /// Learns from a probe of a half-open breaker.
    fn learn_from_probe(&mut self, settlement: &Settlement) -> Change {
        match self.evidence(settlement) {
            Evidence::Nothing => Change::PlaceFreed,
            Evidence::Alive => self.probe_succeeded(settlement.now),
            Evidence::Throttled | Evidence::Failed => {
                self.failed(settlement);
                Change::Moved(self.open(settlement))
            }
        }
    }

    fn evidence(&mut self, settlement: &Settlement) -> Evidence {
        self.counters.count(settlement.verdict.outcome);
        Evidence::of(settlement, self.settings.expected)
    }

    fn failed(&mut self, settlement: &Settlement) {
        self.tally.failure();
        self.last_cause = Some(settlement.verdict.outcome);
    }

    fn probe_succeeded(&mut self, now: Tick) -> Change {
        let Phase::HalfOpen { succeeded } = &mut self.phase else { return Change::PlaceFreed };
        *succeeded += 1;
        if *succeeded < self.settings.successes {
            self.tally.other();
            return Change::PlaceFreed;
        }
        self.tally.clear();
        Change::Moved(self.enter(Phase::Closed, now))
    }

    /// Opens for the configured time, or for longer if the server asked for it.
    fn open(&mut self, settlement: &Settlement) -> Transition {
        let asked = settlement.verdict.retry_after.unwrap_or_default();
        let wait = self.settings.open_for.max(asked.min(self.settings.longest_open));
        self.counters.trips += 1;
        self.enter(Phase::Open { until: settlement.now + wait }, settlement.now)
    }

    /// The one way into a phase: all that was handed out before is void.
    fn enter(&mut self, phase: Phase, now: Tick) -> Transition {
        let from = self.state(now);
        self.phase = phase;
        self.since = now;
        self.generation += 1;
        self.leases.clear();
        Transition {
            from,
            to: self.state(now),
            forced: self.is_forced(),
            tally: self.tally,
            retry_in: self.look(now).and_then(|no| no.retry_in(now)),
        }
    }

    fn is_forced(&self) -> bool {
        matches!(self.phase, Phase::ForcedOpen | Phase::ForcedClosed)
    }
}

impl No {
    /// How long to wait from `now`; `None` if nobody knows.
    pub(crate) fn retry_in(&self, now: Tick) -> Option<Duration> {
        (self.at != Tick::MAX).then(|| self.at.since(now))
    }
}
