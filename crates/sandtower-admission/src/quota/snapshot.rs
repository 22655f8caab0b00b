use std::time::Duration;

use sandtower_core::Tick;
use serde::Serialize;

use super::engine::Engine;

/// What a [`Quota`](crate::Quota) knows at one moment. Counters count since it was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QuotaSnapshot {
    /// The name given in the configuration.
    pub name: String,
    /// Slots in use: granted, and not seen to end.
    pub in_use: u32,
    /// How many there are, as far as is known; `None`: the service has not said yet.
    pub limit: Option<u32>,
    /// Attempts under way that may take one.
    pub under_way: u32,
    /// For how long the service has been out of slots; `None`: it is not.
    pub out_of_slots_ms: Option<u64>,
    /// When the next probe may go, if no slot is seen to become free before; while one is under way,
    /// when its lease expires. `None`: the service is not out of slots.
    pub next_probe_in_ms: Option<u64>,
    /// Attempts that got a slot.
    pub granted: u64,
    /// Slots that were seen to become free.
    pub released: u64,
    /// Attempts to which the service responded that it is out of slots.
    pub exhausted: u64,
    /// Probes that were sent and have ended.
    pub probes: u64,
    /// Of those, the ones that found a slot.
    pub probes_found: u64,
}

impl QuotaSnapshot {
    pub(super) fn of(name: &str, engine: &Engine, now: Tick) -> Self {
        let (since, counts) = (engine.exhausted_since(), engine.counts());
        Self {
            name: name.to_owned(),
            in_use: engine.in_use(),
            limit: engine.limit(),
            under_way: engine.under_way(),
            out_of_slots_ms: since.map(|since| whole_millis(now.since(since))),
            next_probe_in_ms: since.map(|_| whole_millis(engine.opens_at().since(now))),
            granted: counts.granted,
            released: counts.released,
            exhausted: counts.exhausted,
            probes: counts.probes,
            probes_found: counts.probes_found,
        }
    }
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
