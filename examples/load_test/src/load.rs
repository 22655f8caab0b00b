//! The size of the load.

use std::time::Duration;

use sandtower_load::{Arrivals, InvalidLoad, Until};

use super::app::Agent;

/// What arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// How queries arrive.
    pub shape: Shape,
    /// How long the code of one execution computes.
    pub computes: Duration,
    /// The most concurrent sandboxes; further executions wait in the application.
    pub sandboxes: usize,
}

/// How queries arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Users, each of which sends the next query when the last has ended. The agent of a query runs code
    /// twice, thinks in between, and tries again after a failure.
    Users {
        /// The number of users, all at once.
        users: u32,
        /// Queries of each.
        queries: u64,
        /// The most concurrent sandboxes of the application.
        warm: usize,
    },
    /// Queries at random, whatever happens to them; each runs code once.
    Rate {
        /// Queries per second.
        per_second: f64,
        /// For how long.
        lasting: Duration,
    },
}

/// Concurrent users: each is a task with its own counters.
pub(super) const MOST_USERS: u64 = 100_000;

/// Queries in flight in an open loop; further ones are dropped.
const MOST_IN_FLIGHT: usize = 1_000;

/// The load that took the application down.
impl Default for Load {
    fn default() -> Self {
        let shape = Shape::Users { users: 6, queries: 2, warm: 10 };
        Self { shape, computes: Duration::from_secs(4), sandboxes: usize::MAX }
    }
}

impl Load {
    pub(crate) fn generator(&self, seed: u64) -> Result<sandtower_load::Load, InvalidLoad> {
        let (arrivals, until) = match self.shape {
            Shape::Users { users, queries, .. } => {
                (Arrivals::Closed { users }, Until::Calls(queries))
            }
            Shape::Rate { per_second, lasting } => {
                (Arrivals::poisson(per_second)?, Until::Time(lasting))
            }
        };
        let load = sandtower_load::Load::new(arrivals, until)?;
        let most = match self.shape {
            Shape::Users { users, .. } => usize::try_from(users).unwrap_or(usize::MAX),
            Shape::Rate { .. } => MOST_IN_FLIGHT,
        };
        Ok(load.seed(seed).max_in_flight(most))
    }

    pub(crate) fn agent(&self) -> Agent {
        match self.shape {
            Shape::Users { .. } => Agent::Thoughtful,
            Shape::Rate { .. } => Agent::Plain,
        }
    }

    /// Concurrent executions.
    pub(crate) fn places(&self) -> usize {
        match self.shape {
            Shape::Users { warm, .. } => warm.min(self.sandboxes),
            Shape::Rate { .. } => MOST_IN_FLIGHT.min(self.sandboxes),
        }
    }

    /// The progress, by what has ended and the time; at most 1.
    pub(crate) fn progress(&self, ended: u64, at: Duration) -> f64 {
        let done = match self.shape {
            Shape::Users { users, queries, .. } => {
                ended as f64 / (f64::from(users) * queries as f64)
            }
            Shape::Rate { lasting, .. } => at.as_secs_f64() / lasting.as_secs_f64(),
        };
        done.min(1.0)
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.shape {
            Shape::Users { users, queries, warm } => {
                write!(f, "{users} users, {queries} queries each, at most {warm} warm sandboxes")
            }
            Shape::Rate { per_second, lasting } => {
                write!(f, "{per_second} queries a second for {} s", lasting.as_secs_f64())
            }
        }
    }
}
