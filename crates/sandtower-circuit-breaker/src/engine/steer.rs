//! What an operator does to a breaker.

use sandtower_core::Tick;

use super::{Change, Engine, Phase};

impl Engine {
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

    /// Ends what an operator forced: from open by way of probes, so that callers do not stampede.
    pub(crate) fn release(&mut self, now: Tick) -> Option<Change> {
        let phase = match self.phase {
            Phase::ForcedOpen => Phase::HalfOpen { succeeded: 0 },
            Phase::ForcedClosed => Phase::Closed,
            _ => return None,
        };
        self.tally.clear();
        Some(Change::Moved(self.enter(phase, now)))
    }
}
