//! What one greedy tenant costs the others.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::data::Tenants;
use crate::statistics::{Call, Ending, Quantiles, median};

/// A call of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantCall {
    /// The number of its tenant.
    pub tenant: u32,
    /// The call.
    pub call: Call,
    /// The part of its time in which nothing was done for it.
    pub waited: Duration,
}

impl Tenants {
    /// From the calls of all tenants, and the number that each tenant offered, dropped ones included. A
    /// tenant that offered nothing is left out.
    pub fn of(greedy: u32, offered: &BTreeMap<u32, u64>, calls: &[TenantCall]) -> Self {
        let served = || calls.iter().filter(|call| call.call.ending == Ending::Succeeded);
        let throughput = |tenant: u32, offered: u64| {
            served().filter(|call| call.tenant == tenant).count() as f64 / offered.max(1) as f64
        };
        let others: Vec<f64> = offered
            .iter()
            .filter(|&(&tenant, &offered)| tenant != greedy && offered > 0)
            .map(|(&tenant, &offered)| throughput(tenant, offered))
            .collect();
        let of_others = || served().filter(|call| call.tenant != greedy);
        let waits = Quantiles::of(of_others().map(|call| call.waited)).at(0.99);
        let work = of_others().map(|call| call.call.took.saturating_sub(call.waited));
        let ratio = waits.zip(Quantiles::of(work).at(0.5)).map(|(wait, work)| wait / work);
        Self {
            others_throughput_worst: others.iter().copied().fold(1.0, f64::min),
            others_wait_p99_ratio: ratio.filter(|ratio| ratio.is_finite()),
            greedy_throughput: throughput(greedy, offered.get(&greedy).copied().unwrap_or(0)),
            jain: jain(&others),
        }
    }

    /// The median of each figure over several runs; `None` without runs.
    pub(crate) fn medians(runs: &[Self]) -> Option<Self> {
        let of_all = |of: fn(&Self) -> f64| median(runs.iter().map(of).collect());
        let ratio = of_all(|run| run.others_wait_p99_ratio.unwrap_or(f64::INFINITY));
        (!runs.is_empty()).then(|| Self {
            others_throughput_worst: of_all(|run| run.others_throughput_worst),
            others_wait_p99_ratio: Some(ratio).filter(|ratio| ratio.is_finite()),
            greedy_throughput: of_all(|run| run.greedy_throughput),
            jain: of_all(|run| run.jain),
        })
    }
}

/// Without any throughput all are equal.
fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(tenant: u32, took: u64, waited: u64, ending: Ending) -> TenantCall {
        let [took, waited] = [took, waited].map(Duration::from_secs);
        TenantCall {
            tenant,
            call: Call { meant: Duration::ZERO, took, ending, late: false },
            waited,
        }
    }

    #[test]
    fn each_figure_is_of_the_tenants_that_it_names() {
        let good = |tenant, waited| call(tenant, 5 + waited, waited, Ending::Succeeded);
        let mut calls = vec![good(1, 100), good(2, 10), good(2, 0), good(3, 0)];
        calls.push(call(3, 500, 400, Ending::Rejected));
        let offered = BTreeMap::from([(1, 10), (2, 2), (3, 2), (4, 0)]);
        let tenants = Tenants::of(1, &offered, &calls);
        assert_eq!(tenants.greedy_throughput, 0.1);
        assert_eq!(tenants.others_throughput_worst, 0.5);
        let ratio = tenants.others_wait_p99_ratio.unwrap();
        assert!((ratio - 2.0).abs() < 0.01, "{ratio}");
        // (1 + 0.5)^2 / (2 * (1 + 0.25))
        assert!((tenants.jain - 0.9).abs() < 1e-9, "{tenants:?}");
    }

    #[test]
    fn if_the_others_get_nothing_they_are_equal_and_have_no_wait() {
        let tenants = Tenants::of(1, &BTreeMap::from([(1, 1), (2, 3), (3, 3)]), &[]);
        assert_eq!((tenants.others_throughput_worst, tenants.jain), (0.0, 1.0));
        assert_eq!(tenants.others_wait_p99_ratio, None);
        let waited = Tenants { others_wait_p99_ratio: Some(3.0), ..tenants };
        let median = Tenants::medians(&[waited, tenants, waited]).unwrap();
        assert_eq!(median.others_wait_p99_ratio, Some(3.0));
        assert_eq!(Tenants::medians(&[]), None);
    }
}
