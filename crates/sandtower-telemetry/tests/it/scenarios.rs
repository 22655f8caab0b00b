//! What each alert fires on, and what it does not: for the evaluation in the process and for Prometheus.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtower::core::MetricSource;
use sandtower_telemetry::Registry;
use serde_json::{Value, json};

/// The layers that are played.
const KINDS: [&str; 9] = [
    "circuit_breaker",
    "creations",
    "rate_limit",
    "quota",
    "admission",
    "tracker",
    "fallback",
    "failover",
    "pool",
];

/// One layer whose snapshot is a function of the minute.
pub(crate) struct Scenario {
    /// The rule that it is about.
    pub(crate) rule: &'static str,
    pub(crate) layer: &'static str,
    pub(crate) snapshot: fn(u64) -> Value,
    /// How long it is.
    pub(crate) minutes: u64,
    /// When the rule fires; empty: it does not.
    pub(crate) fires: Option<RangeInclusive<u64>>,
    /// Rules that fire beside it at some time.
    pub(crate) also: &'static [&'static str],
}

struct Played<const KIND: usize> {
    snapshot: fn(u64) -> Value,
    minute: Arc<AtomicU64>,
}

impl<const KIND: usize> MetricSource for Played<KIND> {
    type Snapshot = Value;
    const KIND: &'static str = KINDS[KIND];

    fn read(&self) -> Value {
        (self.snapshot)(self.minute.load(Ordering::Relaxed))
    }
}

impl Scenario {
    /// A registry with its layer, which is at the minute that is set.
    pub(crate) fn play(&self) -> (Registry, Arc<AtomicU64>) {
        let (registry, minute) = (Registry::new(), Arc::new(AtomicU64::new(0)));
        let at = KINDS.iter().position(|kind| *kind == self.layer).unwrap();
        macro_rules! add {
            ($($kind:literal)*) => {
                match at {
                    $($kind => registry.add("e2b", Played::<$kind> {
                        snapshot: self.snapshot,
                        minute: Arc::clone(&minute),
                    }),)*
                    _ => unreachable!(),
                }
            };
        }
        add!(0 1 2 3 4 5 6 7 8).unwrap();
        (registry, minute)
    }
}

const fn scenario(
    rule: &'static str,
    layer: &'static str,
    fires: Option<RangeInclusive<u64>>,
    minutes: u64,
    snapshot: fn(u64) -> Value,
) -> Scenario {
    Scenario { rule, layer, snapshot, minutes, fires, also: &[] }
}

const fn also(scenario: Scenario, also: &'static [&'static str]) -> Scenario {
    Scenario { also, ..scenario }
}

fn breaker(state: &str) -> Value {
    json!({"name": "E2B", "state": state})
}

fn creations(started: u64, failed: u64) -> Value {
    json!({"started": started, "succeeded": started - failed, "failed": failed})
}

fn rate_limit(count: u64, limit: Option<u64>) -> Value {
    let row = json!({"operation": "sandbox_create", "count": count, "limit": limit});
    json!({"by_operation": [row], "store_available": true})
}

fn quota(in_use: u64) -> Value {
    json!({"in_use": in_use, "limit": 20})
}

fn queue(newest_first: bool) -> Value {
    json!({"queues": [{"operation": "sandbox_create", "newest_first": newest_first}]})
}

fn shape(is_suspended: bool) -> Value {
    json!({"shapes": [{"name": "base", "is_suspended": is_suspended}]})
}

/// A counter that is 0 but for one increase.
fn from(minute: u64, at: u64, value: u64) -> u64 {
    if minute < at { 0 } else { value }
}

