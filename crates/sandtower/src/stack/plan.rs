use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a team may do at E2B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Plan {
    /// One creation a second, 20 sandboxes at once, as published: what every team may do.
    #[default]
    Hobby,
    /// Five creations a second, 100 sandboxes at once, as published.
    Pro,
    /// Numbers of one's own.
    #[serde(skip)]
    Custom {
        /// The time from one creation to the next; more than zero.
        create_every: Duration,
        /// Sandboxes that may exist at once.
        sandboxes: NonZeroU32,
        /// Creations in flight at once.
        concurrent_creates: NonZeroU32,
    },
}

impl Plan {
    /// The time from one creation to the next.
    pub const fn create_every(self) -> Duration {
        match self {
            Self::Hobby => Duration::from_secs(1),
            Self::Pro => Duration::from_millis(200),
            Self::Custom { create_every, .. } => create_every,
        }
    }

    /// Sandboxes that may exist at once. The word of the service counts: this is for before it said
    /// anything.
    pub const fn sandboxes(self) -> u32 {
        match self {
            Self::Hobby => 20,
            Self::Pro => 100,
            Self::Custom { sandboxes, .. } => sandboxes.get(),
        }
    }

    /// The most creations in flight at once: as many as the pace keeps busy when a creation takes two
    /// seconds. How many the service really bears is found out below that, one at a time: more of them
    /// make an overloaded service slower, not faster.
    pub const fn concurrent_creates(self) -> u32 {
        match self {
            Self::Hobby => 2,
            Self::Pro => 10,
            Self::Custom { concurrent_creates, .. } => concurrent_creates.get(),
        }
    }
}
