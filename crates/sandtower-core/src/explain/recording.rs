//! How layers report what the call at hand does.
//!
//! Whoever wants a call explained holds a [`Recording`] and [enters](Recording::enter) it whenever it
//! polls the call. What layers below report meanwhile, on the same thread, goes there. Without a
//! recording, a report costs a look at a thread-local, and a layer reports only when something other
//! than the plain way happens: a wait, a retry, a check.
//!
//! A layer that moves calls to another task, such as tower's `Buffer`, hides what is below it.

use std::cell::Cell;

use super::explanation::Explanation;
use super::stage::{CallStage, StageKind};
use super::timeline::Timeline;
use crate::{Outcome, Rejection, Tick};

pub use super::timeline::Ended;

thread_local! {
    static CURRENT: Cell<Option<Timeline>> = const { Cell::new(None) };
}

/// Records what one call does.
#[derive(Debug)]
pub struct Recording(Option<Timeline>);

/// While it is there, reports go to its recording. Made by [`Recording::enter`].
#[derive(Debug)]
#[must_use = "reports go to the recording only while this is there"]
pub struct Entered<'a> {
    recording: &'a mut Recording,
    outer: Option<Timeline>,
}

impl Recording {
    /// Of a call that begins at `now`.
    #[inline]
    pub fn begin(now: Tick) -> Self {
        Self(Some(Timeline::new(now)))
    }

    /// Reports of layers go here until the guard is dropped, then where they went before.
    #[inline]
    pub fn enter(&mut self) -> Entered<'_> {
        let outer = replace(self.0.take());
        Entered { recording: self, outer }
    }

    /// The call has ended. A recording around this one learns what this one recorded. `None`: it was
    /// ended before.
    pub fn end(&mut self, ended: Ended, why: Option<&Rejection>, now: Tick) -> Option<Explanation> {
        let (began, explanation) = self.0.take()?.end(ended, why, now);
        with(|timeline| timeline.absorb(began, &explanation, now));
        Some(explanation)
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.recording.0 = replace(self.outer.take());
    }
}

#[inline]
fn replace(timeline: Option<Timeline>) -> Option<Timeline> {
    // Where the thread is ending there is no recording any more.
    CURRENT.try_with(|current| current.replace(timeline)).ok().flatten()
}

fn with<T>(report: impl FnOnce(&mut Timeline) -> T) -> Option<T> {
    let mut timeline = replace(None)?;
    let result = report(&mut timeline);
    replace(Some(timeline));
    Some(result)
}

/// Whether the call at hand is recorded. A layer that would have to read the clock for a report asks
/// first.
pub fn is_on() -> bool {
    with(|_| ()).is_some()
}

/// The call joined a queue at `now`.
pub fn joined_queue(now: Tick) {
    with(|timeline| timeline.joined_queue(now));
}

/// From `now` on the call is tried from the warm pool. If that fails, the [`attempt`] that follows says so.
pub fn pooled(now: Tick) {
    with(|timeline| timeline.pooled(now));
}

/// The call waits in its queue, for this reason.
pub fn held_by(why: &Rejection) {
    with(|timeline| timeline.held_by(why));
}

/// The call left its queue at `now`: its attempt begins, or it is rejected.
pub fn left_queue(now: Tick) {
    with(|timeline| timeline.left_queue(now));
}

/// The stage at hand failed, and the call goes on with `next`.
pub fn failed(outcome: Outcome, status: Option<u16>, next: StageKind, now: Tick) {
    with(|timeline| timeline.next(Some(Ended { outcome, status }), next, now));
}

/// The attempt succeeded, and the call goes on with `next`, such as a health check.
pub fn succeeded(next: StageKind, now: Tick) {
    let ended = Ended { outcome: Outcome::Success, status: None };
    with(|timeline| timeline.next(Some(ended), next, now));
}

/// The attempt of this number begins. Not reported for the first.
pub fn attempt(number: u32, now: Tick) {
    with(|timeline| timeline.attempt(number, now));
}

/// The queue that the attempt that begins now has just left, if it was in one.
pub fn last_queue() -> Option<CallStage> {
    with(|timeline| timeline.last_queue()).flatten()
}
