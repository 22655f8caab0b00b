//! The lines before a rate limit.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use sandtower_core::{
    Clock, Completion, Gate, Operation, Place, Reason, Rejection, RequestInfo, Subscriber, Take,
    Tick, Verdict,
};
use sandtower_time::TokioClock;
use serde::Serialize;

use super::line::{Line, Waiter};
use super::timer::{Bell, Timer};
use crate::lane::Asker;
use crate::{RateLimit, Token};

/// Callers that wait for a [`RateLimit`]: the handle of a [`PaceLayer`](crate::PaceLayer). Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Pacer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: RateLimit,
    queue: usize,
    longest_wait: Duration,
    /// By the operation's number. A lane's lock comes before the limit's, never after.
    lanes: Box<[OnceLock<Mutex<Lane>>]>,
}

/// One operation's line, and the timer of who is next.
#[derive(Debug, Default)]
struct Lane {
    line: Line,
    /// None while nobody waits, so that no runtime's timer outlives it here.
    timer: Option<Timer>,
    counts: LineStats,
}

/// What a line led to, since its layer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LineStats {
    /// How many wait now.
    pub waiting: usize,
    /// Calls that were let through.
    pub admitted: u64,
    /// Of those, the ones that had to wait.
    pub admitted_after_wait: u64,
    /// Rejected since the line was full.
    pub rejected_full: u64,
    /// Rejected since their deadline came, or would have come, before their turn.
    pub rejected_late: u64,
    /// Left the line of their own will: their futures were dropped.
    pub left: u64,
}

/// What a look at the line says.
pub(crate) enum Turn {
    Admitted(Token),
    Rejected(Rejection),
    /// Look again when woken, or at this deadline.
    Wait(Tick),
}

/// Whom to wake, once all is unlocked.
#[must_use]
pub(crate) enum Then {
    Nothing,
    Aim(Arc<Bell>, Waker),
    Wake(Waker),
}

impl Then {
    pub(crate) fn run(self) {
        match self {
            Self::Nothing => {}
            Self::Aim(bell, waker) => bell.aim(waker),
            Self::Wake(waker) => waker.wake(),
        }
    }
}

impl Pacer {
    pub(crate) fn new(limit: RateLimit, queue: usize, longest_wait: Duration) -> Self {
        let lanes = std::iter::repeat_with(OnceLock::new).take(u8::MAX as usize + 1).collect();
        let shared = Arc::new(Shared { limit, queue, longest_wait, lanes });
        let weak: Weak<Shared> = Arc::downgrade(&shared);
        shared.limit.watch(weak);
        Self { shared }
    }

    /// The limit that is waited for, to read and to steer.
    pub fn limit(&self) -> &RateLimit {
        &self.shared.limit
    }

    /// What the line of `operation` led to.
    pub fn stats(&self, operation: Operation) -> LineStats {
        match self.shared.lanes[operation.index()].get() {
            Some(lane) => {
                let lane = lock(lane);
                LineStats { waiting: lane.line.len(), ..lane.counts }
            }
            None => LineStats::default(),
        }
    }

    pub(crate) fn queue(&self) -> usize {
        self.shared.queue
    }

    pub(crate) fn longest_wait(&self) -> Duration {
        self.shared.longest_wait
    }

    /// Lets a newcomer through or rejects it at once; `None`: it has to stand in line.
    pub(crate) fn enter(&self, info: &RequestInfo, now: Tick) -> Option<Result<Token, Rejection>> {
        let arrived = info.arrived.unwrap_or(now);
        let deadline = self.deadline(info, arrived);
        let mut lane = self.shared.lane(info.operation);
        if now >= deadline {
            return Some(Err(lane.late(self, info, now.since(arrived))));
        }
        if lane.line.would_be_next(arrived, now) {
            match self.shared.limit.take_as(Asker::Line { arrived: now }, info, now) {
                Take::Open(token) => {
                    lane.counts.admitted += 1;
                    let then = lane.arm(&self.shared.limit, now);
                    drop(lane);
                    then.run();
                    return Some(Ok(token));
                }
                Take::NotBefore(at, _) if at > deadline => {
                    return Some(Err(lane.late(self, info, now.since(arrived))));
                }
                Take::NotBefore(_, rejection) if self.shared.queue == 0 => {
                    lane.counts.rejected_full += 1;
                    return Some(Err(rejection));
                }
                Take::Reject(rejection) => return Some(Err(rejection)),
                Take::NotBefore(..) => {}
            }
        }
        if lane.line.len() >= self.shared.queue && !lane.line.stands(now) {
            return Some(Err(lane.full(self, info)));
        }
        None
    }

    /// Looks whether it is the turn of who stands at `place`, or stands in line there first.
    pub(crate) fn look(
        &self,
        info: &RequestInfo,
        arrived: Tick,
        place: &mut Option<Place>,
        waker: &Waker,
        now: Tick,
    ) -> Turn {
        let deadline = self.deadline(info, arrived);
        let mut lane = self.shared.lane(info.operation);
        let mut sent_away = None;
        let here = match *place {
            Some(here) => here,
            None => {
                if lane.line.len() >= self.shared.queue {
                    if !lane.line.stands(now) {
                        return Turn::Rejected(lane.full(self, info));
                    }
                    // The newest are served first: the oldest makes room, and finds its place void.
                    sent_away = lane.line.oldest().and_then(|oldest| lane.line.leave(oldest));
                }
                let waiter = Waiter { info: *info, arrived, waker: waker.clone() };
                *place.insert(lane.line.join(waiter, now))
            }
        };
        match lane.line.get_mut(here) {
            Some(waiter) => waiter.waker.clone_from(waker),
            None => {
                *place = None;
                return Turn::Rejected(lane.full(self, info));
            }
        }
        let turn = self.decide(&mut lane, info, arrived, here, now, deadline);
        if !matches!(turn, Turn::Wait(_)) {
            *place = None;
            lane.line.leave(here);
        }
        let then = lane.arm(&self.shared.limit, now);
        drop(lane);
        then.run();
        if let Some(waiter) = sent_away {
            waiter.waker.wake();
        }
        turn
    }

