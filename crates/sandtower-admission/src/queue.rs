//! The slots and the queue of one operation: pure data behind the lock of admission control.

mod waiters;

use std::task::Waker;
use std::time::Duration;

use sandtower_core::{
    Completion, Deferred, Operation, Reason, Rejection, RequestInfo, Tenant, Tick,
};

pub(crate) use self::waiters::{Ahead, Order, Place, Seat, Turns, UNIT, Why};

use self::waiters::Waiters;
use crate::limiter::{Limit, Limiter};
use crate::limits::Demand;
use crate::pace::Pace;
use crate::slot::Taken;
use crate::snapshot::QueueSnapshot;
use crate::waiting::Standing;

/// Slots are not passed from call to call: a free slot belongs to the next call in the queue. New calls
/// join a queue that is not empty, so none of them barges.
///
/// After each change, [`advance`](Self::advance) restores the invariant: **while a slot is free and
/// calls are queued, the next of them has been woken and not been polled since, or a gate holds it.**
#[derive(Debug)]
pub(crate) struct OperationQueue {
    limiter: Limiter,
    /// Whether calls beyond the limit are counted and admitted.
    shadow: bool,
    in_flight: u32,
    /// The shared limits that apply to the operation.
    pub(crate) demand: Demand,
    waiters: Waiters,
    pace: Pace,
    /// Whether a call was rejected for lack of a slot since one was last free.
    turned_away: bool,
    counters: QueueSnapshot,
}

/// Why a call left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    Admitted,
    Late,
    ByGate,
    ByLimit,
    Shed,
    ShuttingDown,
    Dropped,
}

impl OperationQueue {
    pub(crate) fn new(
        operation: Operation,
        limit: Limit,
        order: Order,
        demand: Demand,
        shadow: bool,
    ) -> Self {
        let counters = QueueSnapshot { operation: operation.name(), ..QueueSnapshot::default() };
        Self {
            limiter: Limiter::new(limit),
            shadow,
            in_flight: 0,
            demand,
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
        self.in_flight < self.limit() || self.shadow
    }

    /// Whether a new call may be admitted immediately: the queue is empty and a slot is free.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.waiters.is_empty() && self.has_slot()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// The next call. Skips calls that are held, and calls that were woken and not polled in time.
    pub(crate) fn next(&mut self, now: Tick) -> Option<Place> {
        if self.has_slot() { self.waiters.next(now) } else { None }
    }

    pub(crate) fn contains(&self, place: Place) -> bool {
        self.waiters.contains(place)
    }

    pub(crate) fn seat(&self, place: Place) -> Option<Seat> {
        self.waiters.seat(place)
    }

    /// Number of queued calls, by class.
    pub(crate) fn waiting_by_priority(&self) -> [u32; 3] {
        self.waiters.waiting()
    }

    /// The class of the call at `place`: an index of `Priority::ALL`.
    pub(crate) fn class(&self, place: Place) -> Option<usize> {
        self.waiters.class(place)
    }

    /// When the call at `place` joined.
    pub(crate) fn joined(&self, place: Place) -> Option<Tick> {
        self.waiters.joined(place)
    }

    /// What the call at `place` waits for.
    pub(crate) fn held_by(&self, place: Place) -> Option<&Rejection> {
        self.waiters.held_by(place)
    }

    /// The queued calls by tenant and class.
    pub(crate) fn standing(&self) -> impl Iterator<Item = Standing> {
        self.waiters.standing()
    }

    /// Number of calls ahead of `place` in the current order.
    pub(crate) fn ahead(&self, place: Place) -> Option<Ahead> {
        self.waiters.ahead(place)
    }

    /// The expected wait behind `ahead` calls; `None` if unknown.
    pub(crate) fn wait(&self, ahead: usize) -> Option<Duration> {
        self.pace.wait(ahead)
    }

    /// The expected wait of a call of `info`, of a tenant of this weight, that arrived at `arrived`.
    pub(crate) fn wait_of(
        &self,
        info: &RequestInfo,
        weight: u32,
        arrived: Tick,
    ) -> Option<Duration> {
        self.pace.wait(self.waiters.would_be_ahead(info, weight, arrived))
    }

    /// The expected time of a call after it is sent, if known.
    pub(crate) fn took(&self) -> Duration {
        self.pace.took()
    }

    /// Adds a call of a tenant of this weight. The call then checks whether it is next.
    pub(crate) fn join(
        &mut self,
        info: &RequestInfo,
        seat: Seat,
        weight: u32,
        arrived: Tick,
        now: Tick,
    ) -> Place {
        self.waiters.join(info, seat, weight, arrived, now)
    }

    /// The call, if any, that a call of `info` displaces from the full queue.
    pub(crate) fn sheds(&self, info: &RequestInfo, weight: u32) -> Option<Place> {
        self.waiters.sheds(info.priority.index(), info.tenant, weight)
    }

    /// Whether interactive calls have waited too long.
    pub(crate) fn stands(&self, now: Tick) -> bool {
        self.waiters.stands(now)
    }

    /// Records that the call at `place` was polled.
    pub(crate) fn looks(&mut self, place: Place, now: Tick) {
        self.waiters.looks(place, now);
    }

    /// The instant at which the queue drops the call at `place`, regardless of its own deadline.
    pub(crate) fn leaves_at(&self, place: Place, now: Tick) -> Tick {
        self.waiters.leaves_at(place, now)
    }

    /// Keeps the call at `place` queued. Returns when to poll it again unless it is woken earlier.
    pub(crate) fn wait_on(
        &mut self,
        place: Place,
        waker: &Waker,
        now: Tick,
        later: &mut Deferred,
    ) -> Tick {
        self.waiters.sleep(place, waker, now, later)
    }

    /// Holds the call at `place` and similar calls until `until`: those of its tenant, or of all tenants
    /// if `wide`. The call itself checks again then.
    pub(crate) fn hold(&mut self, place: Place, until: Tick, why: Why, wide: bool) {
        if matches!(why, Why::Outage(_)) {
            self.pace.stands_still();
        }
        self.waiters.hold(place, until, why, wide);
    }

    /// Drops the holds by gates, so that the next call checks again. Returns whether there were any.
    pub(crate) fn release_gates(&mut self, now: Tick) -> bool {
        self.waiters.release_gates(now)
    }

    /// Drops the holds by shared limits: those of one tenant, or all.
    pub(crate) fn release_limits(&mut self, tenant: Option<Tenant>) {
        self.waiters.release_limits(tenant);
    }

    /// Wakes all calls for which `is_rejected` returns `true`, so that they leave.
    pub(crate) fn wake_those(
        &mut self,
        is_rejected: impl FnMut(&RequestInfo) -> bool,
        later: &mut Deferred,
    ) {
        self.waiters.wake_those(is_rejected, later);
    }

    /// Takes a slot, for a new or a queued call.
    #[inline]
    pub(crate) fn admit(&mut self, now: Tick) -> Taken {
        self.counters.beyond_limit += u64::from(self.in_flight >= self.limit());
        let trial = self.limiter.is_trial(self.in_flight + 1);
        self.in_flight += 1;
        self.counters.admitted += 1;
        if self.in_flight >= self.limit() {
            self.limiter.used_up(now);
        }
        match (trial, self.limiter.learns() || self.pace.wants_sample(now)) {
            (true, _) => Taken::Trial,
            (false, true) => Taken::Timed,
            (false, false) => Taken::Untimed,
        }
    }

    /// Removes a call. The caller must drop the returned waker after unlocking.
    pub(crate) fn leave(
        &mut self,
        place: Place,
        why: Leaving,
        now: Tick,
    ) -> Option<(Seat, Option<Waker>)> {
        let left = self.waiters.leave(place, why == Leaving::Admitted)?;
        match why {
            Leaving::Admitted => {
                self.counters.admitted_after_wait += 1;
                self.pace.admitted(now);
            }
            Leaving::Late => self.counters.rejected_late += 1,
            Leaving::ByGate => self.counters.rejected_by_gate += 1,
            Leaving::ByLimit => self.counters.rejected_by_limit += 1,
            Leaving::Shed => {
                self.counters.rejected_full += 1;
                self.counters.shed += 1;
            }
            Leaving::ShuttingDown => self.counters.rejected_draining += 1,
            Leaving::Dropped => self.counters.left += 1,
        }
        if self.waiters.is_empty() {
            self.pace.queue_is_empty();
        }
        Some(left)
    }

    /// Releases a slot.
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
        self.wake_next(now, later);
        self.appoint_sentinel(now, later);
    }

