use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The limits of a team at E2B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Plan {
    /// One creation per second, 20 concurrent sandboxes, as published: the smallest plan.
    #[default]
    Hobby,
    /// Five creations per second, 100 concurrent sandboxes, as published.
    Pro,
    /// Custom limits.
    #[serde(skip)]
    Custom {
        /// The interval between creations; more than zero.
        create_every: Duration,
        /// Concurrent sandboxes.
        sandboxes: NonZeroU32,
        /// Concurrent creations.
        concurrent_creates: NonZeroU32,
    },
}

impl Plan {
    /// The interval between creations.
    pub const fn create_every(self) -> Duration {
        match self {
            Self::Hobby => Duration::from_secs(1),
            Self::Pro => Duration::from_millis(200),
            Self::Custom { create_every, .. } => create_every,
        }
    }

    /// The limit on concurrent sandboxes until the service reports its own.
    pub const fn sandboxes(self) -> u32 {
        match self {
            Self::Hobby => 20,
            Self::Pro => 100,
            Self::Custom { sandboxes, .. } => sandboxes.get(),
        }
    }

    /// The longest that a sandbox may live: an hour on the smallest plan, a day on the others. Of custom
    /// limits it is not known, so an hour is assumed.
    pub const fn max_lifetime(self) -> Duration {
        match self {
            Self::Hobby | Self::Custom { .. } => Duration::from_secs(3_600),
            Self::Pro => Duration::from_secs(86_400),
        }
    }

    /// The most concurrent creations: as many as the pace allows if a creation takes two seconds. Below
    /// that the adaptive limit finds out how many the service can handle: more make an overloaded service
    /// slower, not faster.
    pub const fn concurrent_creates(self) -> u32 {
        match self {
            Self::Hobby => 2,
            Self::Pro => 10,
            Self::Custom { concurrent_creates, .. } => concurrent_creates.get(),
        }
    }
}