/// For each rule at least one that fires and one that does not.
pub(crate) const SCENARIOS: &[Scenario] = &[
    // Open and half-open in turn, as while an outage lasts; then closed.
    scenario("SandtowerBreakerNotClosed", "circuit_breaker", Some(6..=11), 14, |minute| {
        breaker(match minute {
            1..=10 if minute % 2 == 1 => "open",
            1..=10 => "half_open",
            _ => "closed",
        })
    }),
    scenario("SandtowerBreakerNotClosed", "circuit_breaker", None, 14, |minute| {
        breaker(if minute % 5 == 4 { "closed" } else { "open" })
    }),
    scenario("SandtowerCreationsFailing", "creations", Some(3..=67), 70, |minute| {
        creations(from(minute, 1, 15), from(minute, 3, 11))
    }),
    scenario("SandtowerCreationsFailing", "creations", None, 70, |minute| {
        creations(from(minute, 1, 15), from(minute, 3, 10))
    }),
    also(
        scenario("SandtowerCriticalFailures", "creations", Some(2..=20), 20, |minute| {
            creations(10 * minute, minute)
        }),
        &["SandtowerCreationsFailing"],
    ),
    scenario("SandtowerCriticalFailures", "creations", None, 20, |minute| {
        creations(100 * minute, minute / 2)
    }),
    // All of 15 in 15 minutes fail: too few to say anything.
    also(
        scenario("SandtowerCriticalFailures", "creations", None, 20, |minute| {
            creations(minute, minute)
        }),
        &["SandtowerCreationsFailing"],
    ),
    scenario("SandtowerRateLimitHigh", "rate_limit", Some(2..=9), 12, |minute| {
        rate_limit(if (2..5).contains(&minute) { 81 } else { 80 }, Some(100))
    }),
    scenario("SandtowerRateLimitHigh", "rate_limit", None, 12, |_| rate_limit(1_000, None)),
    also(
        scenario("SandtowerRateLimitCritical", "rate_limit", Some(2..=12), 12, |minute| {
            rate_limit(if minute < 2 { 0 } else { 91 }, Some(100))
        }),
        &["SandtowerRateLimitHigh"],
    ),
    also(
        scenario("SandtowerRateLimitCritical", "rate_limit", None, 12, |_| {
            rate_limit(90, Some(100))
        }),
        &["SandtowerRateLimitHigh"],
    ),
    scenario("SandtowerQuotaHigh", "quota", Some(3..=12), 12, |minute| {
        quota(if minute < 2 { 1 } else { 17 })
    }),
    scenario("SandtowerQuotaHigh", "quota", None, 12, |_| quota(16)),
    also(
        scenario("SandtowerQuotaCritical", "quota", Some(3..=12), 12, |minute| {
            quota(if minute < 2 { 1 } else { 19 })
        }),
        &["SandtowerQuotaHigh"],
    ),
    also(
        scenario("SandtowerQuotaCritical", "quota", None, 12, |_| quota(18)),
        &["SandtowerQuotaHigh"],
    ),
    scenario("SandtowerQueueStanding", "admission", Some(3..=7), 12, |minute| {
        queue((2..6).contains(&minute))
    }),
    scenario("SandtowerQueueStanding", "admission", None, 12, |minute| queue(minute % 2 == 0)),
    scenario(
        "SandtowerSandboxesAbandoned",
        "tracker",
        Some(2..=10),
        10,
        |minute| json!({"abandoned": from(minute, 2, 1)}),
    ),
    scenario(
        "SandtowerSandboxesAbandoned",
        "tracker",
        None,
        10,
        |minute| json!({"abandoned": 3, "killed": minute}),
    ),
    scenario(
        "SandtowerProbeLeaseExpiring",
        "circuit_breaker",
        Some(2..=16),
        20,
        |minute| json!({"name": "E2B", "state": "closed", "counters": {"expired_probes": from(minute, 2, 1)}}),
    ),
    scenario(
        "SandtowerProbeLeaseExpiring",
        "circuit_breaker",
        None,
        20,
        |minute| json!({"name": "E2B", "state": "closed", "counters": {"probes": minute}}),
    ),
    scenario(
        "SandtowerStoreDegraded",
        "rate_limit",
        Some(3..=6),
        10,
        |minute| json!({"by_operation": [], "store_available": !(2..6).contains(&minute)}),
    ),
    scenario(
        "SandtowerStoreDegraded",
        "rate_limit",
        None,
        10,
        |_| json!({"by_operation": [], "store_available": null}),
    ),
    scenario(
        "SandtowerFallbackInUse",
        "fallback",
        Some(2..=11),
        14,
        |minute| json!({"used": from(minute, 2, 1)}),
    ),
    scenario("SandtowerFallbackInUse", "fallback", None, 14, |_| json!({"used": 7})),
    scenario("SandtowerFailoverInUse", "failover", Some(2..=11), 14, |minute| {
        let eu = json!({"name": "eu", "failures": minute});
        json!({"places": [eu, {"name": "us", "took_over": from(minute, 2, 1)}]})
    }),
    scenario(
        "SandtowerFailoverInUse",
        "failover",
        None,
        14,
        |minute| json!({"moves": minute, "places": [{"name": "us", "took_over": 4}]}),
    ),
    // Suspended for longer than the first pause, and once for a moment.
    scenario("SandtowerPoolSuspended", "pool", Some(3..=8), 12, |minute| {
        shape((2..8).contains(&minute))
    }),
    scenario("SandtowerPoolSuspended", "pool", None, 12, |minute| shape(minute % 2 == 0)),
    scenario(
        "SandtowerPoolStoreDegraded",
        "pool",
        Some(3..=6),
        10,
        |minute| json!({"store_available": !(2..6).contains(&minute)}),
    ),
    scenario("SandtowerPoolStoreDegraded", "pool", None, 10, |_| json!({"store_available": null})),
    scenario(
        "SandtowerPoolCapped",
        "pool",
        Some(3..=67),
        70,
        |minute| json!({"capped_misses": from(minute, 3, 21)}),
    ),
    // As many as allowed, and misses that no larger stock would help.
    scenario(
        "SandtowerPoolCapped",
        "pool",
        None,
        70,
        |minute| json!({"capped_misses": from(minute, 3, 20), "misses": {"unknown": minute * 5}}),
    ),
];
