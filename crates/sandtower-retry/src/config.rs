use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::settings::duration;
use sandtower_core::{Backoff, Operation, RequestInfo};
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::overrides::Overrides;

/// How to handle a call that the service throttled or had no slot for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhenThrottled {
    /// Throttled: sleep, then retry as for any other failure. Out of slots: end the call, since waiting
    /// does not help. For a retry that stands alone.
    #[default]
    Sleep,
    /// Send it again at once: the queue of admission control below, whose gates just learned of it, holds
    /// the call until it can be sent. Does not count as an attempt. Ends with the call's deadline, or when
    /// calls return so soon that nothing below can have held them: a throttled call the 11th time, one that
    /// waits for a slot when it returned more than 10 times plus once for each 10 s.
    Requeue,
}

/// When and how often a call is retried.
///
/// Every wait is randomised, so that callers that failed together do not retry together: a schedule
/// without jitter randomises the [last quarter](Backoff::jitter) of each wait.
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub(crate) attempts: NonZeroU32,
    #[serde(with = "duration")]
    max_elapsed: Duration,
    #[serde(with = "backoff")]
    pub(crate) transient: Backoff,
    #[serde(with = "backoff")]
    pub(crate) throttled: Backoff,
    #[serde(with = "backoff")]
    pub(crate) unknown: Backoff,
    #[serde(with = "duration")]
    pub(crate) longest_retry_after: Duration,
    pub(crate) when_throttled: WhenThrottled,
    #[serde(skip)]
    pub(crate) held_below: HeldBelow,
    #[serde(skip)]
    pub(crate) outage: HeldThroughOutage,
    pub(crate) budget: Option<Budget>,
    operations: BTreeMap<String, Overrides>,
}

impl Config {
    /// 4 attempts, full jitter over 0.25 s doubling to 8 s; throttled calls wait as long as the service
    /// asks, or about 1 s doubling to 30 s. Retries are paid from [`Budget::recommended`].
    pub fn recommended() -> Self {
        let quick =
            Backoff::exponential(Duration::from_millis(250), Duration::from_secs(8)).full_jitter();
        Self {
            attempts: NonZeroU32::MIN.saturating_add(3),
            max_elapsed: Duration::MAX,
            transient: quick,
            throttled: Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30)),
            unknown: quick,
            longest_retry_after: Duration::from_secs(60),
            when_throttled: WhenThrottled::Sleep,
            held_below: HeldBelow::default(),
            outage: HeldThroughOutage::default(),
            budget: Some(Budget::recommended()),
            operations: BTreeMap::new(),
        }
    }

    /// The widespread numbers: 3 retries after about 1, 2 and 4 s (at most 10 s); 30 s after a rate
    /// limit; 2, 4 and 8 s (at most 15 s) after unknown failures. The budget is that of
    /// [`recommended`](Self::recommended).
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
        self.attempts = attempts;
        self
    }

    /// The time after a call's arrival after which no retry begins; [`Duration::MAX`], the default: no
    /// limit but the call's deadline. An attempt that has begun is not ended: that is the work of a
    /// timeout.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = time;
        self
    }

    /// Retries calls of `operation` as `overrides` say; the last call for an operation wins. Kept by
    /// the operation's [name](Operation::name).
    #[must_use]
    pub fn operation(mut self, operation: Operation, overrides: Overrides) -> Self {
        self.operations.insert(operation.name().to_owned(), overrides);
        self
    }

    /// Waits after transient failures.
    #[must_use]
    pub fn transient(mut self, backoff: Backoff) -> Self {
        self.transient = backoff;
        self
    }

    /// Waits after being throttled without a `Retry-After`.
    #[must_use]
    pub fn throttled(mut self, backoff: Backoff) -> Self {
        self.throttled = backoff;
        self
    }

    /// Waits after unknown failures.
    #[must_use]
    pub fn unknown(mut self, backoff: Backoff) -> Self {
        self.unknown = backoff;
        self
    }

    /// The longest `Retry-After` that is obeyed; a longer one ends the call.
    #[must_use]
    pub fn longest_retry_after(mut self, longest: Duration) -> Self {
        self.longest_retry_after = longest;
        self
    }

    /// The budget of retries; `None`: only the number of attempts limits them. Layers with clones of one
    /// budget share it.
    #[must_use]
    pub fn budget(mut self, budget: Option<Budget>) -> Self {
        self.budget = budget;
        self
    }

    /// How to handle throttled calls.
    #[must_use]
    pub fn when_throttled(mut self, when: WhenThrottled) -> Self {
        self.when_throttled = when;
        self
    }

    /// [Requeues](WhenThrottled::Requeue) throttled calls only while `held` returns `true`, and has
    /// them sleep else: for a rate limit below that can be switched to shadow mode, in which it holds
    /// no call. Called for each throttled response. By default they are always requeued.
    #[must_use]
    pub fn requeue_while(mut self, held: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.held_below = HeldBelow(Some(Arc::new(held)));
        self
    }

    /// Sends a call that failed back to its place in the queue below, instead of having it sleep, while
    /// `held` returns `true` for it: while a circuit breaker below is open and the queue holds the call
    /// until it closes. It counts as no attempt and costs no budget, since nothing is sent meanwhile. What
    /// may be repeated, and until when, stays. By default no call is held.
    #[must_use]
    pub fn requeue_through_outage(
        mut self,
        held: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.outage = HeldThroughOutage(Some(Arc::new(held)));
        self
    }

    /// What differs for `operation`.
    pub(crate) fn of(&self, operation: Operation) -> Overrides {
        self.operations.get(operation.name()).copied().unwrap_or_default()
    }

    pub(crate) fn longest(&self, own: &Overrides) -> Duration {
        own.elapsed().unwrap_or(self.max_elapsed)
    }
}

