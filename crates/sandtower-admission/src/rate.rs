use std::collections::BTreeSet;
use std::time::Duration;

use sandtower_core::settings::duration;
use sandtower_core::{Operation, Tick};
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// A limit on the rate at which calls are admitted: a rate with a burst, or a pace. It applies to one
/// operation, to several that share it, or to all; to all callers together, or per tenant. A call counts
/// by its [weight](crate::Config::weight_for), at most by the burst.
///
/// ```
/// use std::time::Duration;
/// use sandtower_admission::Rate;
/// use sandtower_core::Operation;
///
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// // Each tenant may create 10 sandboxes at once, and 60 a minute.
/// let creations = Rate::new("creations", 60, Duration::from_secs(60))
///     .burst(10)
///     .operation(CREATE)
///     .per_tenant(true);
/// // One call of any kind every 200 ms.
/// let pace = Rate::pace("calls", Duration::from_millis(200));
/// # let _ = (creations, pace);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub(crate) name: String,
    count: u32,
    #[serde(with = "duration")]
    window: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    operations: BTreeSet<String>,
    #[serde(default)]
    pub(crate) per_tenant: bool,
}

impl Rate {
    /// `count` calls per `window`, with a burst of `count`. `name` appears in rejections.
    pub fn new(name: impl Into<String>, count: u32, window: Duration) -> Self {
        let operations = BTreeSet::new();
        Self { name: name.into(), count, window, burst: None, operations, per_tenant: false }
    }

    /// One call per `interval`.
    pub fn pace(name: impl Into<String>, interval: Duration) -> Self {
        Self::new(name, 1, interval)
    }

    /// The burst: how many calls may go at the same time after a pause. The count of a window by default.
    #[must_use]
    pub fn burst(mut self, calls: u32) -> Self {
        self.burst = Some(calls);
        self
    }

