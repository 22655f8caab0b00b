use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use sandtower_core::{Clock, Gate, Watching};
use sandtower_time::TokioClock;

use crate::{CircuitBreaker, Transition};

/// A breaker's changes of state, one after the other: from [`CircuitBreaker::subscribe`].
///
/// Nobody waits for a subscriber, and none costs memory: all read what the breaker keeps of its
/// history. One that falls more than 64 changes behind goes on with the oldest that is kept and is
/// told how many it [missed](Told::missed). It needs no runtime, and never ends.
///
/// The move to half-open happens by the clock, and nobody is woken for it: it is told with the move
/// that follows, or to who looks.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreaker, State};
///
/// let breaker = CircuitBreaker::classic("E2B");
/// let mut transitions = breaker.subscribe();
/// breaker.force_open();
/// breaker.reset();
///
/// assert_eq!(transitions.try_next().unwrap().transition.to, State::Open);
/// assert_eq!(transitions.try_next().unwrap().transition.to, State::Closed);
/// assert!(transitions.try_next().is_none());
/// ```
#[derive(Debug)]
pub struct Transitions {
    breaker: CircuitBreaker,
    /// The number of the last that was told.
    seen: u64,
    watching: Watching,
}

/// What a subscriber is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Told {
    /// How many transitions before this one came and went unread.
    pub missed: u64,
    /// What happened.
    pub transition: Transition,
}

impl Transitions {
    pub(crate) fn of(breaker: CircuitBreaker, seen: u64) -> Self {
        Self { breaker, seen, watching: Watching::default() }
    }

    /// The next, if it has happened already.
    pub fn try_next(&mut self) -> Option<Told> {
        let now = TokioClock.now();
        let transition = {
            let engine = self.breaker.switch().lock();
            engine.history().after(self.seen)?.read_at(now)
        };
        let missed = transition.number - self.seen - 1;
        self.seen = transition.number;
        Some(Told { missed, transition })
    }

    /// The next, as soon as it happens. Dropping the future loses nothing.
    pub fn wait(&mut self) -> NextTransition<'_> {
        NextTransition { transitions: self }
    }

    /// The next; for streams.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Told> {
        if let Some(told) = self.try_next() {
            return Poll::Ready(told);
        }
        self.watching.register(cx.waker(), |watcher| self.breaker.watch(watcher));
        // It may have happened before it was watched for.
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Waits for a breaker's next change of state.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct NextTransition<'a> {
    transitions: &'a mut Transitions,
}

impl Future for NextTransition<'_> {
    type Output = Told;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Told> {
        self.transitions.poll_next(cx)
    }
}