/// Whether a queue below holds a call that was throttled.
#[derive(Clone, Default)]
pub(crate) struct HeldBelow(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl HeldBelow {
    pub(crate) fn is_held(&self) -> bool {
        self.0.as_ref().is_none_or(|held| held())
    }
}

impl fmt::Debug for HeldBelow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBelow").finish_non_exhaustive()
    }
}

type IsHeld = dyn Fn(&RequestInfo) -> bool + Send + Sync;

/// Whether a queue below holds a call that failed until the service recovers.
#[derive(Clone, Default)]
pub(crate) struct HeldThroughOutage(Option<Arc<IsHeld>>);

impl HeldThroughOutage {
    pub(crate) fn is_held(&self, info: &RequestInfo) -> bool {
        self.0.as_ref().is_some_and(|held| held(info))
    }
}

impl fmt::Debug for HeldThroughOutage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldThroughOutage").finish_non_exhaustive()
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::recommended()
    }
}

/// A schedule as a file has it.
pub(crate) mod backoff {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Backoff, Duration, duration};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[serde(with = "duration")]
        first: Duration,
        #[serde(with = "duration")]
        most: Duration,
        /// Randomises all of each wait, and not only its last quarter.
        #[serde(default)]
        jitter: bool,
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Backoff, D::Error> {
        let Form { first, most, jitter } = Form::deserialize(from)?;
        if first > most {
            let why = format!("`first` is {first:?}; it must be at most `most`, {most:?}");
            return Err(D::Error::custom(why));
        }
        let backoff = match first == most {
            true => Backoff::constant(first),
            false => Backoff::exponential(first, most),
        };
        Ok(if jitter { backoff.full_jitter() } else { backoff })
    }

    pub(crate) fn serialize<S: Serializer>(backoff: &Backoff, to: S) -> Result<S::Ok, S::Error> {
        let (first, most) = (backoff.bound(0), backoff.bound(u32::MAX));
        Form { first, most, jitter: *backoff == backoff.full_jitter() }.serialize(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, serde_json::Error> {
        let mut all = serde_json::to_value(Config::recommended()).unwrap();
        let set: serde_json::Map<_, _> = serde_json::from_str(text)?;
        all.as_object_mut().unwrap().extend(set);
        serde_json::from_value(all)
    }

    #[test]
    fn a_written_config_is_read_back() {
        let budget = Budget::new(0.3, NonZeroU32::MAX).unwrap().costs(0.5, 2.0, 3.0).unwrap();
        let second = Duration::from_secs(1);
        for config in [
            Config::recommended(),
            Config::classic(),
            Config::recommended().when_throttled(WhenThrottled::Requeue).budget(None),
            Config::classic()
                .budget(Some(budget))
                .attempts(NonZeroU32::MAX)
                .max_elapsed(Duration::from_secs(30))
                .operation(Operation::CALL, Overrides::new().attempts(NonZeroU32::MIN))
                .operation(
                    Operation::new(1, "other"),
                    Overrides::new().max_elapsed(second).unknown(Backoff::constant(second)),
                )
                .longest_retry_after(Duration::MAX)
                .transient(Backoff::constant(second).full_jitter())
                .unknown(Backoff::exponential(Duration::from_nanos(1), Duration::MAX)),
        ] {
            let text = serde_json::to_string(&config).unwrap();
            let again: Config = serde_json::from_str(&text).unwrap();
            assert_eq!(format!("{again:?}"), format!("{config:?}"), "{text}");
        }
    }

    #[test]
    fn an_invalid_config_is_not_read() {
        for (text, why) in [
            (r#"{"attempts": 0}"#, "nonzero"),
            (
                r#"{"transient": {"first": "2s", "most": "1s"}}"#,
                "`first` is 2s; it must be at most `most`, 1s",
            ),
            (r#"{"transient": {"first": "2s"}}"#, "missing field `most`"),
            (r#"{"budget": {"ratio": 0, "cap": 1}}"#, "`ratio` is 0 of a token"),
            (r#"{"budget": {"ratio": 1, "cap": 0}}"#, "nonzero"),
            (
                r#"{"budget": {"ratio": 1, "cap": 1, "costs": [1, 0, 1]}}"#,
                "the cost of a retry is 0",
            ),
            (r#"{"name": "any"}"#, "unknown field `name`"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
