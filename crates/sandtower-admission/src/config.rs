use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::Operation;
use sandtower_core::settings::{Time, duration};
use serde::{Deserialize, Serialize};

use crate::limiter::Limit;
use crate::queue::Order;

/// How admission control is configured.
///
/// What is set for one operation is kept by its [name](Operation::name).
///
/// ```
/// use sandtower_admission::Config;
/// use sandtower_core::Operation;
///
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// let config = Config::new("E2B").concurrency(64).concurrency_for(CREATE, 2).queue(1_000);
/// # let _ = config;
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(skip)]
    pub(crate) name: Arc<str>,
    pub(crate) concurrency: Limit,
    pub(crate) concurrency_for: BTreeMap<String, Limit>,
    pub(crate) queue: u32,
    #[serde(with = "duration")]
    newest_first_after: Duration,
    newest_first_after_for: BTreeMap<String, Time>,
    #[serde(with = "duration")]
    longest_wait: Duration,
    admit_during_shutdown: BTreeSet<String>,
    pub(crate) slots_to_the_end: bool,
    pub(crate) hold_through_outage: bool,
}

impl Config {
    /// 64 calls in flight and 1,024 in the queue per operation. `name` appears in rejections and
    /// logs.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            concurrency: Limit::Fixed(64),
            concurrency_for: BTreeMap::new(),
            queue: 1_024,
            newest_first_after: Duration::from_secs(1),
            newest_first_after_for: BTreeMap::new(),
            longest_wait: Duration::from_secs(120),
            admit_during_shutdown: BTreeSet::new(),
            slots_to_the_end: false,
            hold_through_outage: false,
        }
    }

    /// Calls in flight at once, per operation: a number, [`Adaptive`](crate::Adaptive) or
    /// [`Stepwise`](crate::Stepwise).
    #[must_use]
    pub fn concurrency(mut self, limit: impl Into<Limit>) -> Self {
        self.concurrency = limit.into();
        self
    }

    /// Calls in flight at once for one operation.
    #[must_use]
    pub fn concurrency_for(mut self, operation: Operation, limit: impl Into<Limit>) -> Self {
        self.concurrency_for.insert(operation.name().to_owned(), limit.into());
        self
    }

    /// Calls that may wait, per operation; those beyond are rejected at once. 0: no call waits.
    #[must_use]
    pub fn queue(mut self, limit: u32) -> Self {
        self.queue = limit;
        self
    }

    /// How long calls may have been waiting before the newest goes first, until the queue is empty:
    /// 1 s by default. The calls at the front of a standing queue have waited for so long that their
    /// callers may have gone; served first, they would make all others wait as long.
    /// [`Duration::MAX`]: never.
    #[must_use]
    pub fn newest_first_after(mut self, time: Duration) -> Self {
        self.newest_first_after = time;
        self
    }

    /// The same for one operation: where callers wait for minutes, a queue of a second is short.
    #[must_use]
    pub fn newest_first_after_for(mut self, operation: Operation, time: Duration) -> Self {
        self.newest_first_after_for.insert(operation.name().to_owned(), Time(time));
        self
    }

    /// How long a call may wait where the [newest may go first](Self::newest_first_after): 2 min
    /// by default. Without this the oldest calls would wait for as long as the queue lasts.
    #[must_use]
    pub fn longest_wait(mut self, time: Duration) -> Self {
        self.longest_wait = time;
        self
    }

    /// Calls of `operation` clean up after others: they are admitted while admission control
    /// [shuts down](crate::AdmissionControl::begin_shutdown), which does not wait for them.
    #[must_use]
    pub fn admit_during_shutdown(mut self, operation: Operation) -> Self {
        self.admit_during_shutdown.insert(operation.name().to_owned());
        self
    }

    /// Whether a call whose response is a stream with an
    /// [end of its own](sandtower_core::ClassifyResponse::end_of_stream) keeps its slot until then. By
    /// default its slot is free once the head of the response has come. The gates are told how it
    /// ended either way, and a [drain](crate::AdmissionControl::drain) waits for the slots alone.
    #[must_use]
    pub fn slots_to_the_end(mut self, kept: bool) -> Self {
        self.slots_to_the_end = kept;
        self
    }

    /// Whether calls wait while a gate is closed and says until when, as an open circuit breaker does,
    /// instead of being rejected at once: off by default. A call waits until the gate may open, if its
    /// deadline allows it; no attempt is spent meanwhile. A gate that does not know when it opens, since
    /// an operator closed it, rejects calls either way.
    #[must_use]
    pub fn hold_through_outage(mut self, hold: bool) -> Self {
        self.hold_through_outage = hold;
        self
    }

    /// Takes the name from `base`: a file does not set it.
    #[must_use]
    pub fn inherit(self, base: &Self) -> Self {
        Self { name: Arc::clone(&base.name), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.concurrency.check("every operation")?;
        self.concurrency_for.iter().try_for_each(|(operation, limit)| limit.check(operation))
    }

    pub(crate) fn limit_of(&self, operation: Operation) -> Limit {
        self.concurrency_for.get(operation.name()).copied().unwrap_or(self.concurrency)
    }

    pub(crate) fn order(&self, operation: Operation) -> Order {
        let own = self.newest_first_after_for.get(operation.name());
        Order {
            newest_first_after: own.map_or(self.newest_first_after, |Time(time)| *time),
            longest_wait: self.longest_wait,
        }
    }

    /// Whether calls of the operation of this name are admitted during shutdown.
    pub(crate) fn cleans_up(&self, operation: &str) -> bool {
        self.admit_during_shutdown.contains(operation)
    }
}

