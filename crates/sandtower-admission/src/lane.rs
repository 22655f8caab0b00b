//! One operation's slots and its line: pure data behind the room's lock.

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Completion, Operation, Place, Reason, Rejection, Tick, Verdict, WaitList};

use crate::limiter::{Limit, Limiter};
use crate::pace::Pace;
use crate::snapshot::QueueSnapshot;

/// Slots are not handed from one call to the next: a free slot belongs to whoever is next in line,
/// and nobody else takes one. Newcomers see a line and join it, so nobody barges.
#[derive(Debug)]
pub(crate) struct Lane {
    limiter: Limiter,
    in_flight: u32,
    /// Everyone's waker; `None` once woken, so that nobody is woken twice for one reason.
    line: WaitList<Option<Waker>>,
    /// Since when somebody waits.
    since: Option<Tick>,
    /// After so long the line stands, and the newest goes first until it is empty.
    stands_after: Duration,
    newest_first: bool,
    pace: Pace,
    /// What a gate said to who is next, until somebody gets through.
    held_by: Option<Rejection>,
    counters: QueueSnapshot,
}

/// Why a call left the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Admitted,
    Late,
    ByGate,
    Draining,
    Dropped,
}

/// Whether a slot was freed without the time, and who is to be woken.
#[derive(Debug)]
pub(crate) enum Released {
    Yes(Option<Waker>),
    NeedsTime,
}

impl Lane {
    pub(crate) fn new(operation: Operation, limit: Limit, stands_after: Duration) -> Self {
        let counters = QueueSnapshot { operation: operation.name(), ..QueueSnapshot::default() };
        Self {
            limiter: Limiter::new(limit),
            in_flight: 0,
            line: WaitList::new(),
            since: None,
            stands_after,
            newest_first: false,
            pace: Pace::default(),
            held_by: None,
            counters,
        }
    }

    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        self.limiter.limit()
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.line.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(crate) fn has_slot(&self) -> bool {
        self.in_flight < self.limit()
    }

