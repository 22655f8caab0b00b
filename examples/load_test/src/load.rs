//! The size of the load.

use std::collections::BTreeMap;
use std::time::Duration;

use sandtower::core::Rng;
use sandtower_load::{Arrivals, InvalidLoad, Until};

use super::app::Agent;

/// What arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// How queries arrive.
    pub shape: Shape,
    /// How long the code of one execution computes.
    pub computes: Duration,
    /// The most concurrent sandboxes; further executions wait in the application.
    pub sandboxes: usize,
    /// The senders of the queries.
    pub callers: Callers,
}

/// The senders of queries. Only the policy `sandtower` tells them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Callers {
    /// People who wait for the result.
    #[default]
    People,
    /// Batch jobs, which may be held.
    Batch,
    /// Ten tenants, of which the first offers fifty times its share of the capacity, and each of the others
    /// 80 % of its own.
    Tenants,
}

/// On whose behalf a query is processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Its tenant, from 1.
    pub(crate) tenant: Option<u32>,
    /// Whether it is a batch job.
    pub(crate) is_batch: bool,
}

/// The tenant that offers more than its share.
pub(crate) const GREEDY: u32 = 1;
const TENANTS: u32 = 10;
/// What the greedy tenant offers, as a multiple of its share.
const GREEDY_OFFERS: f64 = 50.0;
/// What each of the others offers.
const OTHERS_OFFER: f64 = 0.8;
/// What all of them offer, as a multiple of the capacity.
pub(super) const ALL_OFFER: f64 =
    (GREEDY_OFFERS + (TENANTS - 1) as f64 * OTHERS_OFFER) / TENANTS as f64;

/// How queries arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Users, each of which sends the next query when the last has ended. The agent of a query runs code
    /// twice, thinks in between, and tries again after a failure.
    Users {
        /// The number of users, all at once.
        users: u32,
        /// Queries of each.
        queries: u64,
        /// The most concurrent sandboxes of the application.
        warm: usize,
    },
    /// Queries at random, whatever happens to them; each runs code once.
    Rate {
        /// Queries per second.
        per_second: f64,
        /// For how long.
        lasting: Duration,
    },
}

/// Concurrent users: each is a task with its own counters.
pub(super) const MOST_USERS: u64 = 100_000;

/// Queries in flight in an open loop; further ones are dropped.
const MOST_IN_FLIGHT: usize = 1_000;
/// With a greedy tenant: as many as it can have waiting, so that none of the others are dropped.
const MOST_OF_TENANTS: usize = 10_000;

/// The load that took the application down.
impl Default for Load {
    fn default() -> Self {
        let shape = Shape::Users { users: 6, queries: 2, warm: 10 };
        Self {
            shape,
            computes: Duration::from_secs(4),
            sandboxes: usize::MAX,
            callers: Callers::People,
        }
    }
}

impl Load {
    pub(crate) fn generator(&self, seed: u64) -> Result<sandtower_load::Load, InvalidLoad> {
        let (arrivals, until) = match self.shape {
            Shape::Users { users, queries, .. } => {
                (Arrivals::Closed { users }, Until::Calls(queries))
            }
            Shape::Rate { per_second, lasting } => {
                (Arrivals::poisson(per_second)?, Until::Time(lasting))
            }
        };
        let load = sandtower_load::Load::new(arrivals, until)?;
        let most = match self.shape {
            Shape::Users { users, .. } => usize::try_from(users).unwrap_or(usize::MAX),
            Shape::Rate { .. } => self.most_in_flight(),
        };
        Ok(load.seed(seed).max_in_flight(most))
    }

    pub(crate) fn agent(&self) -> Agent {
        match self.shape {
            Shape::Users { .. } => Agent::Thoughtful,
            Shape::Rate { .. } => Agent::Plain,
        }
    }

    /// Concurrent executions.
    pub(crate) fn places(&self) -> usize {
        match self.shape {
            Shape::Users { warm, .. } => warm.min(self.sandboxes),
            Shape::Rate { .. } => self.most_in_flight().min(self.sandboxes),
        }
    }