    fn decide(
        &self,
        lane: &mut Lane,
        info: &RequestInfo,
        arrived: Tick,
        here: Place,
        now: Tick,
        deadline: Tick,
    ) -> Turn {
        if now >= deadline {
            return Turn::Rejected(lane.late(self, info, now.since(arrived)));
        }
        if lane.line.next(now) != Some(here) {
            return Turn::Wait(deadline);
        }
        let asker = lane.asker(arrived, now);
        match self.shared.limit.take_as(asker, info, now) {
            Take::Open(token) => {
                lane.counts.admitted += 1;
                lane.counts.admitted_after_wait += 1;
                Turn::Admitted(token)
            }
            Take::Reject(rejection) => Turn::Rejected(rejection),
            Take::NotBefore(at, _) if at > deadline => {
                Turn::Rejected(lane.late(self, info, now.since(arrived)))
            }
            Take::NotBefore(..) => Turn::Wait(deadline),
        }
    }

    /// The future of who stood at `place` was dropped.
    pub(crate) fn leave(&self, operation: Operation, place: Place) {
        let mut lane = self.shared.lane(operation);
        let left = lane.line.leave(place);
        lane.counts.left += u64::from(left.is_some());
        let then = lane.arm(&self.shared.limit, TokioClock.now());
        drop(lane);
        then.run();
    }

    fn deadline(&self, info: &RequestInfo, arrived: Tick) -> Tick {
        info.deadline.unwrap_or(Tick::MAX).min(arrived + self.shared.longest_wait)
    }

    fn rejection(&self, info: &RequestInfo, reason: Reason) -> Rejection {
        let name = Arc::clone(&self.shared.limit.config().name);
        Rejection::new("rate limit", name, reason).about(info.operation)
    }
}

impl Lane {
    /// Sets the timer for who is next. Whoever changes anything calls it.
    fn arm(&mut self, limit: &RateLimit, now: Tick) -> Then {
        let Some(next) = self.line.next(now) else {
            self.timer = None;
            return Then::Nothing;
        };
        let Some(waiter) = self.line.get_mut(next) else { return Then::Nothing };
        let (info, arrived, waker) = (waiter.info, waiter.arrived, waiter.waker.clone());
        let at = limit.opens_for(self.asker(arrived, now), &info, now);
        match &mut self.timer {
            Some(timer) => Then::Aim(timer.set(at), waker),
            // Only who is polled by a runtime can make a timer of it.
            None if tokio::runtime::Handle::try_current().is_ok() => {
                Then::Aim(self.timer.insert(Timer::new()).set(at), waker)
            }
            None => Then::Wake(waker),
        }
    }

    /// While the line is short everybody's wait is; in one that stands, who came before there was
    /// anything to have lets the fresh go first.
    fn asker(&self, arrived: Tick, now: Tick) -> Asker {
        Asker::Line { arrived: if self.line.stands(now) { arrived } else { Tick::MAX } }
    }

    fn late(&mut self, pacer: &Pacer, info: &RequestInfo, waited: Duration) -> Rejection {
        self.counts.rejected_late += 1;
        pacer.rejection(info, Reason::TooLate { waited })
    }

    fn full(&mut self, pacer: &Pacer, info: &RequestInfo) -> Rejection {
        self.counts.rejected_full += 1;
        let waiting = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
        pacer.rejection(info, Reason::QueueFull { waiting })
    }
}

impl Shared {
    fn lane(&self, operation: Operation) -> MutexGuard<'_, Lane> {
        lock(self.lanes[operation.index()].get_or_init(Mutex::default))
    }

    fn rearm(&self, lane: &Mutex<Lane>) {
        let mut lane = lock(lane);
        if lane.line.is_empty() {
            return;
        }
        let then = lane.arm(&self.limit, TokioClock.now());
        drop(lane);
        then.run();
    }
}

/// A lane is whole between any two of its steps: a poisoned lock is used on.
fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Subscriber for Shared {
    fn changed(&self) {
        self.lanes.iter().filter_map(OnceLock::get).for_each(|lane| self.rearm(lane));
    }
}

/// The limit without its lines, for the guards of attempts: what they learn sets the timers.
impl Gate for Pacer {
    type Token = Token;

    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Token> {
        self.shared.limit.take_as(Asker::Line { arrived: now }, info, now)
    }

    fn give_back(&self, info: &RequestInfo, token: Token) {
        self.shared.limit.give_back(info, token);
        self.shared.lanes[info.operation.index()].get().inspect(|lane| self.shared.rearm(lane));
    }

    fn settle(&self, info: &RequestInfo, token: Token, settlement: &Completion) {
        self.shared.limit.settle(info, token, settlement);
        self.shared.lanes[info.operation.index()].get().inspect(|lane| self.shared.rearm(lane));
    }

    /// From what is settled so nothing was learned, and no timer changes.
    fn settle_untimed(&self, info: &RequestInfo, token: Token, verdict: &Verdict) -> Option<Token> {
        self.shared.limit.settle_untimed(info, token, verdict)
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.shared.limit.watch(changed);
    }
}
