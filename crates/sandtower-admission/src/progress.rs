//! What callers and operators see of the line.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::{Operation, Place, Rejection};

/// Watches the place of one call: hand a clone to the layer with the request, by a [`Watch`], and
/// look at it while the call waits.
///
/// ```
/// use sandtower_admission::{Progress, CallState};
///
/// let progress = Progress::new();
/// assert!(matches!(progress.look(), CallState::Idle));
/// ```
#[derive(Clone, Default)]
pub struct Progress {
    spot: Arc<Mutex<Spot>>,
}

#[derive(Clone, Default)]
enum Spot {
    #[default]
    Idle,
    Waiting(Weak<dyn Lines>, Operation, Place),
    Admitted,
}

/// Where a call is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallState {
    /// Not in the room: not there yet, backing off, or done.
    Idle,
    /// In line.
    Queued(QueuePosition),
    /// Let through: it has its slot.
    Admitted,
}

/// A place in line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QueuePosition {
    /// How many go before, as the order is now.
    pub ahead: usize,
    /// How many wait, this call included.
    pub waiting: usize,
    /// How long until its turn, as far as anyone knows.
    pub wait: Option<Duration>,
    /// What the line waits for: a gate's reason, or that all slots are in use.
    pub held_by: Option<Rejection>,
}

impl QueuePosition {
    /// A place in a line of `waiting`, behind `ahead` others.
    pub fn new(
        ahead: usize,
        waiting: usize,
        wait: Option<Duration>,
        held_by: Option<Rejection>,
    ) -> Self {
        Self { ahead, waiting, wait, held_by }
    }
}

/// What a message to the user says.
impl std::fmt::Display for QueuePosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ahead {
            0 => f.write_str("next in line")?,
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
pub trait Watch<Req: ?Sized> {
    /// `None`: nobody watches this one.
    fn progress(&self, request: &Req) -> Option<Progress>;
}

/// Nobody watches.
impl<Req: ?Sized> Watch<Req> for () {
    fn progress(&self, _request: &Req) -> Option<Progress> {
        None
    }
}

/// A room, whatever its gates.
pub(crate) trait Lines: Send + Sync {
    fn standing(&self, operation: Operation, place: Place) -> Option<QueuePosition>;
}

impl Progress {
    /// A call that is not there yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the call is now. Takes time in proportion to the line.
    pub fn look(&self) -> CallState {
        // The room is asked with no lock of ours held: it tells us things under its own.
        let spot = self.lock().clone();
        match spot {
            Spot::Idle => CallState::Idle,
            Spot::Admitted => CallState::Admitted,
            Spot::Waiting(lines, operation, place) => {
                match lines.upgrade().and_then(|lines| lines.standing(operation, place)) {
                    Some(standing) => CallState::Queued(standing),
                    None => CallState::Idle,
                }
            }
        }
    }

    pub(crate) fn joined(&self, lines: Weak<dyn Lines>, operation: Operation, place: Place) {
        *self.lock() = Spot::Waiting(lines, operation, place);
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
pub(crate) struct Inside(Option<Progress>);

impl Inside {
    #[inline]
    pub(crate) fn new(progress: Option<Progress>) -> Self {
        if let Some(progress) = &progress {
            *progress.lock() = Spot::Admitted;
        }
        Self(progress)
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.left();
        }
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Progress").field(&self.look()).finish()
    }
}
