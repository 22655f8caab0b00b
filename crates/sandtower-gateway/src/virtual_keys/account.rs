//! What the callers of one key have used up: pure data, over a time that is an argument.
//!
//! Time is that of the wall, in milliseconds since 1970, since days are and since it outlives the process.
//! It may jump. Back: what was counted stays counted, as if it were now. Forward: sandboxes whose time
//! would be over end, until a listing of the service shows them again.

use std::collections::{BTreeMap, VecDeque};

use sandtower::e2b::SandboxId;

use super::limits::{Limit, Limits, MOST_PER_MINUTE, Usage, Used};

/// Milliseconds since 1970.
pub(super) type Millis = u64;

const MINUTE: Millis = 60_000;
const DAY: Millis = 86_400_000;

/// A place among the concurrent sandboxes of a key.
pub(super) type SlotId = u64;

/// What a place is taken by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A call that may start a sandbox.
    Reserved {
        since: Millis,
        /// It is counted as a creation.
        creates: bool,
        call: Call,
    },
    Running {
        sandbox: SandboxId,
        since: Millis,
        /// When its time is over; `None`: a listing tells.
        ends: Option<Millis>,
    },
}

/// What is known of a call that may start a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    InFlight,
    /// It has ended, and the tracker of its stack looks for what it has left behind.
    Tracked,
    /// It has ended, or the process has in which it was sent: only a listing tells.
    Lost,
}

/// What one key has used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// The day that the counts are of, since 1970.
    pub(super) day: u64,
    pub(super) creations: u64,
    /// For how long sandboxes ran on this day, up to `charged`.
    pub(super) ran: Millis,
    pub(super) charged: Millis,
    /// The times of the last creations, in order: those of a minute, and no more than may be limited.
    pub(super) recent: VecDeque<Millis>,
    pub(super) slots: BTreeMap<SlotId, Slot>,
}

/// A limit that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    pub(crate) limit: Limit,
    pub(crate) most: u64,
    /// In how many milliseconds it is free again, if time does that.
    pub(crate) free_in: Option<Millis>,
}

impl Account {
    /// Charges what ran until `now`, and frees what is over. Returns the sandboxes that have ended.
    pub(super) fn advance(&mut self, now: Millis) -> Vec<(SlotId, SandboxId)> {
        let today = now / DAY;
        if today > self.day {
            (self.day, self.creations, self.ran) = (today, 0, 0);
        }
        // After a jump back the counts stay, until the next day begins.
        self.day = today;
        let from = self.charged.max(today * DAY);
        for slot in self.slots.values() {
            if let Slot::Running { ends, .. } = slot {
                self.ran += ends.map_or(now, |ends| ends.min(now)).saturating_sub(from);
            }
        }
        self.charged = now;
        for at in &mut self.recent {
            *at = (*at).min(now);
        }
        while self.recent.front().is_some_and(|at| at + MINUTE <= now) {
            self.recent.pop_front();
        }
        let over = |slot: &Slot| match slot {
            Slot::Running { sandbox, ends: Some(ends), .. } if *ends <= now => {
                Some(sandbox.clone())
            }
            _ => None,
        };
        let ended: Vec<_> =
            self.slots.iter().filter_map(|(id, slot)| Some((*id, over(slot)?))).collect();
        for (id, _) in &ended {
            self.slots.remove(id);
        }
        ended
    }

