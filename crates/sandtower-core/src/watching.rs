use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

use crate::Subscriber;

/// Wakes the one task that waits, in a `poll`, for a gate to change.
///
/// Nothing is allocated, and the gate not watched, before the first wait. Dropped, it is no longer
/// woken.
///
/// ```
/// use std::task::Waker;
/// use sandtower_core::{Subscriber, Subscribers, Watching};
///
/// let watchers = Subscribers::default();
/// let mut watching = Watching::default();
/// watching.register(Waker::noop(), |watcher| watchers.add(watcher));
/// // Look again now: it may have changed before it was being watched.
/// watchers.notify();
/// ```
#[derive(Debug, Default)]
pub struct Watching(Option<Arc<Woken>>);

impl Watching {
    /// Has `waker` woken at the next change, in place of the last that was registered. `watch` is
    /// called the first time.
    pub fn register(&mut self, waker: &Waker, watch: impl FnOnce(Weak<dyn Subscriber>)) {
        let woken = self.0.get_or_insert_with(|| {
            let woken = Arc::new(Woken::default());
            let weak: Weak<Woken> = Arc::downgrade(&woken);
            watch(weak);
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
        match &mut *slot {
            Some(old) => old.clone_from(waker),
            None => *slot = Some(waker.clone()),
        }
    }
}

impl Subscriber for Woken {
    fn changed(&self) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
