//! What callers see of the queue.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::{Operation, Rejection};

use crate::queue::Place;

/// Watches the position of one call: hand a clone to the layer with the request, by a [`Watch`], and
/// look at it while the call waits.
///
/// ```
/// use sandtower_admission::{Progress, CallState};
///
/// let progress = Progress::new();
/// assert!(matches!(progress.snapshot(), CallState::Idle));
/// ```
#[derive(Clone, Default)]
pub struct Progress {
    spot: Arc<Mutex<Spot>>,
}

#[derive(Clone, Default)]
enum Spot {
    #[default]
    Idle,
    Queued(Weak<dyn Queues>, Operation, Place),
    Admitted(Operation),
    Checking,
    Running,
}

/// What a call does at the moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallState {
    /// Not there yet, backing off, or done.
    Idle,
    /// In the queue.
    Queued(QueuePosition),
    /// Admitted: it has its slot, and its request for this operation is in flight.
    Admitted(Operation),
    /// What its response created is being checked: see [`Progress::checking`].
    Checking,
    /// Its response has begun and goes on, such as the output of a user's code: see
    /// [`Progress::running`].
    Running,
}

/// A position in a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueuePosition {
    /// How many calls are ahead, as the order is now.
    pub ahead: usize,
    /// Whether `ahead` is an estimate: calls of other tenants or classes wait as well, and how many of
    /// those go first depends on what comes.
    pub about: bool,
    /// How many calls wait, this one included.
    pub waiting: usize,
    /// The expected time until its turn, if known.
    pub wait: Option<Duration>,
    /// What the queue waits for: a gate's reason, or that all slots are in use.
    pub held_by: Option<Rejection>,
}

impl QueuePosition {
    /// A position in a queue of `waiting` calls, behind `ahead` others.
    pub fn new(
        ahead: usize,
        waiting: usize,
        wait: Option<Duration>,
        held_by: Option<Rejection>,
    ) -> Self {
        Self { ahead, about: false, waiting, wait, held_by }
    }

    /// Its number of calls ahead is an estimate.
    #[must_use]
    pub fn about(mut self) -> Self {
        self.about = true;
        self
    }
}

/// What a message to the user says.
impl std::fmt::Display for QueuePosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ahead {
            0 => f.write_str("next in the queue")?,
            ahead if self.about => write!(f, "about {ahead} ahead of you")?,
            ahead => write!(f, "{ahead} ahead of you")?,
        }
        if let Some(wait) = self.wait {
            write!(f, ", about {} s to go", wait.as_secs_f64().ceil())?;
        }
        match &self.held_by {
            Some(rejection) => write!(f, "; {rejection}"),
            None => Ok(()),
        }
    }
}

/// Finds the [`Progress`] that a request brought along.
#[diagnostic::on_unimplemented(
    message = "`{Self}` finds no `Progress` with a `{Req}`",
    label = "not a `Watch<{Req}>`",
    note = "`()` watches no call; `sandtower::stack::WatchExtension` reads the extensions of HTTP requests"
)]
pub trait Watch<Req: ?Sized> {
    /// `None`: this call is not watched.
    fn progress(&self, request: &Req) -> Option<Progress>;
}

/// Calls are not watched.
impl<Req: ?Sized> Watch<Req> for () {
    fn progress(&self, _request: &Req) -> Option<Progress> {
        None
    }
}

/// Admission control, whatever its gates.
pub(crate) trait Queues: Send + Sync {
    fn position(&self, operation: Operation, place: Place) -> Option<QueuePosition>;
}

impl Progress {
    /// A call that is not there yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the call is now. Takes time in proportion to the queue.
    pub fn snapshot(&self) -> CallState {
        // No lock of ours is held: admission control calls us under its own.
        let spot = self.lock().clone();
        match spot {
            Spot::Idle => CallState::Idle,
            Spot::Admitted(operation) => CallState::Admitted(operation),
            Spot::Checking => CallState::Checking,
            Spot::Running => CallState::Running,
            Spot::Queued(queues, operation, place) => {
                match queues.upgrade().and_then(|queues| queues.position(operation, place)) {
                    Some(position) => CallState::Queued(position),
                    None => CallState::Idle,
                }
            }
        }
    }

    /// Shows that what the call created is being checked, until [`checked`](Self::checked): for layers
    /// above admission control, which does not know of it.
    pub fn checking(&self) {
        *self.lock() = Spot::Checking;
    }

    /// Shows that the check is over, if one was shown.
    pub fn checked(&self) {
        let mut spot = self.lock();
        if matches!(*spot, Spot::Checking) {
            *spot = Spot::Idle;
        }
    }

    /// Shows that the response has begun and goes on. It shows so until the next call, since the end of
    /// a body is not seen.
    pub fn running(&self) {
        *self.lock() = Spot::Running;
    }

    /// A handle that does not keep it alive: a reader of it learns when the call, and all else that held
    /// it, is gone.
    pub fn downgrade(&self) -> WeakProgress {
        WeakProgress { spot: Arc::downgrade(&self.spot) }
    }

    pub(crate) fn joined(&self, queues: Weak<dyn Queues>, operation: Operation, place: Place) {
        *self.lock() = Spot::Queued(queues, operation, place);
    }

    pub(crate) fn left(&self) {
        *self.lock() = Spot::Idle;
    }

    fn lock(&self) -> MutexGuard<'_, Spot> {
        self.spot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that has its slot; drop it when the call is done.
#[derive(Debug, Default)]
pub(crate) struct Admitted(Option<Progress>);

/// A [`Progress`] that does not keep it alive.
#[derive(Clone)]
pub struct WeakProgress {
    spot: Weak<Mutex<Spot>>,
}

impl WeakProgress {
    /// The progress; `None`: nothing holds it any more.
    pub fn upgrade(&self) -> Option<Progress> {
        self.spot.upgrade().map(|spot| Progress { spot })
    }
}

impl std::fmt::Debug for WeakProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WeakProgress").field(&self.upgrade()).finish()
    }
}

impl Admitted {
    #[inline]
    pub(crate) fn new(progress: Option<Progress>, operation: Operation) -> Self {
        if let Some(progress) = &progress {
            *progress.lock() = Spot::Admitted(operation);
        }
        Self(progress)
    }
}

impl Drop for Admitted {
    #[inline]
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            let mut spot = progress.lock();
            // A layer above may show by now what comes next.
            if matches!(*spot, Spot::Admitted(_)) {
                *spot = Spot::Idle;
            }
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Progress").field(&self.snapshot()).finish()
    }
}
