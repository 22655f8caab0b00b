//! Cancels a future at every point where it can be cancelled.

use std::{convert::Infallible, fmt, future::Future, time::Duration};

use crate::drive::{Drive, Driven, Until, on_a_paused_clock, settle};

/// The longest virtual time that a future may take; a hanging future is cancelled while it hangs.
const LONGEST: Duration = Duration::from_secs(3600);

/// The number of polls after which a future counts as spinning.
const MOST_POLLS: u64 = 10_000;

/// The point at which a future was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cancelled {
    /// The number of polls before; 0: it was dropped unpolled.
    pub polls: u64,
    /// Whether it was dropped after another wake-up, instead of right after the poll. Whatever it was handed
    /// with that wake-up must reach another task.
    pub woken: bool,
    /// Whether it had finished before.
    pub finished: bool,
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { polls, .. } = self;
        match (self.finished, self.woken) {
            (true, _) => write!(f, "finished after {polls} polls"),
            (false, false) => write!(f, "cancelled after {polls} polls"),
            (false, true) => write!(f, "cancelled after {polls} polls, when it was woken again"),
        }
    }
}

/// Creates a future repeatedly, and drops it unpolled, after one poll, after two polls and so on until it
/// finishes; and each time once more, dropped only when it was woken for its next poll. `after` then checks
/// what is left.
///
/// `make` returns the future and whatever `after` needs for its check, such as the handle of a mock.
/// Everything runs on a new tokio runtime with a paused clock; a future is polled only when it was woken. A
/// future that hangs is cancelled as well: it counts as having no more polls. Returns how many polls the
/// future needs.
///
/// ```
/// use std::time::Duration;
/// use sandtower_testkit::{Reply, Mock, cancel_at_every_poll};
/// use tower::ServiceExt;
///
/// let polls = cancel_at_every_poll(
///     || {
///         let (mock, handle) =
///             Mock::new(|_: u64, _| Reply::ok(7).after(Duration::from_secs(1)));
///         (mock.oneshot(1), handle)
///     },
///     async |cancelled, handle| {
///         assert_eq!(handle.counts().in_flight, 0, "{cancelled}");
///     },
/// );
/// assert_eq!(polls, 2);
/// ```
///
/// # Panics
///
/// If the future spins, and if it is called within a runtime.
pub fn cancel_at_every_poll<F: Future, C>(
    make: impl FnMut() -> (F, C),
    mut after: impl AsyncFnMut(Cancelled, C),
) -> u64 {
    let check = async |cancelled, context| {
        after(cancelled, context).await;
        Ok::<(), Infallible>(())
    };
    match on_a_paused_clock(cancel_everywhere(make, check)) {
        Ok(polls) => polls,
        Err(Stop::Spinning(polls)) => {
            panic!("the future spins: it was polled {polls} times and did not finish")
        }
        Err(Stop::ClassifiedError(never)) => match never {},
    }
}

/// Why cancelling ended early.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// The future spins; it was polled this often.
    Spinning(u64),
    /// The check failed.
    ClassifiedError(E),
}

pub(crate) async fn cancel_everywhere<F: Future, C, E>(
    mut make: impl FnMut() -> (F, C),
    mut check: impl AsyncFnMut(Cancelled, C) -> Result<(), E>,
) -> Result<u64, Stop<E>> {
    for polls in 0..MOST_POLLS {
        for until in [Until::Polls(polls), Until::Woken(polls)] {
            let (future, context) = make();
            let mut driven = Driven::new(future);
            let drive = driven.run(until, LONGEST).await;
            let polled = driven.polls();
            drop(driven);
            settle().await;
            let (finished, woken) = match drive {
                Drive::Spinning => return Err(Stop::Spinning(polled)),
                Drive::Finished(_) => (true, false),
                Drive::CutWhenWoken => (false, true),
                Drive::Cut | Drive::Silent => (false, false),
            };
            let hangs = matches!(drive, Drive::Silent);
            // A finished output is dropped before the check too: it may hold something.
            drop(drive);
            let cancelled = Cancelled { polls: polled, woken, finished };
            check(cancelled, context).await.map_err(Stop::ClassifiedError)?;
            if finished || hangs {
                return Ok(polled);
            }
        }
    }
    Err(Stop::Spinning(MOST_POLLS))
}