    /// Takes a place for a call that creates a sandbox, and counts the creation.
    pub(super) fn create(
        &mut self,
        id: SlotId,
        limits: &Limits,
        now: Millis,
    ) -> Result<(), Exceeded> {
        self.check_minute(limits, now)?;
        if let Some(most) = limits.creations_per_day
            && self.creations >= most
        {
            let free_in = Some(until_midnight(now)).filter(|_| most > 0);
            return Err(Exceeded { limit: Limit::CreationsPerDay, most, free_in });
        }
        self.start(id, limits, now)?;
        self.slots.insert(id, Slot::Reserved { since: now, creates: true, call: Call::InFlight });
        self.creations += 1;
        if self.recent.len() as u64 == MOST_PER_MINUTE {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        Ok(())
    }

    /// Takes a place for a call that starts a sandbox that was there before.
    pub(super) fn start(
        &mut self,
        id: SlotId,
        limits: &Limits,
        now: Millis,
    ) -> Result<(), Exceeded> {
        self.check_seconds(limits, now)?;
        if let Some(most) = limits.concurrent_sandboxes
            && self.slots.len() as u64 >= most
        {
            return Err(Exceeded { limit: Limit::ConcurrentSandboxes, most, free_in: None });
        }
        self.slots.insert(id, Slot::Reserved { since: now, creates: false, call: Call::InFlight });
        Ok(())
    }

    /// Whether sandboxes may run for longer.
    pub(super) fn check_seconds(&self, limits: &Limits, now: Millis) -> Result<(), Exceeded> {
        match limits.sandbox_seconds_per_day {
            Some(most) if self.ran >= most * 1_000 => {
                let free_in = Some(until_midnight(now)).filter(|_| most > 0);
                Err(Exceeded { limit: Limit::SandboxSecondsPerDay, most, free_in })
            }
            _ => Ok(()),
        }
    }

    fn check_minute(&self, limits: &Limits, now: Millis) -> Result<(), Exceeded> {
        let Some(most) = limits.creations_per_minute else { return Ok(()) };
        let Some(before) = (self.recent.len() as u64).checked_sub(most) else { return Ok(()) };
        // When fewer than the limit are left of this minute.
        let first = usize::try_from(before).ok().and_then(|at| self.recent.get(at));
        let free_in = first.map(|at| (at + MINUTE).saturating_sub(now));
        Err(Exceeded { limit: Limit::CreationsPerMinute, most, free_in })
    }

    /// The call of a place has started nothing. If that is sure, a creation does not count.
    pub(super) fn undo(&mut self, id: SlotId, is_sure: bool) {
        let Some(Slot::Reserved { since, creates, .. }) = self.slots.remove(&id) else { return };
        if !(is_sure && creates) {
            return;
        }
        if since / DAY == self.day {
            self.creations = self.creations.saturating_sub(1);
        }
        if let Some(at) = self.recent.iter().position(|at| *at == since) {
            self.recent.remove(at);
        }
    }

    /// The sandbox of a place runs from `now` on. If it has a place already, that of the call is free.
    pub(super) fn runs(
        &mut self,
        id: SlotId,
        sandbox: &SandboxId,
        ends: Option<Millis>,
        now: Millis,
    ) -> SlotId {
        let known = self.slot_of(sandbox);
        if let Some(known) = known.filter(|known| *known != id) {
            self.slots.remove(&id);
            self.extend(known, ends);
            return known;
        }
        self.slots.insert(id, Slot::Running { sandbox: sandbox.clone(), since: now, ends });
        id
    }

    /// The sandbox runs at least until then.
    pub(super) fn extend(&mut self, id: SlotId, to: Option<Millis>) {
        if let Some(Slot::Running { ends, .. }) = self.slots.get_mut(&id) {
            *ends = ends.zip(to).map(|(ends, to)| ends.max(to));
        }
    }

    /// The sandbox runs until then.
    pub(super) fn set_end(&mut self, id: SlotId, to: Option<Millis>) {
        if let Some(Slot::Running { ends, .. }) = self.slots.get_mut(&id) {
            *ends = to;
        }
    }

    pub(super) fn slot_of(&self, sandbox: &SandboxId) -> Option<SlotId> {
        let is_it =
            |slot: &Slot| matches!(slot, Slot::Running { sandbox: it, .. } if it == sandbox);
        self.slots.iter().find(|(_, slot)| is_it(slot)).map(|(id, _)| *id)
    }

    /// What is used, as of the last [`advance`](Self::advance).
    pub(super) fn usage(&self, limits: &Limits) -> Usage {
        Usage {
            concurrent_sandboxes: Used::new(self.slots.len() as u64, limits.concurrent_sandboxes),
            creations_per_minute: Used::new(self.recent.len() as u64, limits.creations_per_minute),
            creations_per_day: Used::new(self.creations, limits.creations_per_day),
            sandbox_seconds_per_day: Used::new(self.ran / 1_000, limits.sandbox_seconds_per_day),
        }
    }
}

fn until_midnight(now: Millis) -> Millis {
    DAY - now % DAY
}
