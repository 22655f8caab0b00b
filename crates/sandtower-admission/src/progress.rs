//! Progress of a call, for its caller.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::{Operation, Rejection};

use crate::queue::Place;

/// Reports the progress of one call, such as its queue position. Attach a clone to the request, where a
/// [`Watch`] finds it, and read this one while the call waits.
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

/// The current state of a call.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallState {
    /// Not started, backing off, or done.
    Idle,
    /// In the queue.
    Queued(QueuePosition),
    /// Admitted: the call has a slot, and its request for this operation is in flight.
    Admitted(Operation),
    /// What the call created is being health-checked: see [`Progress::checking`].
    Checking,
    /// The response has begun and is still streaming, such as the output of a user's code: see
    /// [`Progress::running`].
    Running,
}

/// A position in a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueuePosition {
    /// Number of calls ahead in the current order.
    pub ahead: usize,
    /// Whether `ahead` is an estimate: calls of other tenants or classes are queued too, and how many of
    /// them go first depends on calls still to come.
    pub about: bool,
    /// Number of queued calls, including this one.
    pub waiting: usize,
    /// Expected time until the call is admitted, if known.
    pub wait: Option<Duration>,
    /// What the queue waits for: the reason of a gate, or that all slots are in use.
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

    /// Marks `ahead` as an estimate.
    #[must_use]
    pub fn about(mut self) -> Self {
        self.about = true;
        self
    }
}

/// The text for a message to the user.
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

/// Finds the [`Progress`] of a request.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not find the `Progress` of a `{Req}`",
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
    /// The progress of a call that has not started.
    pub fn new() -> Self {
        Self::default()
    }

    /// The current state of the call. Takes time proportional to the length of the queue.
    pub fn snapshot(&self) -> CallState {
        // Must not hold the lock of this progress: admission control calls it under its own lock.
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

    /// Reports that what the call created is being health-checked, until [`checked`](Self::checked). For
    /// layers above admission control.
    pub fn checking(&self) {
        *self.lock() = Spot::Checking;
    }

    /// Reports that the health check is over, if one was reported.
    pub fn checked(&self) {
        let mut spot = self.lock();
        if matches!(*spot, Spot::Checking) {
            *spot = Spot::Idle;
        }
    }

    /// Reports that the response is streaming. The state stays until the next call, since the end of a
    /// body is not observed.
    pub fn running(&self) {
        *self.lock() = Spot::Running;
    }

    /// A weak handle. Its reader learns when the call and all other holders are gone.
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

/// Marks a call as admitted until dropped.
#[derive(Debug, Default)]
pub(crate) struct Admitted(Option<Progress>);

/// A weak handle to a [`Progress`].
#[derive(Clone)]
pub struct WeakProgress {
    spot: Weak<Mutex<Spot>>,
}

impl WeakProgress {
    /// The progress; `None` once no holder is left.
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
            // A layer above may have reported the next state already.
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
