use std::time::Duration;

/// Why a configuration is invalid.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number that has to be at least 1 is 0.
    #[error("`{setting}` must be at least 1: with 0 {because}")]
    Zero {
        /// Which.
        setting: &'static str,
        /// What would come of it.
        because: &'static str,
    },
    /// A time is zero, or so long that the service would in effect never be tried again.
    #[error("`{setting}` must be greater than zero and at most 24 h, not {value:?}")]
    Time {
        /// Which.
        setting: &'static str,
        /// What it was set to.
        value: Duration,
    },
    /// The first open time is longer than the longest.
    #[error("the first open time must be at most the longest, not {first:?} before {most:?}")]
    Backwards {
        /// The first.
        first: Duration,
        /// The longest.
        most: Duration,
    },
    /// The shares of failures on a good day and in an outage are out of bounds, or too close.
    #[error(
        "the shares of failures on a good day and in an outage must be between 0.001 and 0.999, \
         the second greater by at least 0.05, not {good_day} and {outage}"
    )]
    Shares {
        /// On a good day.
        good_day: f64,
        /// In an outage.
        outage: f64,
    },
    /// The evidence that opens it is not between 1 and 1,000 nats.
    #[error("`threshold` must be between 1 and 1,000 nats, such as 11, not {threshold}")]
    Threshold {
        /// What it was set to.
        threshold: f64,
    },
}
