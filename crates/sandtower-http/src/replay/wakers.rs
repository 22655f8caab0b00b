use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// The readers that wait for one body. It is polled with a waker that wakes all of them: the reader that
/// was woken may never poll again, and no other would learn of the frame.
#[derive(Default)]
pub(super) struct Wakers(Mutex<Vec<(u64, Waker)>>);

impl Wakers {
    /// Wakes `reader` by `waker` from now on.
    pub(super) fn wait(&self, reader: u64, waker: &Waker) {
        let mut waiting = self.lock();
        let old = match waiting.iter_mut().find(|(waiting, _)| *waiting == reader) {
            Some((_, registered)) if registered.will_wake(waker) => None,
            Some((_, registered)) => Some(std::mem::replace(registered, waker.clone())),
            None => {
                waiting.push((reader, waker.clone()));
                None
            }
        };
        drop(waiting);
        // Dropping a waker runs code that is not ours.
        drop(old);
    }

    /// `reader` no longer waits.
    pub(super) fn forget(&self, reader: u64) {
        let mut waiting = self.lock();
        let at = waiting.iter().position(|(waiting, _)| *waiting == reader);
        let old = at.map(|at| waiting.swap_remove(at));
        drop(waiting);
        drop(old);
    }

    /// Wakes all readers that wait, except `reader`.
    pub(super) fn wake_others(&self, reader: u64) {
        let mut waiting = self.lock();
        let others: Vec<_> = waiting.extract_if(.., |(waiting, _)| *waiting != reader).collect();
        drop(waiting);
        others.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn wake_all(&self) {
        let waiting = std::mem::take(&mut *self.lock());
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(u64, Waker)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}
