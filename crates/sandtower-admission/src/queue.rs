//! One operation's slots and its queue: pure data behind the lock of admission control.

mod waiters;

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{Completion, Deferred, Operation, Reason, Rejection, RequestInfo, Tick};

pub(crate) use self::waiters::{Order, Place};

use self::waiters::Waiters;
use crate::limiter::{Limit, Limiter};
use crate::pace::Pace;
use crate::slot::Taken;
use crate::snapshot::QueueSnapshot;

/// Slots are not handed from one call to the next: a free slot belongs to the call that is next in the
/// queue. Newcomers see a queue and join it, so none of them barges.
///
/// After each change, [`advance`](Self::advance) restores the one invariant: **while a slot is free and
/// calls wait, the next of them has been woken and has not looked since, or it looked and a gate holds
/// it.**
#[derive(Debug)]
pub(crate) struct OperationQueue {
    limiter: Limiter,
    in_flight: u32,
    waiters: Waiters,
    pace: Pace,
    /// A call was rejected for want of a slot since one was last free.
    turned_away: bool,
    counters: QueueSnapshot,
}

/// Why a call left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Admitted,
    Late,
    ByGate,
    ShuttingDown,
    Dropped,
}

impl OperationQueue {
    pub(crate) fn new(operation: Operation, limit: Limit, order: Order) -> Self {
        let counters = QueueSnapshot { operation: operation.name(), ..QueueSnapshot::default() };
        Self {
            limiter: Limiter::new(limit),
            in_flight: 0,
            waiters: Waiters::new(order),
            pace: Pace::default(),
            turned_away: false,
            counters,
        }
    }

    #[inline]
    pub(crate) fn limit(&self) -> u32 {
        self.limiter.limit()
    }

    /// Its name.
    pub(crate) fn operation(&self) -> &'static str {
        self.counters.operation
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        u32::try_from(self.waiters.len()).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(crate) fn has_slot(&self) -> bool {
        self.in_flight < self.limit()
    }

