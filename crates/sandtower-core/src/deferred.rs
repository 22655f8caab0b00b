use std::sync::Arc;
use std::task::Waker;

use crate::{Change, Subscribers};

/// What has to happen once all locks are released: waking tasks, telling subscribers, writing events,
/// dropping values of the user.
///
/// Code that is not ours never runs under a lock of ours: a waker may poll right where it is woken, a
/// `tracing` subscriber may ask for a snapshot, a subscriber of a gate takes locks of its own. So a
/// function that takes a lock takes a `Deferred` too, and adds to it under the lock. It runs when it
/// is dropped: make it *before* the outermost lock is taken, so that it goes after it.
///
/// Empty, or with a single waker, it allocates nothing.
///
/// ```
/// use std::sync::Mutex;
/// use sandtower_core::Deferred;
///
/// let state = Mutex::new(0);
/// let mut later = Deferred::new();
/// {
///     let mut state = state.lock().unwrap();
///     *state += 1;
///     let seen = *state;
///     later.run(move || println!("changed to {seen}"));
/// }
/// drop(later); // prints
/// ```
#[derive(Default)]
#[must_use = "dropped at once, it runs at once: perhaps under a lock"]
pub struct Deferred {
    waker: Option<Waker>,
    more: Vec<Action>,
}

enum Action {
    Wake(Waker),
    Notify(Arc<Subscribers>, Change),
    Run(Box<dyn FnOnce()>),
}

impl Deferred {
    /// Nothing to do.
    #[inline]
    pub const fn new() -> Self {
        Self { waker: None, more: Vec::new() }
    }

    /// Wakes a task.
    #[inline]
    pub fn wake(&mut self, waker: Waker) {
        match &self.waker {
            None => self.waker = Some(waker),
            Some(_) => self.more.push(Action::Wake(waker)),
        }
    }

    /// Notifies all `subscribers` of a change, once even if it is called twice.
    pub fn notify(&mut self, subscribers: &Arc<Subscribers>, change: Change) {
        let is_known = |action: &Action| {
            matches!(action, Action::Notify(known, same)
                if Arc::ptr_eq(known, subscribers) && *same == change)
        };
        if !self.more.iter().any(is_known) {
            self.more.push(Action::Notify(Arc::clone(subscribers), change));
        }
    }

    /// Calls `act`: writes an event, drops a value of the user.
    #[cold]
    pub fn run(&mut self, act: impl FnOnce() + 'static) {
        self.more.push(Action::Run(Box::new(act)));
    }

    #[cold]
    fn run_more(&mut self) {
        // An action may panic: those behind it are run by the next drop, not lost.
        struct Rest(std::vec::IntoIter<Action>);

        impl Drop for Rest {
            fn drop(&mut self) {
                self.0.by_ref().for_each(Action::run);
            }
        }

        let mut rest = Rest(std::mem::take(&mut self.more).into_iter());
        rest.0.by_ref().for_each(Action::run);
    }
}

impl Action {
    fn run(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Notify(subscribers, change) => subscribers.notify(change),
            Self::Run(act) => act(),
        }
    }
}

impl Drop for Deferred {
    #[inline]
    fn drop(&mut self) {
        // Events first: whoever is woken may read what they say.
        if !self.more.is_empty() {
            self.run_more();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl std::fmt::Debug for Deferred {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let actions = self.more.len() + usize::from(self.waker.is_some());
        f.debug_struct("Deferred").field("actions", &actions).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;

    #[test]
    fn what_is_deferred_runs_once_and_not_before_the_drop() {
        let ran = Arc::new(AtomicU32::new(0));
        let mut later = Deferred::new();
        for _ in 0..3 {
            let ran = Arc::clone(&ran);
            later.run(move || {
                ran.fetch_add(1, SeqCst);
            });
        }
        assert_eq!(ran.load(SeqCst), 0);
        drop(later);
        assert_eq!(ran.load(SeqCst), 3);
    }

    #[test]
    fn it_runs_after_a_lock_that_was_taken_behind_it() {
        let state = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&state);
        {
            let mut later = Deferred::new();
            let mut state = state.lock().unwrap();
            later.run(move || *seen.try_lock().expect("it ran under the lock") += 1);
            *state += 1;
        }
        assert_eq!(*state.lock().unwrap(), 2);
    }

    #[test]
    fn an_action_that_panics_does_not_take_the_others_with_it() {
        let ran = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&ran);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let mut later = Deferred::new();
            later.run(|| panic!("an action"));
            later.run(move || {
                counted.fetch_add(1, SeqCst);
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(ran.load(SeqCst), 1);
    }

    #[test]
    fn subscribers_are_notified_of_one_change_once() {
        let subscribers = Arc::new(Subscribers::default());
        let mut later = Deferred::new();
        later.notify(&subscribers, Change::Opened);
        later.notify(&subscribers, Change::Opened);
        later.notify(&subscribers, Change::Closed);
        assert_eq!(later.more.len(), 2);
    }
}
