//! What a breaker says without changing.

use std::time::Duration;

use sandtower_core::{Now, Reason, Tick};

use super::{Denied, Engine, Phase};
use crate::{Snapshot, State, history::History};

impl Engine {
    /// What asking for a permit would be denied for. Remembers that a call was turned away, so that
    /// a free slot is reported to it.
    pub(crate) fn check(&mut self, now: &Now) -> Option<Denied> {
        let denied = self.look(now);
        self.turned_away |= matches!(denied, Some(Denied::Full { .. }));
        denied
    }

    /// The same, without remembering. Reads the clock only if the outcome depends on it.
    pub(super) fn look(&self, now: &Now) -> Option<Denied> {
        match self.phase {
            Phase::Closed | Phase::ForcedClosed => None,
            Phase::ForcedOpen => Some(Denied::Open { until: None, reason: Reason::ForcedOpen }),
            Phase::Open { until } => (now.tick() < until).then(|| {
                let (failed, of) = (self.tally.failed, self.tally.of);
                Denied::Open { until: Some(until), reason: Reason::Open { failed, of } }
            }),
            Phase::HalfOpen { .. } | Phase::Ramp { .. } => {
                let since = self.leases.full_since()?;
                let (now, expires) = (now.tick(), since + self.leases.term());
                // A response that is overdue may come at any moment; no lease is an estimate of it.
                let expected = (since + self.answered_in).max(now).min(expires);
                let recovering = matches!(self.phase, Phase::Ramp { .. });
                (now < expires).then_some(Denied::Full { expected, expires, recovering })
            }
        }
    }

    /// When a call that is turned away now should come back; `None`: it would be let through, or it is
    /// not known.
    pub(super) fn retry_in(&self, now: Tick) -> Option<Duration> {
        let now = Now::at(now);
        self.look(&now)?.retry_in(&now)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether every attempt may be sent, and neither that nor a response would change anything.
    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::ForcedClosed) && self.tally.is_quiet()
    }

    /// When it was last of use: until then it keeps callers away, or something was heard of its
    /// service. [`Tick::MAX`]: until an operator says otherwise.
    pub(crate) fn of_use_until(&self) -> Tick {
        match self.phase {
            Phase::Open { until } => until,
            Phase::ForcedOpen | Phase::ForcedClosed => Tick::MAX,
            Phase::Closed | Phase::HalfOpen { .. } | Phase::Ramp { .. } => self.tally.last,
        }
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

    /// What it knows, but for its mode, and for what was counted elsewhere.
    pub(crate) fn snapshot(&self, name: &str, now: Tick) -> Snapshot {
        let since = match self.phase {
            Phase::Open { until } if now >= until => until,
            _ => self.since,
        };
        let at_once = match (self.phase, self.state(now)) {
            (Phase::Ramp { .. } | Phase::HalfOpen { .. }, _) => Some(self.leases.slots()),
            (_, State::HalfOpen) => Some(self.settings.probes),
            (_, State::Open) => Some(0),
            (_, State::Closed) => None,
        };
        Snapshot {
            name: name.to_owned(),
            state: self.state(now),
            forced: self.is_forced(),
            shadow: false,
            since: now.since(since),
            at_once,
            recent_failures: self.tally.failed,
            recent_calls: self.tally.of,
            last_cause: self.last_cause,
            retry_in: self.retry_in(now),
            counters: self.counters,
        }
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }
}

impl Denied {
    pub(crate) fn reason(&self) -> Reason {
        match *self {
            Self::Open { reason, .. } => reason,
            Self::Full { recovering: true, .. } => Reason::Recovering,
            Self::Full { .. } => Reason::Probing,
        }
    }

    /// How long to wait from `now`; `None` if it is not known.
    pub(crate) fn retry_in(&self, now: &Now) -> Option<Duration> {
        let at = match *self {
            Self::Open { until, .. } => until?,
            Self::Full { expected, .. } => expected,
        };
        let now = now.tick();
        (now < at).then(|| at.since(now))
    }
}
