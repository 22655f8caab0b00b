//! One operation's slots and its line: pure data behind the room's lock.

use std::task::Waker;

use sandtower_core::{Operation, Place, Tick, WaitList};

use crate::snapshot::LaneSnapshot;

/// Slots are not handed from one call to the next: a free slot belongs to the front of the line, and
/// who is not in front takes none. Newcomers see a line and join it, so nobody barges.
#[derive(Debug)]
pub(crate) struct Lane {
    limit: u32,
    in_flight: u32,
    /// Everyone's waker; `None` once woken, so that nobody is woken twice for one reason.
    line: WaitList<Option<Waker>>,
    counters: LaneSnapshot,
}

/// Why a call left the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Admitted,
    Late,
    ByGate,
    Dropped,
}

impl Lane {
    pub(crate) fn new(operation: Operation, limit: u32) -> Self {
        let counters = LaneSnapshot { operation: operation.name(), ..LaneSnapshot::default() };
        Self { limit, in_flight: 0, line: WaitList::new(), counters }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.line.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn has_slot(&self) -> bool {
        self.in_flight < self.limit
    }

    /// Whether a newcomer may try its luck: nobody stands in line, and a slot is free.
    pub(crate) fn is_open(&self) -> bool {
        self.line.is_empty() && self.has_slot()
    }

    pub(crate) fn is_front(&self, place: Place) -> bool {
        self.line.front() == Some(place)
    }

    pub(crate) fn join(&mut self, arrived: Tick, waker: &Waker) -> Place {
        self.line.join(arrived, Some(waker.clone()))
    }

    pub(crate) fn wait_with(&mut self, place: Place, waker: &Waker) {
        match self.line.get_mut(place) {
            Some(Some(old)) => old.clone_from(waker),
            Some(none) => *none = Some(waker.clone()),
            None => {}
        }
    }

    /// Takes a slot for a newcomer that found the lane open.
    pub(crate) fn admit(&mut self) {
        self.in_flight += 1;
        self.counters.admitted += 1;
    }

    /// Leaves the line; answers who is to be woken in its stead.
    pub(crate) fn leave(&mut self, place: Place, why: Leaving) -> Option<Waker> {
        let was_front = self.is_front(place);
        self.line.leave(place)?;
        match why {
            Leaving::Admitted => {
                self.admit();
                self.counters.admitted_after_wait += 1;
            }
            Leaving::Late => self.counters.refused_late += 1,
            Leaving::ByGate => self.counters.refused_by_gate += 1,
            Leaving::Dropped => self.counters.left += 1,
        }
        // Whatever the old front was woken for is now the new front's business.
        if was_front && (self.has_slot() || why == Leaving::ByGate) {
            self.wake_front()
        } else {
            None
        }
    }

    pub(crate) fn release(&mut self) -> Option<Waker> {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.has_slot() { self.wake_front() } else { None }
    }

    pub(crate) fn set_limit(&mut self, limit: u32) -> Option<Waker> {
        self.limit = limit;
        if self.has_slot() { self.wake_front() } else { None }
    }

    /// The front's waker, if the front was not woken already.
    pub(crate) fn wake_front(&mut self) -> Option<Waker> {
        let front = self.line.front()?;
        self.line.get_mut(front)?.take()
    }

    pub(crate) fn refused_full(&mut self) {
        self.counters.refused_full += 1;
    }

    pub(crate) fn refused_by_gate(&mut self) {
        self.counters.refused_by_gate += 1;
    }

    pub(crate) fn refused_late(&mut self) {
        self.counters.refused_late += 1;
    }

    pub(crate) fn snapshot(&self) -> LaneSnapshot {
        LaneSnapshot {
            limit: self.limit,
            in_flight: self.in_flight,
            waiting: self.waiting(),
            ..self.counters
        }
    }
}
