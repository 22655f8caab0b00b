use std::num::NonZeroU32;
use std::time::Duration;

use sandtower_core::Backoff;

use crate::budget::Budget;

/// What to do with a call that the service throttled or had no slot for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenThrottled {
    /// Throttled: sleep, then try again, as an attempt like any other. Out of slots: end the call,
    /// since time does not cure it. For a retry that stands alone.
    #[default]
    Sleep,
    /// Send it again at once: a waiting room below, whose gates have just learned of it, holds the
    /// call until its time. Counts as no attempt, and ends with the call's deadline, or when calls
    /// come back so soon that nothing below can have held them: a throttled one the 11th time, one
    /// that waits for a slot when it came back more than 10 times and once more for each 10 s.
    WaitBelow,
}

/// When and how often a call is retried.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::Backoff;
/// use sandtower_retry::Config;
///
/// let config = Config::recommended()
///     .transient(Backoff::exponential(Duration::from_millis(100), Duration::from_secs(2)));
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) attempts: u32,
    pub(crate) transient: Backoff,
    pub(crate) throttled: Backoff,
    pub(crate) unknown: Backoff,
    pub(crate) longest_retry_after: Duration,
    pub(crate) when_throttled: WhenThrottled,
    pub(crate) budget: Option<Budget>,
}

impl Config {
    /// 4 attempts, full jitter over 0.25 s doubling to 8 s; throttled calls wait as long as the
    /// service says, or 1 s doubling to 30 s. Retries are paid from [`Budget::recommended`].
    pub fn recommended() -> Self {
        let quick =
            Backoff::exponential(Duration::from_millis(250), Duration::from_secs(8)).full_jitter();
        Self {
            attempts: 4,
            transient: quick,
            throttled: Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30)),
            unknown: quick,
            longest_retry_after: Duration::from_secs(60),
            when_throttled: WhenThrottled::Sleep,
            budget: Some(Budget::recommended()),
        }
    }

    /// The numbers of the application that this crate was first made for: 3 retries after 1, 2 and
    /// 4 s (at most 10 s); 30 s after a rate limit; 2, 4 and 8 s (at most 15 s) after the unknown. The
    /// budget is ours.
    pub fn classic() -> Self {
        Self {
            transient: Backoff::exponential(Duration::from_secs(1), Duration::from_secs(10)),
            throttled: Backoff::constant(Duration::from_secs(30)),
            unknown: Backoff::exponential(Duration::from_secs(2), Duration::from_secs(15)),
            ..Self::recommended()
        }
    }

    /// Attempts of one call, the first included.
    #[must_use]
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.attempts = attempts.get();
        self
    }

    /// Waits after transient failures.
    #[must_use]
    pub fn transient(mut self, backoff: Backoff) -> Self {
        self.transient = backoff;
        self
    }

    /// Waits after being throttled by a service that does not say how long.
    #[must_use]
    pub fn throttled(mut self, backoff: Backoff) -> Self {
        self.throttled = backoff;
        self
    }

    /// Waits after failures of which nothing is known.
    #[must_use]
    pub fn unknown(mut self, backoff: Backoff) -> Self {
        self.unknown = backoff;
        self
    }

    /// The longest wait that a service may ask for; one that asks for more ends the call.
    #[must_use]
    pub fn longest_retry_after(mut self, longest: Duration) -> Self {
        self.longest_retry_after = longest;
        self
    }

    /// What retries are paid from; `None`: nothing limits them but the number of attempts. Give
    /// several layers clones of one budget, and they share it.
    #[must_use]
    pub fn budget(mut self, budget: Option<Budget>) -> Self {
        self.budget = budget;
        self
    }

    /// What to do with throttled calls.
    #[must_use]
    pub fn when_throttled(mut self, when: WhenThrottled) -> Self {
        self.when_throttled = when;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::recommended()
    }
}
