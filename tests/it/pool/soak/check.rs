//! What the ledger of the simulator says about a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandtower::pool::PoolSnapshot;
use sandtower_sim::Sim;

use super::process::Seen;

/// A run that has ended.
pub(super) struct Run {
    pub(super) sim: Sim,
    pub(super) handed_out: Vec<(String, Duration)>,
    pub(super) seen: Seen,
    pub(super) snapshots: Vec<PoolSnapshot>,
    pub(super) most: usize,
    pub(super) seed: u64,
}

impl Run {
    /// None was returned dead, or twice, or is left.
    #[expect(
        clippy::print_stdout,
        reason = "a run of many hand-outs is read by whoever started it"
    )]
    pub(super) fn is_well(&self) {
        let Self { sim, handed_out, snapshots, seed, .. } = self;
        let ledger = sim.ledger();
        let records: BTreeMap<_, _> =
            ledger.sandboxes.iter().map(|it| (it.id.as_str(), it)).collect();
        let mut seen = BTreeSet::new();
        let (mut dead, mut twice) = (0, 0);
        for (id, at) in handed_out {
            twice += u32::from(!seen.insert(id));
            let record = records[id.as_str()];
            // It may die in the milliseconds between the check and the caller.
            let soon = *at - Duration::from_millis(100).min(*at);
            dead += u32::from(record.zombie || record.ended_at.is_some_and(|ended| ended < soon));
        }
        let late = ledger.sandboxes.iter().filter(|record| {
            let ended = record.ended_at.unwrap_or(ledger.now);
            ended - record.created_at > Duration::from_secs(300)
        });
        let sum = |of: fn(&PoolSnapshot) -> u64| snapshots.iter().map(of).sum::<u64>();
        println!(
            "seed {seed}: {} hand-outs of {} sandboxes by {} processes; {} found dead; returned dead: {dead}, \
             twice: {twice}; left: {}, most in stock: {}",
            sum(|pool| pool.hits),
            ledger.creates.created,
            snapshots.len(),
            sum(|pool| pool.dead),
            sim.active(),
            self.most,
        );
        assert_eq!((dead, twice, sim.active(), late.count()), (0, 0, 0, 0), "seed {seed}");
    }

    /// At no instant the service had more than `most` sandboxes in stock: those that were created for it, and
    /// that have not ended and were not taken.
    #[expect(
        clippy::print_stdout,
        reason = "a run of many hand-outs is read by whoever started it"
    )]
    pub(super) fn is_within_bounds(&self, most: usize) {
        let Self { sim, seen, seed, .. } = self;
        let ledger = sim.ledger();
        let is_stock =
            |call: &Option<String>| call.as_ref().is_some_and(|it| seen.calls.contains(it));
        let stock = ledger.sandboxes.iter().filter(|record| is_stock(&record.call));
        let mut changes = Vec::new();
        let mut seconds = 0.0;
        for record in stock {
            let ended = record.ended_at.unwrap_or(ledger.now);
            let until = seen.taken.get(&record.id).map_or(ended, |taken| ended.min(*taken));
            seconds += until.saturating_sub(record.created_at).as_secs_f64();
            changes.extend([(record.created_at, true, &record.id), (until, false, &record.id)]);
        }
        // What ends at an instant makes room for what begins.
        changes.sort();
        let mut now = BTreeSet::new();
        let (mut highest, mut above) = (0, 0);
        for (_, begins, id) in changes {
            match begins {
                true => {
                    now.insert(id);
                    above += u32::from(now.len() > most);
                }
                false => drop(now.remove(id)),
            }
            highest = highest.max(now.len());
        }
        let spent = seconds / ledger.now.as_secs_f64() * 0.1;
        println!(
            "seed {seed}: at most {highest} in stock at an instant, ${spent:.2} an hour in the mean; {above} \
             creations beyond {most}, of {}",
            seen.calls.len()
        );
        assert_eq!(above, 0, "seed {seed}");
        assert!(highest > most / 2, "seed {seed}: that is no test");
    }
}
