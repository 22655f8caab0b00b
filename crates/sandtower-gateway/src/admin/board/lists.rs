//! What is read only for its own page.

use std::collections::HashMap;

use serde::Serialize;

use super::reading::{Reading, Whose};
use super::rows::{Top, rejected, whole_millis};
use crate::Gateway;
use crate::keys::TenantId;
use crate::place::HOME;

/// Names of what cleanup did not finish.
const ABANDONED: usize = 20;

/// The sandboxes that the gateway knows.
#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct Sandboxes {
    /// Those that have been known for longest.
    #[serde(flatten)]
    pub(in crate::admin) oldest: Top<SandboxRow>,
    /// How many each key has, the most first.
    pub(in crate::admin) by_key: Top<KeyCount>,
    pub(in crate::admin) orphans: Orphans,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct SandboxRow {
    pub(in crate::admin) id: String,
    /// Whose it is, if that is known.
    #[serde(flatten)]
    pub(in crate::admin) whose: Option<Whose>,
    pub(in crate::admin) template: Option<String>,
    /// The place where it is, if that is known and is not home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) place: Option<String>,
    /// How long the gateway has known it.
    pub(in crate::admin) known_ms: u64,
    /// How long ago it was used through the gateway.
    pub(in crate::admin) unused_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct KeyCount {
    /// `None`: it is not known whose they are.
    #[serde(flatten)]
    pub(in crate::admin) whose: Option<Whose>,
    pub(in crate::admin) sandboxes: usize,
}

/// Sandboxes without an owner.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::admin) struct Orphans {
    /// Attempts that may still turn out to have created one.
    pub(in crate::admin) open: u64,
    pub(in crate::admin) killing: u64,
    pub(in crate::admin) killed: u64,
    /// Those of which cleanup did not finish.
    pub(in crate::admin) abandoned: u64,
    /// Some of them: the id of the sandbox, or of the call.
    pub(in crate::admin) last_abandoned: Vec<String>,
}

impl Sandboxes {
    pub(in crate::admin) fn of(gateway: &Gateway, stacks: &[Reading], most: usize) -> Self {
        let (rows, counts) = gateway.shared.sandboxes.oldest(most);
        let more = counts.values().sum::<usize>() - rows.len();
        let row = |row: crate::sandboxes::SandboxRow| SandboxRow {
            id: row.id.to_string(),
            whose: row.tenant.map(|tenant| Whose::of(gateway, tenant)),
            template: row.template.map(String::from),
            place: row.home.filter(|home| &**home != HOME).map(|home| home.to_string()),
            known_ms: whole_millis(row.known),
            unused_ms: whole_millis(row.unused),
        };
        Self {
            oldest: Top { rows: rows.into_iter().map(row).collect(), more },
            by_key: by_key(gateway, counts),
            orphans: orphans(stacks),
        }
    }
}

fn by_key(gateway: &Gateway, counts: HashMap<Option<TenantId>, usize>) -> Top<KeyCount> {
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_unstable_by_key(|(tenant, count)| (std::cmp::Reverse(*count), *tenant));
    let Top { rows, more } = Top::of(all, 20);
    let row = |(tenant, sandboxes): (Option<TenantId>, _)| KeyCount {
        whose: tenant.map(|tenant| Whose::of(gateway, tenant)),
        sandboxes,
    };
    Top { rows: rows.into_iter().map(row).collect(), more }
}

fn orphans(stacks: &[Reading]) -> Orphans {
    let mut all = Orphans::default();
    for Reading { tracker, .. } in stacks {
        all.open += tracker.open;
        all.killing += tracker.killing;
        all.killed += tracker.killed;
        all.abandoned += tracker.abandoned;
        let names = tracker.last_abandoned.iter().rev();
        let names = names.filter_map(|it| it.sandbox.clone().or_else(|| it.call.clone()));
        all.last_abandoned.extend(names.take(ABANDONED - all.last_abandoned.len()));
    }
    all
}

/// What became of creations since the stacks were made.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::admin) struct Creations {
    #[serde(flatten)]
    pub(in crate::admin) all: CreationCounts,
    /// By key, the most creations first.
    pub(in crate::admin) by_key: Vec<CreationRow>,
    pub(in crate::admin) more: usize,
}

#[derive(Clone, Debug, Serialize)]
pub(in crate::admin) struct CreationRow {
    #[serde(flatten)]
    pub(in crate::admin) whose: Whose,
    #[serde(flatten)]
    pub(in crate::admin) counts: CreationCounts,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::admin) struct CreationCounts {
    pub(in crate::admin) started: u64,
    pub(in crate::admin) succeeded: u64,
    /// For good, after retries.
    pub(in crate::admin) failed: u64,
    pub(in crate::admin) failed_attempts: u64,
    /// Calls that the queue rejected.
    pub(in crate::admin) rejected: u64,
    /// Sandboxes of lost responses that were returned to their caller.
    pub(in crate::admin) adopted: u64,
    /// Sandboxes that their health check found dead.
    pub(in crate::admin) discarded: u64,
    /// Orphaned sandboxes that were killed.
    pub(in crate::admin) orphans_killed: u64,
}

impl CreationCounts {
    fn of(stack: &Reading) -> Self {
        let create = stack.admission.queues.iter().find(|it| it.operation == "sandbox_create");
        Self {
            started: stack.events.started,
            succeeded: stack.events.succeeded,
            failed: stack.events.failed,
            failed_attempts: stack.events.failed_attempts,
            rejected: create.map_or(0, rejected),
            adopted: stack.tracker.adopted,
            discarded: stack.handles().health_check.snapshot().discarded,
            orphans_killed: stack.tracker.killed,
        }
    }

    fn add(&mut self, other: &Self) {
        self.started += other.started;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.failed_attempts += other.failed_attempts;
        self.rejected += other.rejected;
        self.adopted += other.adopted;
        self.discarded += other.discarded;
        self.orphans_killed += other.orphans_killed;
    }
}

impl Creations {
    pub(in crate::admin) fn of(stacks: &[Reading], most: usize) -> Self {
        let keys = stacks.iter().filter(|stack| !stack.is_data_plane());
        let mut rows: Vec<CreationRow> = keys
            .map(|stack| CreationRow { whose: stack.whose(), counts: CreationCounts::of(stack) })
            .collect();
        let mut all = CreationCounts::default();
        rows.iter().for_each(|row| all.add(&row.counts));
        rows.sort_by_key(|row| std::cmp::Reverse(row.counts.started));
        let Top { rows: by_key, more } = Top::of(rows, most);
        Self { all, by_key, more }
    }
}
