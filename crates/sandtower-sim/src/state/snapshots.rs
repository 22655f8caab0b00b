//! Snapshots: what sandboxes can be created from besides templates.

use super::*;

/// Snapshots at a time, of all teams.
const MAX_SNAPSHOTS: usize = 1_000;
/// How the simulator calls every team in the full names of snapshots.
pub(crate) const TEAM_SLUG: &str = "team";
/// The tag of what names none.
pub(crate) const DEFAULT_TAG: &str = "default";

/// The snapshots of all teams, in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    taken: u64,
    by_number: BTreeMap<u64, Snapshot>,
}

/// A snapshot of a sandbox.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) team: Arc<str>,
    /// The sandbox that it was taken of.
    pub(crate) sandbox: String,
    pub(crate) template_id: String,
    pub(crate) name: Option<String>,
    pub(crate) tag: String,
    /// Whether sandboxes of it start with the memory, and do not boot.
    pub(crate) has_memory: bool,
    pub(crate) settings: Settings,
    pub(crate) files: Files,
}

impl Snapshot {
    /// What it is called in full, without its tag.
    pub(crate) fn full_name(&self) -> Option<String> {
        self.name.as_ref().map(|name| format!("{TEAM_SLUG}/{name}"))
    }

    /// What it is created from by.
    pub(crate) fn id(&self) -> String {
        let name = self.full_name().unwrap_or_else(|| self.template_id.clone());
        format!("{name}:{}", self.tag)
    }
}

impl Snapshots {
    /// Adds a snapshot, in place of one with the same name and tag; false if there are too many.
    pub(crate) fn add(&mut self, snapshot: Snapshot) -> bool {
        let id = snapshot.id();
        self.by_number.retain(|_, old| old.team != snapshot.team || old.id() != id);
        if self.by_number.len() >= MAX_SNAPSHOTS {
            return false;
        }
        self.taken += 1;
        self.by_number.insert(self.taken, snapshot);
        true
    }

    /// A team's snapshots with their numbers, the newest first.
    pub(crate) fn of<'a>(&'a self, team: &'a str) -> impl Iterator<Item = (u64, &'a Snapshot)> {
        let all = self.by_number.iter().rev().map(|(number, snapshot)| (*number, snapshot));
        all.filter(move |(_, snapshot)| &*snapshot.team == team)
    }

    /// A team's snapshot by its id or name, with or without team and tag.
    pub(crate) fn find<'a>(
        &'a self,
        team: &'a str,
        identifier: &str,
    ) -> Option<(u64, &'a Snapshot)> {
        let (name, tag) = split(identifier);
        self.of(team).find(|(_, snapshot)| {
            let named = snapshot.name.as_deref() == Some(name) || snapshot.template_id == name;
            named && snapshot.tag == tag.unwrap_or(DEFAULT_TAG)
        })
    }

    /// The id of the template that a team's snapshots of this name belong to.
    pub(crate) fn template_of(&self, team: &str, name: &str) -> Option<String> {
        let named = |(_, old): &(u64, &Snapshot)| old.name.as_deref() == Some(name);
        self.of(team).find(named).map(|(_, old)| old.template_id.clone())
    }

    /// Removes a team's snapshot; false if there is none.
    pub(crate) fn remove(&mut self, team: &str, identifier: &str) -> bool {
        let found = self.find(team, identifier).map(|(number, _)| number);
        found.is_some_and(|number| self.by_number.remove(&number).is_some())
    }
}

/// A name without its team, and its tag.
pub(crate) fn split(identifier: &str) -> (&str, Option<&str>) {
    let (name, tag) = match identifier.rsplit_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (identifier, None),
    };
    (name.strip_prefix(TEAM_SLUG).and_then(|name| name.strip_prefix('/')).unwrap_or(name), tag)
}
