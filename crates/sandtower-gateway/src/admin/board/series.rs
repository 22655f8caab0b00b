use std::collections::VecDeque;

use serde::Serialize;

use super::rows::Totals;

/// One hour, one point in 5 s.
const POINTS: usize = 720;

/// The last hour of the gateway as a whole.
#[derive(Default)]
pub(super) struct Series {
    points: VecDeque<Point>,
    before: Option<Counts>,
}

/// Five seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(in crate::admin) struct Point {
    pub(in crate::admin) in_flight: f32,
    pub(in crate::admin) waiting: f32,
    pub(in crate::admin) sandboxes: f32,
    pub(in crate::admin) breakers_not_closed: f32,
    /// What was counted within these seconds.
    pub(in crate::admin) admitted: f32,
    pub(in crate::admin) rejected: f32,
    pub(in crate::admin) creations_started: f32,
    pub(in crate::admin) creations_succeeded: f32,
    pub(in crate::admin) creations_failed: f32,
    pub(in crate::admin) pool_hits: f32,
    pub(in crate::admin) pool_misses: f32,
    pub(in crate::admin) warm_idle: f32,
    pub(in crate::admin) warm_target: f32,
}

#[derive(Clone, Copy)]
struct Counts([u64; 7]);

impl Series {
    pub(super) fn push(&mut self, totals: &Totals) {
        let now = Counts([
            totals.admitted,
            totals.rejected,
            totals.creations_started,
            totals.creations_succeeded,
            totals.creations_failed,
            totals.pool_hits,
            totals.pool_misses,
        ]);
        let before = self.before.replace(now).unwrap_or(now);
        // A stack that is gone takes its counts along.
        let grown = |at: usize| now.0[at].saturating_sub(before.0[at]) as f32;
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            in_flight: totals.in_flight as f32,
            waiting: totals.waiting as f32,
            sandboxes: totals.sandboxes as f32,
            breakers_not_closed: totals.breakers_not_closed as f32,
            admitted: grown(0),
            rejected: grown(1),
            creations_started: grown(2),
            creations_succeeded: grown(3),
            creations_failed: grown(4),
            pool_hits: grown(5),
            pool_misses: grown(6),
            warm_idle: totals.warm_idle as f32,
            warm_target: totals.warm_target as f32,
        });
    }

    /// The oldest first.
    pub(super) fn points(&self) -> Vec<Point> {
        self.points.iter().copied().collect()
    }

    /// Creations that were started and that failed within the last `points`.
    pub(super) fn creations(&self, points: usize) -> (f32, f32) {
        let last = self.points.iter().rev().take(points);
        last.fold((0.0, 0.0), |(started, failed), point| {
            (started + point.creations_started, failed + point.creations_failed)
        })
    }
}
