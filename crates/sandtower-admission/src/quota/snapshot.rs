use std::time::Duration;

use sandtower_core::Tick;
use serde::Serialize;

use super::engine::Engine;

/// What a [`Quota`](crate::Quota) knows at one moment. Counters count since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QuotaSnapshot {
    /// The name that its user gave it.
    pub name: String,
    /// Slots in use: granted, and not seen to end.
    pub in_use: u32,
    /// How many there are; `None`: not known, since the service has not said yet.
    pub limit: Option<u32>,
    /// Attempts under way that may take one.
    pub under_way: u32,
    /// For how long the service has been out of slots; `None`: it is not.
    pub out_of_slots_ms: Option<u64>,
    /// When a call tries again, if no slot becomes free before that.
    pub next_probe_in_ms: Option<u64>,
    /// Attempts that got a slot.
    pub granted: u64,
    /// Slots that were seen to become free.
    pub released: u64,
    /// Attempts that the service answered with "out of slots".
    pub exhausted: u64,
    /// Attempts that found out whether there is a slot.
    pub probes: u64,
    /// Of those, the ones that found one.
    pub probes_found: u64,
}

impl QuotaSnapshot {
    pub(super) fn of(name: &str, engine: &Engine, now: Tick) -> Self {
        let (waits, counts) = (engine.waits(), engine.counts());
        Self {
            name: name.to_owned(),
            in_use: engine.in_use(),
            limit: engine.limit(),
            under_way: engine.under_way(),
            out_of_slots_ms: waits.map(|no| whole_millis(now.since(no.since))),
            next_probe_in_ms: waits.map(|no| whole_millis(no.at.since(now))),
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
