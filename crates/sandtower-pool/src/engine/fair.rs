use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sandtower_core::{Tenant, Tick};

/// The tenants that asked for warm sandboxes lately, and those that got them.
#[derive(Debug, Default)]
pub(super) struct Fair {
    recent: VecDeque<(Tick, Tenant, bool)>,
}

const WINDOW: Duration = Duration::from_secs(60);
const MOST: usize = 512;

impl Fair {
    /// Whether `tenant` may have one of `idle` sandboxes now. While fewer are left than tenants have asked
    /// in the last minute, a tenant that has had more than an equal share of the hand-outs leaves them to the
    /// others.
    pub(super) fn allows(&mut self, tenant: Tenant, idle: u32, now: Tick) -> bool {
        while self.recent.front().is_some_and(|(at, ..)| now.since(*at) > WINDOW) {
            self.recent.pop_front();
        }
        let mut got: BTreeMap<u64, u32> = BTreeMap::from([(tenant.id(), 0)]);
        for (_, who, was_hit) in &self.recent {
            *got.entry(who.id()).or_default() += u32::from(*was_hit);
        }
        let tenants = u32::try_from(got.len()).unwrap_or(u32::MAX);
        if tenants < 2 || idle >= tenants {
            return true;
        }
        let all: u32 = got.values().sum();
        got.get(&tenant.id()).is_none_or(|own| own.saturating_mul(tenants) <= all)
    }

    pub(super) fn asked(&mut self, tenant: Tenant, was_hit: bool, now: Tick) {
        if self.recent.len() == MOST {
            self.recent.pop_front();
        }
        self.recent.push_back((now, tenant, was_hit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_stock_is_short_a_greedy_tenant_leaves_the_rest_to_others() {
        let (mut fair, now) = (Fair::default(), Tick::ZERO);
        let (greedy, other) = (Tenant::new(1), Tenant::new(2));
        for _ in 0..10 {
            assert!(fair.allows(greedy, 1, now), "alone it may have all");
            fair.asked(greedy, true, now);
        }
        assert!(fair.allows(other, 1, now));
        fair.asked(other, false, now);
        assert!(!fair.allows(greedy, 1, now));
        assert!(fair.allows(greedy, 5, now), "stock is not short");
        assert!(fair.allows(other, 1, now));
        assert!(fair.allows(greedy, 1, now + WINDOW * 2), "forgotten");
    }
}
