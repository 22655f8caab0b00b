//! How much of each shape to keep in stock, and why.

use serde::Serialize;

/// What determines the target of a shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Term {
    /// There is no demand.
    #[default]
    Nothing,
    /// The Poisson quantile of the rate of requests and the lead time.
    Rate,
    /// The decaying peak of demand.
    Peak,
    /// The same hour of earlier weeks.
    Profile,
    /// The schedule, which adds to the above.
    Schedule,
    /// The configured minimum.
    Min,
}

/// What keeps the stock below what demand calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cap {
    /// The most sandboxes in stock.
    Max,
    /// The budget.
    Budget,
    /// The slots of the plan.
    Slots,
    /// The rate of creations.
    Pace,
    /// The circuit breaker of the control plane is not closed.
    Breaker,
    /// It cannot be recorded: see [`Stock`](crate::Stock).
    Store,
    /// Creations failed.
    Backoff,
}

/// What demand calls for, by term.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) rate: u32,
    pub(crate) peak: u32,
    pub(crate) profile: u32,
    pub(crate) schedule: u32,
    pub(crate) min: u32,
}

impl Terms {
    /// The larger of rate and peak, up to what the profile forecasts, plus the schedule.
    pub(crate) fn target(&self) -> (u32, Term) {
        let (mut target, mut term) = match self.rate.max(self.peak) {
            0 => (0, Term::Nothing),
            most if most == self.rate => (most, Term::Rate),
            most => (most, Term::Peak),
        };
        if self.profile > target {
            (target, term) = (self.profile, Term::Profile);
        }
        if self.schedule > 0 {
            // It is named where it adds more than all the others.
            term = if self.schedule >= target { Term::Schedule } else { term };
            target = target.saturating_add(self.schedule);
        }
        if self.min > target {
            (target, term) = (self.min, Term::Min);
        }
        (target, term)
    }
}

/// Divides `total` among shapes that want `wants`: those that lack the largest share come first.
pub(crate) fn divide(wants: &[u32], total: u32) -> Vec<u32> {
    let sum: u64 = wants.iter().map(|want| u64::from(*want)).sum();
    if sum <= u64::from(total) {
        return wants.to_vec();
    }
    let mut given = vec![0; wants.len()];
    for _ in 0..total {
        // The smallest share of what it wants; of equals, the one that wants most.
        let next = (0..wants.len()).filter(|&at| given[at] < wants[at]).min_by(|&one, &other| {
            let one_share = u64::from(given[one]) * u64::from(wants[other]);
            let other_share = u64::from(given[other]) * u64::from(wants[one]);
            one_share.cmp(&other_share).then(wants[other].cmp(&wants[one]))
        });
        let Some(next) = next else { break };
        given[next] += 1;
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_larger_estimate_and_the_schedule_on_top() {
        for (terms, target) in [
            (Terms::default(), (0, Term::Nothing)),
            (Terms { rate: 5, peak: 3, ..Terms::default() }, (5, Term::Rate)),
            (Terms { rate: 5, peak: 8, ..Terms::default() }, (8, Term::Peak)),
            (Terms { rate: 5, profile: 7, ..Terms::default() }, (7, Term::Profile)),
            (Terms { rate: 5, profile: 4, schedule: 2, ..Terms::default() }, (7, Term::Rate)),
            (Terms { rate: 1, schedule: 2, ..Terms::default() }, (3, Term::Schedule)),
            (Terms { rate: 1, min: 2, ..Terms::default() }, (2, Term::Min)),
        ] {
            assert_eq!(terms.target(), target, "{terms:?}");
        }
    }

    #[test]
    fn what_is_short_is_divided_by_need() {
        assert_eq!(divide(&[3, 4], 10), [3, 4]);
        assert_eq!(divide(&[8, 4, 0], 6), [4, 2, 0]);
        assert_eq!(divide(&[20, 1], 4), [3, 1]);
        assert_eq!(divide(&[5, 5], 0), [0, 0]);
        assert!(divide(&[], 3).is_empty());
    }
}
