use std::time::Duration;

use sandtower_core::Tick;
use serde::Serialize;

use super::engine::Engine;

/// A snapshot of a [`Quota`](crate::Quota). Counters start when it is created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QuotaSnapshot {
    /// The name given in the configuration.
    pub name: String,
    /// Slots in use: granted and not seen to end.
    pub in_use: u32,
    /// The known number of slots; `None` until it is configured or the service reports exhaustion.
    pub limit: Option<u32>,
    /// Attempts in flight that may take a slot.
    pub under_way: u32,
    /// How long the service has been out of slots; `None` if it is not.
    pub out_of_slots_ms: Option<u64>,
    /// When the next probe may be sent, unless a slot is seen to become free first; while a probe is in
    /// flight, when its lease expires. `None` if the service is not out of slots.
    pub next_probe_in_ms: Option<u64>,
    /// Attempts that got a slot.
    pub granted: u64,
    /// Slots that were seen to become free.
    pub released: u64,
    /// Attempts that failed because the service was out of slots.
    pub exhausted: u64,
    /// Probes that were sent and have completed.
    pub probes: u64,
    /// Completed probes that found a slot.
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
