//! Records where the time of a call goes.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use sandtower_core::Tick;

use crate::data::{Part, Spent};

/// Records what one call spends its time on. Clones share the record.
///
/// Layers find the record of the current call by [`Timeline::current`], within the future that
/// [`Timeline::of`] wraps. A task of its own, such as a cleanup, finds none.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    notes: Arc<Mutex<Vec<(Tick, Part)>>>,
}

/// The most entries of one call: endless retries must not fill the memory.
const MOST: usize = 10_000;

tokio::task_local! {
    static CURRENT: Timeline;
}

impl Timeline {
    /// Records for `call` while it is polled.
    pub fn of<F: Future>(&self, call: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), call)
    }

    /// The record of the current call.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// From now on, time counts for `part`.
    pub fn spend(&self, part: Part) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MOST && notes.last().is_none_or(|(_, last)| *last != part) {
            notes.push((Tick::now(), part));
        }
    }

    /// The time by kind of work, in order, of a call that ended at `end`.
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

/// Records for the current call, if it belongs to a load test.
pub fn spend(part: Part) {
    if let Some(timeline) = Timeline::current() {
        timeline.spend(part);
    }
}
