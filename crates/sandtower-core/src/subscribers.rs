use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

/// How a gate changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Calls that it turned away may get through now: ask again.
    Opened,
    /// Calls that it would have let through, or kept waiting, may be rejected now.
    Closed,
}

/// Is notified when what a [`Gate`](crate::Gate) decides may have changed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be notified of changes of a gate",
    label = "not a `Subscriber`"
)]
pub trait Subscriber: Send + Sync {
    /// Called with no lock of the gate held. It must not block; it may call the gate.
    fn changed(&self, change: Change);
}

/// The subscribers of a gate: held weakly, forgotten when they are gone.
#[derive(Default)]
pub struct Subscribers {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    entries: Vec<Weak<dyn Subscriber>>,
    /// The length at which dead entries are removed.
    sweep_at: usize,
}

/// A list this short is not swept.
const SHORT: usize = 8;

impl Subscribers {
    /// Adds a subscriber. Dead ones are removed whenever the list has grown to twice the number of
    /// live ones (and beyond 8), so that adding costs constant time on average.
    pub fn add(&self, subscriber: Weak<dyn Subscriber>) {
        let mut list = self.lock();
        list.entries.push(subscriber);
        if list.entries.len() > list.sweep_at.max(SHORT) {
            list.entries.retain(|subscriber| subscriber.strong_count() > 0);
            list.sweep_at = list.entries.len() * 2;
            let keep = list.sweep_at.max(SHORT);
            list.entries.shrink_to(keep);
        }
    }

    /// Tells all subscribers. Call it by [`Deferred::notify`](crate::Deferred::notify), with no lock
    /// held.
    pub fn notify(&self, change: Change) {
        let live: Vec<Arc<dyn Subscriber>> =
            self.lock().entries.iter().filter_map(Weak::upgrade).collect();
        for subscriber in live {
            subscriber.changed(change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribers").field("len", &self.lock().entries.len()).finish()
    }
}

/// Wakes the one task that waits, in a `poll`, for a gate to change.
///
/// Nothing is allocated, and the gate is not subscribed to, before the first wait. Dropped, it is no
/// longer woken.
///
/// ```
/// use std::task::Waker;
/// use sandtower_core::{Change, Subscribers, WakeOnChange};
///
/// let subscribers = Subscribers::default();
/// let mut wake = WakeOnChange::default();
/// wake.register(Waker::noop(), |subscriber| subscribers.add(subscriber));
/// // Ask again now: the gate may have changed before it was subscribed to.
/// subscribers.notify(Change::Opened);
/// ```
#[derive(Debug, Default)]
pub struct WakeOnChange(Option<Arc<Woken>>);

impl WakeOnChange {
    /// Has `waker` woken at the next change, in place of the one registered last. `subscribe` is
    /// called the first time.
    pub fn register(&mut self, waker: &Waker, subscribe: impl FnOnce(Weak<dyn Subscriber>)) {
        let woken = self.0.get_or_insert_with(|| {
            let woken = Arc::new(Woken::default());
            let weak: Weak<Woken> = Arc::downgrade(&woken);
            subscribe(weak);
            woken
        });
        woken.register(waker);
    }
}

#[derive(Debug, Default)]
struct Woken(Mutex<Option<Waker>>);

impl Woken {
    fn register(&self, waker: &Waker) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = match &mut *slot {
            Some(old) if old.will_wake(waker) => None,
            slot => slot.replace(waker.clone()),
        };
        // The waker's own drop is not ours to run under the lock.
        drop(slot);
        drop(old);
    }
}

impl Subscriber for Woken {
    fn changed(&self, _change: Change) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Subscriber for Silent {
        fn changed(&self, _change: Change) {}
    }

    fn silent() -> Arc<dyn Subscriber> {
        Arc::new(Silent)
    }

    #[test]
    fn dead_subscribers_do_not_pile_up() {
        for live in [0, 3, 100] {
            let subscribers = Subscribers::default();
            let alive: Vec<_> = (0..live).map(|_| silent()).collect();
            alive.iter().for_each(|subscriber| subscribers.add(Arc::downgrade(subscriber)));
            for _ in 0..10_000 {
                subscribers.add(Arc::downgrade(&silent()));
                // The one that is just being added is still alive.
                let len = subscribers.lock().entries.len();
                assert!(len <= (2 * (live + 1)).max(SHORT), "{len} with {live} alive");
            }
        }
    }

    #[test]
    fn many_that_came_and_went_leave_nothing_behind() {
        let subscribers = Subscribers::default();
        let gone: Vec<_> = (0..10_000).map(|_| silent()).collect();
        gone.iter().for_each(|subscriber| subscribers.add(Arc::downgrade(subscriber)));
        drop(gone);
        for _ in 0..10_001 {
            subscribers.add(Arc::downgrade(&silent()));
        }
        let list = subscribers.lock();
        assert!(list.entries.len() <= SHORT && list.entries.capacity() <= 2 * SHORT);
    }
}