    fn most_in_flight(&self) -> usize {
        match self.callers {
            Callers::Tenants => MOST_OF_TENANTS,
            Callers::People | Callers::Batch => MOST_IN_FLIGHT,
        }
    }

    /// The same callers with another load.
    pub(crate) fn with(self, shape: Shape, sandboxes: usize) -> Result<Self, String> {
        match (self.callers, shape) {
            (Callers::Tenants, Shape::Users { .. }) => {
                Err("tenants send queries at a rate; remove --users and --queries".to_owned())
            }
            _ => Ok(Self { shape, sandboxes, ..self }),
        }
    }

    /// On whose behalf the query with this number is: tenants at random, in proportion to what they offer.
    pub(crate) fn caller(&self, seed: u64, number: u64) -> Caller {
        let tenant = || {
            let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let at = rng.f64() * ALL_OFFER * f64::from(TENANTS) - GREEDY_OFFERS;
            let among_others = (at / OTHERS_OFFER).max(0.0) as u32;
            if at < 0.0 { GREEDY } else { (GREEDY + 1 + among_others).min(TENANTS) }
        };
        Caller {
            tenant: (self.callers == Callers::Tenants).then(tenant),
            is_batch: self.callers == Callers::Batch,
        }
    }

    /// How many of the first `queries` each tenant offered; empty without tenants.
    pub(crate) fn offered(&self, seed: u64, queries: u64) -> BTreeMap<u32, u64> {
        let mut offered = BTreeMap::new();
        for tenant in (1..=queries).filter_map(|number| self.caller(seed, number).tenant) {
            *offered.entry(tenant).or_default() += 1;
        }
        offered
    }

    /// The progress, by what has ended and the time; at most 1.
    pub(crate) fn progress(&self, ended: u64, at: Duration) -> f64 {
        let done = match self.shape {
            Shape::Users { users, queries, .. } => {
                ended as f64 / (f64::from(users) * queries as f64)
            }
            Shape::Rate { lasting, .. } => at.as_secs_f64() / lasting.as_secs_f64(),
        };
        done.min(1.0)
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.shape {
            Shape::Users { users, queries, warm } => {
                write!(f, "{users} users, {queries} queries each, at most {warm} warm sandboxes")
            }
            Shape::Rate { per_second, lasting } => {
                write!(f, "{per_second} queries a second for {} s", lasting.as_secs_f64())
            }
        }?;
        match self.callers {
            Callers::People => Ok(()),
            Callers::Batch => f.write_str(", of batch jobs"),
            Callers::Tenants => {
                write!(
                    f,
                    ", of {TENANTS} tenants, one of which offers {GREEDY_OFFERS} times its share"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOISY: Load = Load {
        shape: Shape::Rate { per_second: 28.6, lasting: Duration::from_secs(120) },
        computes: Duration::from_secs(4),
        sandboxes: usize::MAX,
        callers: Callers::Tenants,
    };

    #[test]
    fn each_tenant_offers_its_part_of_the_queries() {
        let queries = 572_000;
        let offered = NOISY.offered(1, queries);
        assert_eq!(offered.keys().copied().collect::<Vec<_>>(), (1..=TENANTS).collect::<Vec<_>>());
        for (tenant, count) in offered {
            let times = if tenant == GREEDY { GREEDY_OFFERS } else { OTHERS_OFFER };
            let off = count as f64 / (times * 10_000.0) - 1.0;
            assert!(off.abs() < 0.05, "tenant {tenant}: {count} of {queries}");
        }
        assert!(Load::default().offered(1, 10).is_empty());
    }

    #[test]
    fn tenants_send_at_a_rate() {
        let users = Shape::Users { users: 3, queries: 5, warm: 10 };
        let error = NOISY.with(users, 10).unwrap_err();
        assert_eq!(error, "tenants send queries at a rate; remove --users and --queries");
        assert_eq!(NOISY.with(NOISY.shape, 10), Ok(Load { sandboxes: 10, ..NOISY }));
        assert_eq!(
            NOISY.to_string(),
            "28.6 queries a second for 120 s, of 10 tenants, one of which offers 50 times its share"
        );
    }
}
