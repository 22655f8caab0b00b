use super::rows::Top;
use crate::virtual_keys::{KeyInfo, VirtualKeys};

/// Keys that are listed.
const MOST: usize = 3;

/// A limit of a virtual key that is nearly used up.
#[derive(Clone, Debug)]
pub(super) struct KeyLimit {
    pub(super) name: String,
    pub(super) what: &'static str,
    pub(super) used: u64,
    pub(super) limit: u64,
}

/// The limits of keys that are nearly used up, the fullest first.
pub(super) fn nearly_used_up(keys: &VirtualKeys) -> Top<KeyLimit> {
    let all = keys.list();
    let live = all.iter().filter(|key| key.revoked.is_none());
    let mut full: Vec<(f64, KeyLimit)> = live.flat_map(of).collect();
    full.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    Top::of(full.into_iter().map(|(_, limit)| limit).collect(), MOST)
}

fn of(key: &KeyInfo) -> impl Iterator<Item = (f64, KeyLimit)> {
    let usage = &key.usage;
    let all = [
        ("sandboxes at once", usage.concurrent_sandboxes),
        ("creations a minute", usage.creations_per_minute),
        ("creations a day", usage.creations_per_day),
        ("sandbox seconds a day", usage.sandbox_seconds_per_day),
    ];
    all.into_iter().filter(|(_, used)| used.warning).filter_map(|(what, used)| {
        let (name, limit) = (key.name.clone(), used.limit?);
        Some((used.share?, KeyLimit { name, what, used: used.used, limit }))
    })
}
