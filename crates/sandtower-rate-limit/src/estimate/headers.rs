use sandtower_core::Allowance;

use crate::window::nanos;

/// `RateLimit-Reset` is rounded up to whole seconds, so it may be this much too long.
const WHOLE_SECOND: u64 = 1_000_000_000;

/// What the headers of a server have shown of how its limit works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    /// No response named an allowance.
    #[default]
    Silent,
    /// A first response named one; both forms below explain it.
    Unproven { limit: u64, owed: u64, interval: Interval },
    /// E2B's form, GCRA: what is missing comes back one at a time, one an emission interval.
    Emission { limit: u64, interval: Interval },
    /// Anything else, such as a fixed window: all of it comes back at the reset.
    Window { limit: u64 },
}

/// The emission interval lies between these, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    low: u64,
    high: u64,
}

impl Form {
    /// Learns from one response. The forms differ in what is constant: under GCRA every
    /// response gives the same emission interval, whoever else uses the limit; under a window, the
    /// time that one unit would take changes with every use.
    pub(super) fn hear(&mut self, allowance: &Allowance, throttled: bool) {
        let (owed, said) = (owed(allowance), Interval::said_by(allowance, throttled));
        let first = match allowance.limit {
            // Of one, the reset and the emission interval are the same.
            1 => Self::Emission { limit: 1, interval: said },
            limit => Self::Unproven { limit, owed, interval: said },
        };
        *self = match *self {
            Self::Window { limit } if limit == allowance.limit => return,
            Self::Unproven { limit, owed: before, interval } if limit == allowance.limit => {
                match interval.and(said) {
                    Some(interval) if before != owed => Self::Emission { limit, interval },
                    Some(interval) => Self::Unproven { limit, owed, interval },
                    None => Self::Window { limit },
                }
            }
            Self::Emission { limit, interval } if limit == allowance.limit => {
                match interval.and(said) {
                    Some(interval) => Self::Emission { limit, interval },
                    None => Self::Window { limit },
                }
            }
            _ => first,
        };
    }

    /// The longest that the emission interval can be, in nanoseconds, if the server has that form.
    pub(super) fn emission(&self) -> Option<u64> {
        match self {
            Self::Emission { interval, .. } if interval.high < u64::MAX => {
                Some(interval.high.max(1))
            }
            _ => None,
        }
    }

    /// The time until something is there again after a response that named `allowance`, of which nothing
    /// was left.
    pub(super) fn until_more(&self, allowance: &Allowance) -> u64 {
        self.emission().unwrap_or(nanos(allowance.reset)).min(nanos(allowance.reset))
    }
}

fn owed(allowance: &Allowance) -> u64 {
    allowance.limit.saturating_sub(allowance.remaining).max(1)
}

impl Interval {
    /// Of `owed` that are missing, more than `owed - 1` and at most `owed` intervals make up the
    /// reset, before it was rounded up; and at least one, if the attempt has just been charged.
    fn said_by(allowance: &Allowance, throttled: bool) -> Self {
        let (owed, reset) = (owed(allowance), nanos(allowance.reset));
        let low = reset.saturating_sub(WHOLE_SECOND) / owed;
        let high = match owed - 1 {
            0 if throttled => u64::MAX,
            0 => reset,
            whole => reset.div_ceil(whole),
        };
        Self { low, high }
    }

    /// What both say; `None` if they contradict each other.
    fn and(self, other: Self) -> Option<Self> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then_some(Self { low, high })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(allowance: &[(u64, u64, u64)]) -> Form {
        let mut form = Form::default();
        for &(limit, remaining, reset) in allowance {
            form.hear(&Allowance::new(limit, remaining, Duration::from_secs(reset)), false);
        }
        form
    }

    #[test]
    fn a_gcra_is_known_by_an_interval_that_stays_the_same() {
        let form = after(&[(10, 9, 1), (10, 4, 2), (10, 0, 2)]);
        let emission = form.emission().expect("the form of E2B");
        assert!((200_000_000..230_000_000).contains(&emission), "{form:?}");
    }

    #[test]
    fn a_window_is_known_by_an_interval_that_changes() {
        for allowance in [
            &[(5_000, 4_990, 3_590), (5_000, 4_989, 3_590), (5_000, 4_988, 3_589)][..],
            &[(100, 50, 30), (100, 20, 29)],
            &[(60, 1, 10), (60, 0, 10), (60, 59, 60)],
        ] {
            assert!(
                matches!(after(allowance), Form::Window { .. }),
                "{allowance:?}: {:?}",
                after(allowance)
            );
        }
    }

    #[test]
    fn one_response_proves_nothing_and_another_limit_begins_anew() {
        assert!(matches!(after(&[(10, 0, 2)]), Form::Unproven { .. }));
        assert!(matches!(after(&[(10, 9, 1), (10, 8, 1), (50, 1, 9)]), Form::Unproven { .. }));
    }

    #[test]
    fn the_same_response_twice_proves_nothing() {
        for allowance in [(10, 9, 1), (10, 0, 2), (5_000, 4_990, 3_590)] {
            assert!(
                matches!(after(&[allowance, allowance, allowance]), Form::Unproven { .. }),
                "{allowance:?}"
            );
        }
    }

    #[test]
    fn of_a_limit_of_one_a_429_tells_what_is_left_of_an_interval_and_not_a_shorter_one() {
        let mut form = after(&[(1, 0, 5)]);
        for reset in [5, 3, 1] {
            form.hear(&Allowance::new(1, 0, Duration::from_secs(reset)), true);
        }
        assert_eq!(form.emission(), Some(5_000_000_000));
        let mut form = Form::default();
        form.hear(&Allowance::new(1, 0, Duration::from_secs(3)), true);
        assert_eq!(form.emission(), None, "it has only begun");
    }

    #[test]
    fn one_is_back_no_later_than_all() {
        let form = after(&[(10, 9, 1), (10, 4, 2)]);
        let until = |reset| form.until_more(&Allowance::new(10, 0, Duration::from_millis(reset)));
        assert_eq!(until(50), 50_000_000);
        assert_eq!(Some(until(2_000)), form.emission());
    }
}