    /// Whether a newcomer may try its luck: nobody stands in line, and a slot is free.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.line.is_empty() && self.has_slot()
    }

    pub(crate) fn is_next(&self, place: Place) -> bool {
        self.next() == Some(place)
    }

    #[inline]
    fn next(&self) -> Option<Place> {
        if self.newest_first { self.line.back() } else { self.line.front() }
    }

    /// A gate holds back who is next.
    pub(crate) fn hold(&mut self, why: Rejection) {
        self.held_by = Some(why);
    }

    pub(crate) fn held_by(&self) -> Option<&Rejection> {
        self.held_by.as_ref()
    }

    /// How many go before `place`, as the order is now.
    pub(crate) fn ahead(&self, place: Place) -> Option<usize> {
        let before = self.line.ahead(place)?;
        Some(if self.newest_first { self.line.len() - 1 - before } else { before })
    }

    /// How long the one waits who has so many ahead; `None`: nobody knows.
    pub(crate) fn wait(&self, ahead: usize) -> Option<Duration> {
        self.pace.wait(ahead)
    }

    /// How long a newcomer would wait, if its deadline came before its turn and its answer.
    pub(crate) fn no_time(&self, deadline: Option<Tick>, now: Tick) -> Option<Duration> {
        let deadline = deadline?;
        let wait = self.wait(if self.newest_first { 0 } else { self.line.len() })?;
        (now + wait + self.pace.took() > deadline).then_some(wait)
    }

    /// Whoever joins looks for itself whether it is next.
    pub(crate) fn join(&mut self, arrived: Tick, now: Tick, waker: &Waker) -> Place {
        let since = *self.since.get_or_insert(now);
        self.newest_first |= now.since(since) >= self.stands_after;
        self.line.join(arrived, Some(waker.clone()))
    }

    pub(crate) fn wait_with(&mut self, place: Place, waker: &Waker) {
        match self.line.get_mut(place) {
            Some(Some(old)) => old.clone_from(waker),
            Some(none) => *none = Some(waker.clone()),
            None => {}
        }
    }

    /// Whether the next to be let through is beyond the limit, to find out whether that is borne.
    #[inline]
    pub(crate) fn next_is_a_trial(&self) -> bool {
        self.limiter.is_trial(self.in_flight + 1)
    }

    /// Takes a slot for a newcomer that found the lane open. Says whether it wants to know how long
    /// the attempt takes.
    #[inline]
    pub(crate) fn admit(&mut self, now: Tick) -> bool {
        self.in_flight += 1;
        self.held_by = None;
        self.counters.admitted += 1;
        if !self.has_slot() {
            self.limiter.used_up(now);
        }
        self.pace.wants_sample(now)
    }

    /// Leaves the line; answers who is to be woken in its stead.
    pub(crate) fn leave(&mut self, place: Place, why: Leaving, now: Tick) -> Option<Waker> {
        let before = self.next();
        self.line.leave(place)?;
        match why {
            Leaving::Admitted => {
                let _always_timed = self.admit(now);
                self.counters.admitted_after_wait += 1;
                self.pace.admitted(now);
            }
            Leaving::Late => self.counters.rejected_late += 1,
            Leaving::ByGate => self.counters.rejected_by_gate += 1,
            Leaving::Draining => self.counters.rejected_draining += 1,
            Leaving::Dropped => self.counters.left += 1,
        }
        if self.line.is_empty() {
            (self.since, self.newest_first) = (None, false);
            self.pace.line_is_over();
            return None;
        }
        self.newest_first |= self.since.is_some_and(|since| now.since(since) >= self.stands_after);
        // What the old one was woken for is now the business of the new one; and if the order
        // changed just now, the new one does not know yet that it is next.
        let rejected = matches!(why, Leaving::ByGate | Leaving::Draining);
        let changed = before != self.next();
        if changed && (self.has_slot() || rejected) { self.wake_next() } else { None }
    }

    /// A slot is free again. Not for an attempt that was never sent: nothing is learned from it.
    #[inline]
    pub(crate) fn release(
        &mut self,
        trial: bool,
        settlement: Option<&Completion>,
    ) -> Option<Waker> {
        match settlement {
            Some(settlement) => {
                self.limiter.learn(settlement, trial, self.in_flight);
                if settlement.verdict.is_success() {
                    self.pace.succeeded(settlement.now.since(settlement.sent));
                }
            }
            None if trial => self.limiter.trial_was_not_sent(),
            None => {}
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.has_slot() { self.wake_next() } else { None }
    }

    /// The same without the time, if nothing would be learned with it.
    #[inline]
    pub(crate) fn release_untimed(&mut self, timed: bool, verdict: &Verdict) -> Released {
        if self.limiter.learns() || timed && verdict.is_success() {
            return Released::NeedsTime;
        }
        Released::Yes(self.release(false, None))
    }

    pub(crate) fn set_limit(&mut self, limit: Limit) -> Option<Waker> {
        self.limiter = Limiter::new(limit);
        if self.has_slot() { self.wake_next() } else { None }
    }

    /// The waker of who is next, if it was not woken already.
    #[inline]
    pub(crate) fn wake_next(&mut self) -> Option<Waker> {
        let next = self.next()?;
        self.line.get_mut(next)?.take()
    }

    /// Counts a call that was rejected without having stood in line.
    pub(crate) fn rejected(&mut self, reason: &Reason) {
        let counters = &mut self.counters;
        *match reason {
            Reason::QueueFull { .. } => &mut counters.rejected_full,
            Reason::TooLate { .. } | Reason::NoTime { .. } => &mut counters.rejected_late,
            Reason::Draining => &mut counters.rejected_draining,
            _ => &mut counters.rejected_by_gate,
        } += 1;
    }

    pub(crate) fn snapshot(&self) -> QueueSnapshot {
        let baseline = self.limiter.baseline();
        QueueSnapshot {
            limit: self.limit(),
            baseline_ms: baseline.and_then(|time| u64::try_from(time.as_millis()).ok()),
            in_flight: self.in_flight,
            waiting: self.waiting(),
            newest_first: self.newest_first,
            ..self.counters
        }
    }
}
