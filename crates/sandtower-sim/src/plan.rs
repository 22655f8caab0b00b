//! What a team has paid for: its limits.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use crate::error::InvalidConfig;

/// A plan of E2B's. [`Plan::limits`] are its published numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// One creation a second, 20 sandboxes at a time, an hour each.
    #[default]
    Hobby,
    /// Five creations a second, 100 sandboxes at a time, a day each.
    Pro,
}

impl Plan {
    /// The limits of a team on this plan.
    ///
    /// The bursts are not published; they are five seconds' worth of creations.
    #[must_use]
    pub fn limits(self) -> Limits {
        let (create_per_second, concurrent, hours) = match self {
            Self::Hobby => (1, 20, 1),
            Self::Pro => (5, 100, 24),
        };
        Limits {
            create: Rate::new(Duration::from_secs(1) / create_per_second, create_per_second * 5),
            manage: Rate::new(Duration::from_micros(1_500), 20_000),
            concurrent_sandboxes: concurrent,
            max_lifetime: Duration::from_secs(hours * 3600),
        }
    }
}

impl FromStr for Plan {
    type Err = InvalidConfig;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "hobby" => Ok(Self::Hobby),
            "pro" => Ok(Self::Pro),
            _ => Err(InvalidConfig::new("no such plan; there are hobby and pro")),
        }
    }
}

/// What one team may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How often sandboxes may be created.
    pub create: Rate,
    /// How often each other route may be called.
    pub manage: Rate,
    /// Sandboxes at a time, those being created included.
    pub concurrent_sandboxes: u32,
    /// The longest that a sandbox may live.
    pub max_lifetime: Duration,
}

/// A rate that allows bursts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time between two requests at the sustained rate.
    pub interval: Duration,
    /// Requests that may come at once after a silence.
    pub burst: NonZeroU32,
}

impl Rate {
    /// One request an `interval`, and `burst` at once; a burst of 0 is 1: nothing would ever pass.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN) }
    }
}
