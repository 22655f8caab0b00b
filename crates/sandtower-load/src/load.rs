//! The load on a service.

use std::time::Duration;

/// How calls arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Arrivals {
    /// A closed loop: each user starts its next call when its last one has ended.
    Closed {
        /// The number of users, all from the start.
        users: u32,
    },
    /// An open loop at an even rate, whatever happens to the calls.
    Even {
        /// The interval between arrivals.
        every: Duration,
    },
    /// An open loop of calls that arrive independently of each other.
    Poisson {
        /// The mean interval between arrivals.
        every: Duration,
    },
}

/// When no more calls start. Calls in flight are awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// After so many calls: of each user in a closed loop, of all in an open one.
    Calls(u64),
    /// After this time.
    Time(Duration),
}

/// A load: how calls arrive, and for how long. [`drive`](crate::drive) puts it on a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    pub(crate) arrivals: Arrivals,
    pub(crate) until: Until,
    pub(crate) max_in_flight: usize,
    pub(crate) seed: u64,
}

/// Calls in flight before arrivals are dropped: what a small machine can hold.
const MAX_IN_FLIGHT: usize = 10_000;

impl Load {
    /// A load with at most 10,000 calls in flight, and seed 0.
    ///
    /// # Errors
    ///
    /// There are no users, no calls, or no time.
    pub fn new(arrivals: Arrivals, until: Until) -> Result<Self, InvalidLoad> {
        let pace = match arrivals {
            Arrivals::Closed { users: 0 } => return Err(InvalidLoad::Nothing("users")),
            Arrivals::Closed { .. } => None,
            Arrivals::Even { every } | Arrivals::Poisson { every } => Some(every),
        };
        if pace == Some(Duration::ZERO) {
            return Err(InvalidLoad::Rate(f64::INFINITY));
        }
        match until {
            Until::Calls(0) => Err(InvalidLoad::Nothing("calls")),
            Until::Time(Duration::ZERO) => Err(InvalidLoad::Nothing("seconds")),
            _ => Ok(Self { arrivals, until, max_in_flight: MAX_IN_FLIGHT, seed: 0 }),
        }
    }

    /// The seed of random arrivals.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Drops arrivals while this many calls are in flight; with 0 all are dropped.
    #[must_use]
    pub fn max_in_flight(self, calls: usize) -> Self {
        Self { max_in_flight: calls, ..self }
    }
}

impl Arrivals {
    /// An open loop with this many calls per second, evenly spaced.
    ///
    /// # Errors
    ///
    /// The rate is not above 0 and at most a million.
    pub fn even(per_second: f64) -> Result<Self, InvalidLoad> {
        Ok(Self::Even { every: gap(per_second)? })
    }

    /// An open loop with this many calls per second on average, independent of each other.
    ///
    /// # Errors
    ///
    /// The rate is not above 0 and at most a million.
    pub fn poisson(per_second: f64) -> Result<Self, InvalidLoad> {
        Ok(Self::Poisson { every: gap(per_second)? })
    }
}

fn gap(per_second: f64) -> Result<Duration, InvalidLoad> {
    let is_rate = per_second > 0.0 && per_second <= 1e6;
    let gap = Duration::try_from_secs_f64(1.0 / per_second).ok().filter(|_| is_rate);
    gap.ok_or(InvalidLoad::Rate(per_second))
}

/// An invalid load.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLoad {
    /// A number is zero.
    #[error("a load of 0 {0}; use 1 or more")]
    Nothing(&'static str),
    /// The rate is out of range.
    #[error("a rate of {0} calls a second; use more than 0 and at most 1,000,000")]
    Rate(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_an_invalid_load_says_what_would_be_valid() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e7, 1e-300] {
            assert!(Arrivals::even(rate).is_err(), "{rate}");
        }
        let rejected = Arrivals::poisson(0.0).unwrap_err().to_string();
        assert_eq!(rejected, "a rate of 0 calls a second; use more than 0 and at most 1,000,000");
        let no_users = Load::new(Arrivals::Closed { users: 0 }, Until::Calls(1)).unwrap_err();
        assert_eq!(no_users.to_string(), "a load of 0 users; use 1 or more");
        let still = Arrivals::Even { every: Duration::ZERO };
        assert!(Load::new(still, Until::Calls(1)).is_err());
        let one = Arrivals::Closed { users: 1 };
        assert!(Load::new(one, Until::Calls(0)).is_err());
        assert!(Load::new(one, Until::Time(Duration::ZERO)).is_err());
    }
}
