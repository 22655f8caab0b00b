use sandtower_core::Allowance;

use crate::shadow::nanos;

/// One second: what `RateLimit-Reset` is rounded up by at most.
const WHOLE: u64 = 1_000_000_000;

/// The time in which a server brings one back, in nanoseconds: at least `low`, at most `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    low: u64,
    high: u64,
    /// Said by the user, and not contradicted since.
    given: bool,
}

impl Interval {
    pub(crate) const UNKNOWN: Self = Self { low: 0, high: u64::MAX, given: false };

    pub(crate) const fn exactly(interval: u64) -> Self {
        Self { low: interval, high: interval, given: true }
    }

    pub(crate) const fn low(&self) -> u64 {
        self.low
    }

    pub(crate) fn high(&self) -> Option<u64> {
        (self.high < u64::MAX).then_some(self.high.max(1))
    }

    pub(crate) fn high_or(&self, other: u64) -> u64 {
        self.high().unwrap_or(other.max(1))
    }

    /// The limit is another one: what was learned of it is void.
    pub(crate) fn unless_known(&mut self) {
        if !self.given {
            *self = Self::UNKNOWN;
        }
    }

    /// Was learned elsewhere: nothing better is known here.
    pub(crate) fn believe(&mut self, low: u64, high: u64) {
        if *self == Self::UNKNOWN && low <= high {
            *self = Self { low, high: high.max(1), given: false };
        }
    }

    /// Learns from one answer. What contradicts all before was said of another limit: it stands
    /// alone then.
    pub(crate) fn narrow(&mut self, told: &Allowance, wait: Option<u64>, throttled: bool) {
        let said = Self::said_by(told, wait, throttled);
        let (low, high) = (self.low.max(said.low), self.high.min(said.high));
        *self = if low <= high { Self { low, high, ..*self } } else { said };
    }

    /// With the time `d` until all is back, of which the server tells the ceiling:
    ///
    /// - what it owes is more than `owed - 1` and at most `owed` intervals, each of them a part of
    ///   `d`: by flooring what remains it tells the rest up to one;
    /// - one that has just passed is owed in full, so that `d` is no less than the interval;
    /// - one that was throttled waits no longer than one interval, and nothing was left of the burst
    ///   but a part of one.
    fn said_by(told: &Allowance, wait: Option<u64>, throttled: bool) -> Self {
        let d_high = nanos(told.reset);
        let d_low = d_high.saturating_sub(WHOLE);
        let owed = told.limit.saturating_sub(told.remaining).max(1);
        let mut low = d_low.div_ceil(owed);
        let mut high = match owed - 1 {
            0 => u64::MAX,
            whole => d_high.div_ceil(whole),
        };
        if throttled {
            low = low.max(wait.unwrap_or(0));
        } else {
            high = high.min(d_high);
        }
        Self { low, high: high.max(1), given: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MILLI: u64 = 1_000_000;

    fn after(answers: &[(u64, u64, u64)]) -> (u64, u64) {
        let mut interval = Interval::UNKNOWN;
        for &(limit, remaining, reset) in answers {
            let told = Allowance::new(limit, remaining, Duration::from_secs(reset));
            interval.narrow(&told, None, false);
        }
        (interval.low / MILLI, interval.high / MILLI)
    }

    #[test]
    fn answers_narrow_the_interval_from_both_sides() {
        assert_eq!(after(&[(10, 0, 2)]), (100, 222));
        assert_eq!(after(&[(10, 0, 2), (10, 4, 2)]), (166, 222));
        assert_eq!(after(&[(1, 0, 1)]), (0, 1_000));
    }

    #[test]
    fn an_answer_that_contradicts_all_before_stands_alone() {
        assert_eq!(after(&[(10, 0, 2), (10, 0, 20)]), (1_900, 2_222));
    }
}
