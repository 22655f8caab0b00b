use std::{collections::VecDeque, time::Duration};

use sandtower_core::{Outcome, Tick};
use serde::Serialize;

use crate::{
    State,
    snapshot::{label, millis, optional_millis},
};

/// A breaker's move from one state to another.
///
/// Serializes flat and in milliseconds, like a [`Snapshot`](crate::Snapshot).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Transition {
    /// Which: a breaker's first has number 1, and none is left out.
    pub number: u64,
    /// When.
    #[serde(skip)]
    pub at: Tick,
    /// How long ago that was when this was read.
    #[serde(rename = "ago_ms", serialize_with = "millis")]
    pub ago: Duration,
    /// Where it stood before.
    pub from: State,
    /// Where it stood afterwards; the same as before if an operator said so.
    pub to: State,
    /// Whether an operator put it there and it stays until released.
    pub forced: bool,
    /// How many calls had failed since the service was last known to be well.
    pub failed: u32,
    /// Out of how many.
    pub of: u32,
    /// What had last counted against the service.
    #[serde(serialize_with = "label")]
    pub cause: Option<Outcome>,
    /// How long it would reject from then on; `None` if it would not, or nobody knew.
    #[serde(rename = "retry_in_ms", serialize_with = "optional_millis")]
    pub retry_in: Option<Duration>,
}

impl Transition {
    pub(crate) fn read_at(self, now: Tick) -> Self {
        Self { ago: now.since(self.at), ..self }
    }
}

/// The last transitions, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// How many there have ever been.
    count: u64,
    kept: VecDeque<Transition>,
}

impl History {
    /// Enough for five minutes of a service that stays down.
    pub(crate) const KEPT: usize = 64;

    /// Keeps `moved`, under the next number.
    pub(crate) fn push(&mut self, moved: Transition) -> Transition {
        if self.kept.len() == Self::KEPT {
            self.kept.pop_front();
        }
        self.count += 1;
        let moved = Transition { number: self.count, ..moved };
        self.kept.push_back(moved);
        moved
    }

    /// How many there have ever been.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Those that are still kept, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Transition> {
        self.kept.iter()
    }

    /// The first that is still kept of those after number `seen`.
    pub(crate) fn after(&self, seen: u64) -> Option<&Transition> {
        let oldest = self.kept.front()?.number;
        let index = (seen + 1).saturating_sub(oldest);
        self.kept.get(usize::try_from(index).ok()?)
    }
}