    pub(crate) fn wake_next(&mut self, now: Tick, later: &mut Deferred) {
        if self.has_slot() {
            self.waiters.wake_next(now, later);
        }
    }

    pub(crate) fn appoint_sentinel(&mut self, now: Tick, later: &mut Deferred) {
        self.waiters.appoint_sentinel(now, later);
    }

    /// Whether callers outside the queue should be notified of a free slot. Resets the flag.
    #[inline]
    pub(crate) fn frees_for_others(&mut self) -> bool {
        self.waiters.is_empty() && self.has_slot() && std::mem::take(&mut self.turned_away)
    }

    pub(crate) fn set_shadow(&mut self, shadow: bool) {
        self.shadow = shadow;
    }

    /// Changes the limit. An adaptive limit starts over.
    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.limiter = Limiter::new(limit);
    }

    /// Counts a call that a gate rejected before it was queued.
    pub(crate) fn rejected_by_gate(&mut self) {
        self.counters.rejected_by_gate += 1;
    }

    /// Counts a call that a limit would have queued outside shadow mode.
    pub(crate) fn let_through(&mut self) {
        self.counters.beyond_limit += 1;
    }

    /// Counts a call that was rejected before it was queued.
    pub(crate) fn rejected(&mut self, reason: &Reason) {
        let counters = &mut self.counters;
        *match reason {
            Reason::QueueFull { .. } => &mut counters.rejected_full,
            Reason::OverLimit { .. } => &mut counters.rejected_by_limit,
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
            waiting_by_priority: self.waiters.waiting(),
            newest_first: self.waiters.is_newest_first(),
            ..self.counters
        }
    }
}
