//! Where the time of a call goes, noted on the way.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use sandtower_core::Tick;

use crate::data::{Part, Spent};

/// Notes of one call on what it spends its time. A clone writes into the same notes.
///
/// Layers find the notes of the call that they work for by [`Timeline::current`]: within the future
/// that [`Timeline::of`] wraps. What runs in a task of its own, such as a clean-up, finds none.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    notes: Arc<Mutex<Vec<(Tick, Part)>>>,
}

/// What one call keeps at most: a call that retries without end shall not fill the memory.
const MOST: usize = 10_000;

tokio::task_local! {
    static CURRENT: Timeline;
}

impl Timeline {
    /// Notes about `call` while it is polled.
    pub fn of<F: Future>(&self, call: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), call)
    }

    /// The notes of the call that this runs for.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// From now on, time goes into `part`.
    pub fn spend(&self, part: Part) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MOST && notes.last().is_none_or(|(_, last)| *last != part) {
            notes.push((Tick::now(), part));
        }
    }

    /// What the time went into, in order, of a call that was over at `end`.
    pub fn spent(&self, end: Tick) -> Vec<Spent> {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = notes.iter().skip(1).map(|(at, _)| *at).chain([end]);
        let spent = notes
            .iter()
            .zip(ends)
            .map(|(&(from, what), to)| Spent { what, ms: to.since(from).as_secs_f64() * 1e3 });
        spent.filter(|spent| spent.ms > 0.0).collect()
    }
}

/// Notes for the call that this runs for, if it is one of a load test.
pub fn spend(part: Part) {
    if let Some(timeline) = Timeline::current() {
        timeline.spend(part);
    }
}