/// A [`Config`] that cannot work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit of 0 calls in flight: nothing would ever be sent.
    #[error(
        "the concurrency for {operation} is 0, so that nothing could ever be sent; it must be at least 1"
    )]
    NoConcurrency {
        /// The operation it was given for.
        operation: String,
    },
    /// A tolerance under which every latency is too long.
    #[error(
        "the tolerance for {operation} is {tolerance}; it must be a number above 1, such as 1.5"
    )]
    Tolerance {
        /// The operation it was given for.
        operation: String,
        /// What it was.
        tolerance: f64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Adaptive, Stepwise};

    const READ: Operation = Operation::new(7, "read");
    const WRITE: Operation = Operation::new(8, "write");

    #[test]
    fn what_is_written_is_read_again_as_it_was_and_what_no_file_has_is_inherited() {
        for config in [
            Config::new("any"),
            Config::new("any")
                .concurrency(Adaptive::recommended().initial(3).ceiling(9).tolerance(1.7))
                .concurrency_for(READ, Stepwise::recommended().initial(2).ceiling(4))
                .concurrency_for(WRITE, 5)
                .newest_first_after(Duration::MAX)
                .newest_first_after_for(READ, Duration::from_nanos(1))
                .longest_wait(Duration::ZERO)
                .admit_during_shutdown(WRITE)
                .slots_to_the_end(true),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: Config = serde_json::from_str(&text).unwrap();
            let again = again.inherit(&config);
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }

    #[test]
    fn what_is_set_for_an_operation_is_found_by_its_name_and_the_last_call_wins() {
        let config = Config::new("any").concurrency(1).concurrency_for(READ, 2);
        let config = config.concurrency_for(READ, 3).newest_first_after_for(READ, Duration::MAX);
        let renumbered = Operation::new(200, "read");
        assert_eq!(config.limit_of(renumbered), Limit::Fixed(3));
        assert_eq!(config.order(renumbered).newest_first_after, Duration::MAX);
        assert_eq!(config.limit_of(WRITE), Limit::Fixed(1));
        assert_eq!(config.order(WRITE).newest_first_after, Duration::from_secs(1));
    }

    #[test]
    fn a_limit_is_a_number_or_says_how_it_is_found() {
        for (text, limit) in [
            ("5", Limit::Fixed(5)),
            (r#"{"adaptive": {}}"#, Adaptive::recommended().into()),
            (r#"{"stepwise": {"ceiling": 4}}"#, Stepwise::recommended().ceiling(4).into()),
        ] {
            assert_eq!(serde_json::from_str::<Limit>(text).unwrap(), limit);
        }
        for text in ["-1", r#""many""#, r#"{"fixed": 5}"#, r#"{"adaptive": {"floor": 2}}"#, "null"]
        {
            let told = serde_json::from_str::<Limit>(text).unwrap_err().to_string();
            assert!(told.contains("expected a number, `{ adaptive = {..} }`"), "{text}: {told}");
        }
    }
}
