//! The test's side of a mock: controls it, and reads its counts and violations.

use std::{fmt, sync::Arc};

use super::{
    Shared,
    counts::Counts,
    ledger::Ledger,
    script::{Instance, Readiness, Reply},
};
use crate::Violation;

/// Controls and reads a [`Mock`](crate::Mock).
///
/// If the last clone of a handle is dropped and the mock has recorded a violation that was not read, it
/// panics: a violation in a spawned task must not go unnoticed.
///
/// ```
/// use sandtower_testkit::{Mock, Readiness};
///
/// let (_mock, handle) = Mock::<u64, u64>::always(7);
/// handle.limit_reservations(2);
/// handle.set_readiness(|instance| match instance.is_original() {
///     true => Readiness::Ready,
///     false => Readiness::Pending,
/// });
/// assert_eq!(handle.counts().reservations_held, 0);
/// ```
pub struct Handle<Req = u64, Res = u64> {
    shared: Arc<Shared<Req, Res>>,
    last_look: Arc<LastLook>,
}

impl<Req, Res> Handle<Req, Res> {
    pub(super) fn new(shared: Arc<Shared<Req, Res>>) -> Self {
        let last_look = Arc::new(LastLook { ledger: Arc::clone(&shared.ledger) });
        Self { shared, last_look }
    }

    /// The counts so far.
    pub fn counts(&self) -> Counts {
        self.last_look.ledger.counts()
    }

    /// The instances that are ready, but neither called nor dropped.
    pub fn holders(&self) -> Vec<Instance> {
        self.last_look.ledger.holders()
    }

    /// The rules that callers have broken so far. A caller of this method takes responsibility for them: the
    /// drop of the handle does not panic for them any more.
    pub fn violations(&self) -> Vec<Violation> {
        self.last_look.ledger.violations()
    }

    /// Replaces the script of replies, for the following calls. A script cannot replace itself.
    pub fn set_replies(&self, script: impl FnMut(Req, u64) -> Reply<Res> + Send + 'static) {
        *self.shared.replies() = Box::new(script);
    }

    /// The former name of [`set_replies`](Self::set_replies).
    #[doc(hidden)]
    pub fn set_answers(&self, script: impl FnMut(Req, u64) -> Reply<Res> + Send + 'static) {
        self.set_replies(script);
    }

    /// Replaces the script of readiness. It is called once for each readiness of each instance. Waiting
    /// instances are woken and call it again; those that are ready stay ready.
    ///
    /// ```
    /// # use sandtower_testkit::{Mock, Readiness};
    /// # let (_mock, handle) = Mock::<u64, u64>::always(7);
    /// handle.set_readiness(|_| Readiness::Pending);
    /// // ... and later, to let all calls through:
    /// handle.set_readiness(|_| Readiness::Ready);
    /// ```
    pub fn set_readiness(&self, script: impl FnMut(Instance) -> Readiness + Send + 'static) {
        *self.shared.readiness() = Box::new(script);
        self.last_look.ledger.new_edition();
    }

    /// From now on at most `limit` reservations exist, as with a semaphore: an instance takes one to become
    /// ready, and its call keeps it until it completes or is dropped. Others queue and are woken first come,
    /// first served. A reservation that leaks blocks the service.
    pub fn limit_reservations(&self, limit: usize) {
        self.last_look.ledger.limit(Some(limit));
    }
}

impl<Req, Res> Clone for Handle<Req, Res> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), last_look: Arc::clone(&self.last_look) }
    }
}

impl<Req, Res> fmt::Debug for Handle<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

/// Dropped with the last handle of a mock.
struct LastLook {
    ledger: Arc<Ledger>,
}

impl Drop for LastLook {
    fn drop(&mut self) {
        // A second panic would abort the test and hide the first.
        if std::thread::panicking() {
            return;
        }
        if let Some(violation) = self.ledger.unseen_violation() {
            panic!("{violation}");
        }
    }
}
