use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::{Clock, Rejection, RequestInfo, Tick, Verdict};

/// Decides whether an attempt may go now: a breaker, a rate limit, a concurrency limit, a quota.
///
/// A gate is a cheap handle (clone it freely) over an engine that reads no clock and draws no
/// randomness of its own. A gate is enforced by its own layer or by a waiting room, never by both.
///
/// # The life of a token
///
/// [`take`](Gate::take) hands out a token for one attempt. It comes back exactly once: by
/// [`give_back`](Gate::give_back) if the attempt was never sent, by [`settle`](Gate::settle) if it
/// was. A [`Guard`](crate::Guard) sees to that when futures are dropped. Looking is not taking:
/// thirty callers held before an open breaker must not all see its one probe.
///
/// # What must never happen
///
/// - `take` and `give_back` call no watcher: the waiting room calls them under its own lock.
/// - A watcher is called while the gate's lock is held.
/// - A token from before a reset, a trip or an expiry changes the state after it: a token carries
///   its generation.
///
/// A token may outlive its call, in the hands of who reads the [end](crate::Ending) of an answer: so
/// gates and tokens go to other threads.
pub trait Gate: Send + Sync + 'static {
    /// What the gate hands out for one attempt.
    type Token: Send;

    /// Asks for a token.
    fn take(&self, info: &RequestInfo, now: Tick) -> Take<Self::Token>;

    /// Takes back a token whose attempt was never sent.
    fn give_back(&self, info: &RequestInfo, token: Self::Token);

    /// Takes back a token whose attempt was sent, with what came of it.
    fn settle(&self, info: &RequestInfo, token: Self::Token, settlement: &Completion);

    /// Settles a token without the time, if this gate needs none for this verdict; else answers the
    /// token, which is then [settled](Gate::settle). Reading the clock is what a call through a gate
    /// costs most.
    fn settle_untimed(
        &self,
        _asked: &RequestInfo,
        token: Self::Token,
        _verdict: &Verdict,
    ) -> Option<Self::Token> {
        Some(token)
    }

    /// The head of an answer has come whose outcome stands only at its [end](crate::Ending);
    /// `settlement` is what is known so far. `true`: the token may stay out until then, however long
    /// that is, and is settled with what the end says. `false`, unless told otherwise: it is settled
    /// now, with what the head said.
    fn head(
        &self,
        _asked: &RequestInfo,
        _token: &mut Self::Token,
        _settlement: &Completion,
    ) -> bool {
        false
    }

    /// Whether the gate would reject any request whatsoever. It takes nothing and decides nothing (a
    /// gate may count what it answers), and reads the clock only if it has to: this runs in every
    /// `poll_ready`.
    fn peek(&self, _clock: &impl Clock) -> Option<Rejection> {
        None
    }

    /// The same, of a request that asks `asked`: whether there is no use in waiting for a token of
    /// another gate, since this one would reject it then.
    fn rejects(&self, _asked: &RequestInfo, clock: &impl Clock) -> Option<Rejection> {
        self.peek(clock)
    }

    /// The service below failed to become ready: no attempt was sent, yet it may matter.
    fn unready(&self, _verdict: &Verdict, _now: Tick) {}

    /// Asks to be told when an earlier "no" may have changed before the instant it gave.
    fn watch(&self, changed: Weak<dyn Subscriber>);
}

/// A gate's answer.
#[derive(Clone, Debug)]
pub enum Take<T> {
    /// Go, with this token.
    Open(T),
    /// Not before this instant, for this reason. Who cannot wait is rejected.
    NotBefore(Tick, Rejection),
    /// No, and waiting is not wanted.
    Reject(Rejection),
}

/// What came of an attempt that was sent.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Completion {
    /// What it said.
    pub verdict: Verdict,
    /// When it was sent. Waiting before that never looks like a slow service.
    pub sent: Tick,
    /// When it answered or was dropped.
    pub now: Tick,
}

impl Completion {
    /// An attempt sent at `sent` of which `verdict` was known at `now`.
    pub const fn new(verdict: Verdict, sent: Tick, now: Tick) -> Self {
        Self { verdict, sent, now }
    }
}

/// Wants to know when a gate's "no" may have changed.
pub trait Subscriber: Send + Sync {
    /// Called with no lock of the gate held. Must not block.
    fn changed(&self);
}

/// The watchers of a gate: held weakly, forgotten when they are gone.
#[derive(Default)]
pub struct Subscribers {
    list: Mutex<Vec<Weak<dyn Subscriber>>>,
}

impl Subscribers {
    /// Adds a watcher. Dead ones are swept whenever the list would grow, so its length stays within
    /// twice the number of live ones.
    pub fn add(&self, watcher: Weak<dyn Subscriber>) {
        let mut list = self.lock();
        if list.len() == list.capacity() {
            list.retain(|watcher| watcher.strong_count() > 0);
        }
        list.push(watcher);
    }

    /// Tells all watchers. Call it after the gate's own lock is released.
    pub fn notify(&self) {
        let live: Vec<Arc<dyn Subscriber>> = self.lock().iter().filter_map(Weak::upgrade).collect();
        for watcher in live {
            watcher.changed();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<dyn Subscriber>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribers").field("len", &self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Subscriber for Nobody {
        fn changed(&self) {}
    }

    #[test]
    fn watchers_that_are_gone_do_not_pile_up() {
        let watchers = Subscribers::default();
        let alive: Vec<Arc<dyn Subscriber>> = (0..3).map(|_| Arc::new(Nobody) as _).collect();
        alive.iter().for_each(|watcher| watchers.add(Arc::downgrade(watcher)));
        for _ in 0..10_000 {
            let gone: Arc<dyn Subscriber> = Arc::new(Nobody);
            watchers.add(Arc::downgrade(&gone));
        }
        assert!(watchers.lock().len() <= 8, "{watchers:?}");
    }
}