    /// Whether a newcomer may be admitted at once: no call waits, and a slot is free.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.waiters.is_empty() && self.has_slot()
    }

    /// Whether it is the turn of the call at `place`. Skips those that were woken and did not come.
    pub(crate) fn is_turn_of(&mut self, place: Place, now: Tick) -> bool {
        self.has_slot() && self.waiters.next(now) == Some(place)
    }

    /// What the calls that go before `place`, or that the whole queue, wait for.
    pub(crate) fn held_by(&self) -> Option<&Rejection> {
        self.waiters.held_by()
    }

    /// How many go before `place`, as the order is now.
    pub(crate) fn ahead(&self, place: Place) -> Option<usize> {
        self.waiters.ahead(place)
    }

    /// The expected wait of a call that has so many ahead; `None`: not known.
    pub(crate) fn wait(&self, ahead: usize) -> Option<Duration> {
        self.pace.wait(ahead)
    }

    /// The expected wait of a call that arrived at `arrived`, if its deadline comes before its turn
    /// and its response.
    pub(crate) fn too_long(&self, arrived: Tick, deadline: Tick, now: Tick) -> Option<Duration> {
        let wait = self.wait(self.waiters.would_be_ahead(arrived))?;
        (now + wait + self.pace.took() > deadline).then_some(wait)
    }

    /// A call joins. It looks at once whether it is next.
    pub(crate) fn join(&mut self, info: &RequestInfo, arrived: Tick, now: Tick) -> Place {
        self.waiters.join(info, arrived, now)
    }

    /// The call at `place` looks: whatever it was woken for, it is here now.
    pub(crate) fn looks(&mut self, place: Place, now: Tick) {
        self.waiters.looks(place, now);
    }

    /// The latest instant at which the call at `place` is still wanted by the queue, apart from its
    /// own deadline.
    pub(crate) fn leaves_at(&self, place: Place) -> Tick {
        self.waiters.leaves_at(place)
    }

    /// The call at `place` waits on. Answers when it has to look again, if it is not woken before.
    pub(crate) fn wait_on(
        &mut self,
        place: Place,
        waker: &Waker,
        now: Tick,
        later: &mut Deferred,
    ) -> Tick {
        self.waiters.sleep(place, waker, now, later)
    }

    /// A gate says no to the call at `place`, and to all like it, until `until`. The call itself
    /// looks again then; calls that the gate tells apart from it are not held.
    pub(crate) fn hold(&mut self, place: Place, until: Tick, why: Rejection) {
        self.waiters.hold(place, until, why);
    }

    /// What a gate said before may not hold any more: the next call asks it again.
    pub(crate) fn gate_changed(&mut self, now: Tick, later: &mut Deferred) {
        if self.waiters.release_holds() {
            self.advance(now, later);
        }
    }

    /// Wakes all calls of which `is_rejected` says so: they look, and leave.
    pub(crate) fn wake_those(
        &mut self,
        is_rejected: impl FnMut(&RequestInfo) -> bool,
        later: &mut Deferred,
    ) {
        self.waiters.wake_those(is_rejected, later);
    }

    /// Takes a slot, for a newcomer or for a call from the queue.
    #[inline]
    pub(crate) fn admit(&mut self, now: Tick) -> Taken {
        let trial = self.limiter.is_trial(self.in_flight + 1);
        self.in_flight += 1;
        self.counters.admitted += 1;
        if !self.has_slot() {
            self.limiter.used_up(now);
        }
        match (trial, self.limiter.learns() || self.pace.wants_sample(now)) {
            (true, _) => Taken::Trial,
            (false, true) => Taken::Timed,
            (false, false) => Taken::Untimed,
        }
    }

    /// Leaves the queue. The waker that comes back is to be dropped after unlocking.
    pub(crate) fn leave(&mut self, place: Place, why: Leaving, now: Tick) -> Option<Waker> {
        let waker = self.waiters.leave(place)?;
        match why {
            Leaving::Admitted => {
                self.counters.admitted_after_wait += 1;
                self.pace.admitted(now);
            }
            Leaving::Late => self.counters.rejected_late += 1,
            Leaving::ByGate => self.counters.rejected_by_gate += 1,
            Leaving::ShuttingDown => self.counters.rejected_draining += 1,
            Leaving::Dropped => self.counters.left += 1,
        }
        if self.waiters.is_empty() {
            self.pace.queue_is_empty();
        }
        waker
    }

    /// A slot is free again.
    #[inline]
    pub(crate) fn release(&mut self, taken: Taken, done: &Completion) {
        match (done.was_sent(), taken) {
            (true, Taken::Timed | Taken::Trial) => {
                self.limiter.learn(done, taken == Taken::Trial, self.in_flight);
                if done.verdict.is_success() {
                    self.pace.succeeded(done.took());
                }
            }
            (false, Taken::Trial) => self.limiter.trial_was_not_sent(),
            _ => {}
        }
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Restores the invariant: see [`OperationQueue`]. Idempotent.
    pub(crate) fn advance(&mut self, now: Tick, later: &mut Deferred) {
        if self.has_slot() {
            self.waiters.wake_next(now, later);
        }
        self.waiters.appoint_sentinel(now, later);
    }

    /// Whether a caller without a place in the queue should be told of a free slot; forgets it.
    #[inline]
    pub(crate) fn frees_for_others(&mut self) -> bool {
        self.waiters.is_empty() && self.has_slot() && std::mem::take(&mut self.turned_away)
    }

    /// The limit changes; what was learned is forgotten.
    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.limiter = Limiter::new(limit);
    }

    /// Counts a call that was rejected without having been in the queue.
    pub(crate) fn rejected(&mut self, reason: &Reason) {
        let counters = &mut self.counters;
        *match reason {
            Reason::QueueFull { .. } => &mut counters.rejected_full,
            Reason::Full { .. } => {
                self.turned_away = true;
                &mut counters.rejected_full
            }
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
            newest_first: self.waiters.is_newest_first(),
            ..self.counters
        }
    }
}
