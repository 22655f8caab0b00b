use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use sandtower_core::{Gate, Tick, WakeOnChange};

use crate::{CircuitBreaker, Transition};

/// A breaker's transitions, one after the other: from [`CircuitBreaker::transitions`].
///
/// A slow reader delays no call and costs no memory: all read what the breaker keeps of its history.
/// A reader that falls more than 64 transitions behind continues with the oldest that is kept, and
/// learns how many it [missed](NextTransition::missed). It needs no runtime, and never ends.
///
/// The move to half-open happens by the clock and wakes no reader: it is returned with the transition
/// that follows, or to a reader that looks.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreaker, State};
///
/// let breaker = CircuitBreaker::recommended("search");
/// let mut transitions = breaker.transitions();
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
    /// The number of the last that was returned.
    seen: u64,
    wake: WakeOnChange,
}

/// A transition, from [`Transitions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NextTransition {
    /// How many transitions before this one came and went unread.
    pub missed: u64,
    /// What happened.
    pub transition: Transition,
}

impl Transitions {
    pub(crate) fn of(breaker: CircuitBreaker, seen: u64) -> Self {
        Self { breaker, seen, wake: WakeOnChange::default() }
    }

    /// The next, if it has happened already.
    pub fn try_next(&mut self) -> Option<NextTransition> {
        let now = Tick::now();
        let transition = {
            let engine = self.breaker.switch().lock();
            engine.history().after(self.seen)?.read_at(now)
        };
        let missed = transition.number - self.seen - 1;
        self.seen = transition.number;
        Some(NextTransition { missed, transition })
    }

    /// The next, as soon as it happens. Dropping the future loses none.
    pub fn wait(&mut self) -> Wait<'_> {
        Wait { transitions: self }
    }

    /// The next; for streams.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<NextTransition> {
        if let Some(next) = self.try_next() {
            return Poll::Ready(next);
        }
        self.wake.register(cx.waker(), |subscriber| self.breaker.subscribe(subscriber));
        // It may have happened before it was subscribed to.
        self.try_next().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Waits for a breaker's next transition: from [`Transitions::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Wait<'a> {
    transitions: &'a mut Transitions,
}

impl Future for Wait<'_> {
    type Output = NextTransition;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<NextTransition> {
        self.transitions.poll_next(cx)
    }
}