    /// Applies the rate to this operation, in addition to those added before. By default it applies to
    /// all.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operations.insert(operation.name().to_owned());
        self
    }

    /// Whether the rate applies per tenant instead of to all tenants together.
    #[must_use]
    pub fn per_tenant(mut self, each: bool) -> Self {
        self.per_tenant = each;
        self
    }

    pub(crate) fn is_about(&self, operation: &str) -> bool {
        self.operations.is_empty() || self.operations.contains(operation)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.count == 0 || self.window.is_zero() || self.burst == Some(0) {
            return Err(ConfigError::Rate { name: self.name.clone() });
        }
        Ok(())
    }

    /// The terms of its [`Bucket`].
    pub(crate) fn terms(&self) -> Terms {
        let each = self.window.as_nanos() / u128::from(self.count.max(1));
        let each = u64::try_from(each).unwrap_or(u64::MAX).max(1);
        Terms { each, burst: self.burst.unwrap_or(self.count) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Nanoseconds per call.
    each: u64,
    pub(crate) burst: u32,
}

/// The usage of a rate: the instant at which the full burst is available again (the "theoretical
/// arrival time" of the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bucket(Tick);

impl Bucket {
    /// When a call of this weight may go; not before `now`.
    pub(crate) fn earliest(self, terms: Terms, weight: u32, now: Tick) -> Tick {
        let spare = terms.of(terms.burst - weight.min(terms.burst));
        let earliest = Tick::from_nanos(self.0.as_nanos().saturating_sub(spare));
        earliest.max(now)
    }

    pub(crate) fn take(&mut self, terms: Terms, weight: u32, now: Tick) {
        let used = terms.of(weight.min(terms.burst));
        self.0 = Tick::from_nanos(self.0.max(now).as_nanos().saturating_add(used));
    }

    /// Returns what a call took and did not use.
    pub(crate) fn give_back(&mut self, terms: Terms, weight: u32) {
        let used = terms.of(weight.min(terms.burst));
        self.0 = Tick::from_nanos(self.0.as_nanos().saturating_sub(used));
    }

    /// Changes the terms from `now` on. Usage of the burst still counts.
    pub(crate) fn change(&mut self, from: Terms, to: Terms, now: Tick) {
        let left = u128::from(self.0.as_nanos().saturating_sub(now.as_nanos()));
        let left = left * u128::from(to.each) / u128::from(from.each);
        let left = u64::try_from(left).unwrap_or(u64::MAX).min(to.of(to.burst));
        self.0 = now + Duration::from_nanos(left);
    }

    pub(crate) fn is_full(self, now: Tick) -> bool {
        self.0 <= now
    }

    /// How much of the burst is used.
    pub(crate) fn used(self, terms: Terms, now: Tick) -> u32 {
        let left = self.0.as_nanos().saturating_sub(now.as_nanos());
        u32::try_from(left.div_ceil(terms.each)).unwrap_or(u32::MAX).min(terms.burst)
    }
}

impl Terms {
    fn of(self, calls: u32) -> u64 {
        self.each.saturating_mul(u64::from(calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(100) + Duration::from_millis(millis)
    }

    /// When each of a thousand calls goes that all wait from the beginning.
    fn admitted(rate: &Rate, weight: u32) -> Vec<Tick> {
        let (terms, mut bucket, mut now) = (rate.terms(), Bucket::default(), at(0));
        let next = |_| {
            now = bucket.earliest(terms, weight, now);
            bucket.take(terms, weight, now);
            now
        };
        (0..1_000).map(next).collect()
    }

    #[test]
    fn after_the_burst_one_goes_in_each_interval() {
        let times = admitted(&Rate::new("any", 60, 60 * SECOND).burst(10), 1);
        for (n, time) in times.into_iter().enumerate() {
            assert_eq!(time, at(1_000 * n.saturating_sub(9) as u64), "call {n}");
        }
        let times = admitted(&Rate::pace("any", SECOND / 5), 1);
        assert_eq!((times[0], times[1], times[999]), (at(0), at(200), at(999 * 200)));
    }

    #[test]
    fn a_heavy_call_uses_more_and_never_more_than_the_burst() {
        let rate = Rate::new("any", 10, SECOND).burst(4);
        let times = admitted(&rate, 2);
        assert_eq!((times[0], times[1], times[2], times[3]), (at(0), at(0), at(200), at(400)));
        let times = admitted(&rate, 1_000);
        assert_eq!((times[0], times[1], times[2]), (at(0), at(400), at(800)));
    }

    #[test]
    fn what_is_given_back_is_free_again() {
        let (terms, mut bucket) = (Rate::pace("any", SECOND).terms(), Bucket::default());
        bucket.take(terms, 1, at(0));
        assert_eq!(bucket.earliest(terms, 1, at(0)), at(1_000));
        assert_eq!((bucket.used(terms, at(0)), bucket.is_full(at(999))), (1, false));
        bucket.give_back(terms, 1);
        assert_eq!(bucket.earliest(terms, 1, at(0)), at(0));
        assert!(bucket.is_full(at(0)));
    }

    #[test]
    fn what_was_used_stays_used_when_the_rate_changes() {
        let (slow, fast) = (Rate::pace("any", 10 * SECOND), Rate::new("any", 4, SECOND).burst(2));
        let mut bucket = Bucket::default();
        bucket.take(slow.terms(), 1, at(0));
        bucket.change(slow.terms(), fast.terms(), at(5_000));
        assert_eq!(bucket.earliest(fast.terms(), 2, at(5_000)), at(5_125), "half a call is left");
        bucket.change(fast.terms(), slow.terms(), at(5_000));
        assert_eq!(bucket.earliest(slow.terms(), 1, at(5_000)), at(10_000));
    }

    #[test]
    fn a_rate_of_nothing_is_invalid() {
        assert!(Rate::new("any", 0, SECOND).check().is_err());
        assert!(Rate::new("any", 1, Duration::ZERO).check().is_err());
        assert!(Rate::new("any", 1, SECOND).burst(0).check().is_err());
        assert!(Rate::new("any", u32::MAX, Duration::from_nanos(1)).check().is_ok());
    }
}
