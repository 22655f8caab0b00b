//! The ledger of sandboxes that were or may have been created and that no caller owns: a pure engine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Backoff, Rng, Tick};

use super::origin::Orphaned;
use super::snapshot::{Abandoned, TrackerSnapshot};
use super::timing::Timing;
use crate::{Marks, SandboxId};

/// The most attempts that are watched, and the most sandboxes that are being killed. Beyond that the
/// oldest entry is dropped: memory is bounded, and a ledger that long means an outage.
pub(super) const MOST: usize = 10_000;
/// The most dropped entries that are remembered.
const MOST_GIVEN_UP: usize = 256;
/// A listing or a kill that has not returned after this long is repeated: its task was lost.
const LEASE: Duration = Duration::from_secs(180);
const SLOWEST_SWEEP: Duration = Duration::from_secs(60);
const KILLS: Backoff = Backoff::exponential(Duration::from_secs(1), Duration::from_secs(30));

#[derive(Debug)]
pub(super) struct Ledger {
    timing: Timing,
    /// Attempts that may still turn out to have created a sandbox.
    open: BTreeMap<Marks, Open>,
    releases: BTreeMap<SandboxId, Release>,
    /// When the listing in flight began.
    lists: bool,
    /// Kills by the time of the next try.
    due: BTreeSet<(Tick, SandboxId)>,
    next_listing: Tick,
    failed_listings: u32,
    rng: Rng,
    last_abandoned: VecDeque<Abandoned>,
    counts: TrackerSnapshot,
    dropped: Vec<Arc<Orphaned>>,
}

#[derive(Clone, Debug)]
struct Open {
    /// A sandbox of this attempt is on every listing that begins at this time or later.
    until: Tick,
    /// Until then its own call may still adopt it.
    not_before: Tick,
    origin: Option<Arc<Orphaned>>,
}

#[derive(Clone, Debug)]
struct Release {
    next: Tick,
    /// A kill is in flight.
    is_killing: bool,
    failures: u32,
    gives_up: Tick,
    origin: Option<Arc<Orphaned>>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Kill(SandboxId),
    List,
    /// Nothing before this instant.
    At(Tick),
    /// The ledger is empty.
    Idle,
}

/// The result of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(super) sandboxes: Vec<(SandboxId, Marks)>,
    /// Whether all pages could be read.
    pub(super) complete: bool,
}

impl Ledger {
    pub(super) fn new(timing: Timing, rng: Rng) -> Self {
        Self {
            timing,
            open: BTreeMap::new(),
            releases: BTreeMap::new(),
            lists: false,
            due: BTreeSet::new(),
            next_listing: Tick::ZERO,
            failed_listings: 0,
            rng,
            last_abandoned: VecDeque::new(),
            counts: TrackerSnapshot::default(),
            dropped: Vec::new(),
        }
    }

    /// An attempt that was sent at `sent` ended without a known result. Its sandbox is not killed before
    /// `not_before`.
    ///
    /// Returns the entry that was dropped to make space.
    pub(super) fn watch(
        &mut self,
        attempt: Marks,
        sent: Tick,
        not_before: Tick,
        now: Tick,
    ) -> Option<Abandoned> {
        if self.open.is_empty() {
            self.next_listing = now + self.timing.sweep_every;
        }
        let until = (sent + self.timing.watched_for()).max(not_before);
        let open = Open { until, not_before, origin: None };
        match self.open.insert(attempt, open) {
            None => self.counts.watched += 1,
            Some(before) => self.dropped.extend(before.origin),
        }
        if self.open.len() <= MOST {
            return None;
        }
        let (&oldest, _) = self.open.iter().min_by_key(|(_, open)| open.until)?;
        self.close(&oldest);
        Some(self.give_up(Abandoned::attempt(oldest)))
    }

    /// Adopts a sandbox of `attempt` for its own call. `false`: it is being killed.
    pub(super) fn adopt(&mut self, attempt: Marks, sandbox: &SandboxId) -> bool {
        if self.releases.contains_key(sandbox) {
            return false;
        }
        self.close(&attempt);
        true
    }

    pub(super) fn adopted(&mut self) {
        self.counts.adopted += 1;
    }

    /// The result of `attempt` is known.
    pub(super) fn resolve(&mut self, attempt: &Marks) {
        self.close(attempt);
    }

    /// `sandbox` is orphaned.
    pub(super) fn release(&mut self, sandbox: SandboxId, now: Tick) -> Option<Abandoned> {
        if self.releases.contains_key(&sandbox) {
            return None;
        }
        let mut abandoned = None;
        if self.releases.len() >= MOST
            && let Some((_, oldest)) = self.due.first().cloned()
        {
            self.forget(&oldest);
            abandoned = Some(self.give_up(Abandoned::sandbox(&oldest)));
        }
        let gives_up = now + self.timing.abandon_after;
        self.due.insert((now, sandbox.clone()));
        let release = Release { next: now, is_killing: false, failures: 0, gives_up, origin: None };
        self.releases.insert(sandbox, release);
        abandoned
    }

    /// Where an attempt that is watched comes from.
    pub(super) fn attempt_is_of(&mut self, attempt: &Marks, origin: Arc<Orphaned>) {
        let open = self.open.get_mut(attempt);
        self.dropped.extend(match open {
            Some(open) => open.origin.replace(origin),
            None => Some(origin),
        });
    }

    /// Where a sandbox that is being released comes from, if that is not known yet.
    pub(super) fn sandbox_is_of(&mut self, sandbox: &SandboxId, origin: Arc<Orphaned>) {
        match self.releases.get_mut(sandbox) {
            Some(release) if release.origin.is_none() => release.origin = Some(origin),
            _ => self.dropped.push(origin),
        }
    }

    /// Where a sandbox that is being released comes from.
    pub(super) fn origin(&self, sandbox: &SandboxId) -> Option<Arc<Orphaned>> {
        self.releases.get(sandbox)?.origin.clone()
    }

    /// Values to drop after the lock is released: dropping a span runs code of the subscriber.
    pub(super) fn take_dropped(&mut self) -> Vec<Arc<Orphaned>> {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn is_releasing(&self, sandbox: &SandboxId) -> bool {
        self.releases.contains_key(sandbox)
    }

    /// What to do at `now`. The outcome is reported by one of the methods below.
    pub(super) fn next(&mut self, now: Tick) -> Next {
        let due = self.due.first().cloned();
        if let Some((at, sandbox)) = &due
            && *at <= now
        {
            self.reschedule(sandbox, now + LEASE, true);
            return Next::Kill(sandbox.clone());
        }
        let listing = (!self.open.is_empty()).then_some(self.next_listing);
        if listing.is_some_and(|at| at <= now) {
            self.next_listing = now + LEASE;
            self.lists = true;
            return Next::List;
        }
        match (due.map(|(at, _)| at), listing) {
            (Some(kill), Some(list)) => Next::At(kill.min(list)),
            (Some(at), None) | (None, Some(at)) => Next::At(at),
            (None, None) => Next::Idle,
        }
    }

    /// Makes everything due at `now`; with `takes_over` also the work of a task that will not report any
    /// more.
    pub(super) fn hurry(&mut self, takes_over: bool, now: Tick) {
        let waits = |release: &Release| takes_over || !release.is_killing;
        let waiting: Vec<SandboxId> =
            self.releases.iter().filter(|(_, it)| waits(it)).map(|(id, _)| id.clone()).collect();
        waiting.iter().for_each(|sandbox| self.reschedule(sandbox, now, false));
        if takes_over || !self.lists {
            self.next_listing = now;
        }
    }

    /// The unresolved entries.
    pub(super) fn orphans(&self) -> (Vec<Marks>, Vec<SandboxId>) {
        (self.open.keys().copied().collect(), self.releases.keys().cloned().collect())
    }

    /// A listing that began at `began` returned.
    pub(super) fn listed(&mut self, listed: Listed, began: Tick, now: Tick) -> Vec<Abandoned> {
        self.lists = false;
        let mut abandoned = Vec::new();
        for (sandbox, marks) in listed.sandboxes {
            let due = self.open.get(&marks).filter(|open| open.not_before <= now);
            let Some(origin) = due.map(|open| open.origin.clone()) else { continue };
            abandoned.extend(self.release(sandbox.clone(), now));
            if let Some(origin) = origin {
                self.sandbox_is_of(&sandbox, origin);
            }
        }
        if !listed.complete {
            abandoned.extend(self.listing_failed(now));
            return abandoned;
        }
        self.failed_listings = 0;
        self.next_listing = now + self.timing.sweep_every;
        let Self { open, dropped, .. } = self;
        open.retain(|_, open| {
            let stays = began < open.until;
            if !stays {
                dropped.extend(open.origin.take());
            }
            stays
        });
        abandoned
    }

    /// A listing failed. Attempts that were watched for too long are dropped.
    pub(super) fn listing_failed(&mut self, now: Tick) -> Vec<Abandoned> {
        let sweeps = Backoff::exponential(self.timing.sweep_every, SLOWEST_SWEEP);
        self.failed_listings = self.failed_listings.saturating_add(1);
        let wait = sweeps.full_jitter().delay(self.failed_listings, &mut self.rng);
        self.next_listing = now + self.timing.sweep_every.max(wait);
        let patience = self.timing.abandon_after;
        let too_long = |open: &Open| open.until + patience <= now;
        let lost: Vec<Marks> =
            self.open.iter().filter(|(_, open)| too_long(open)).map(|(a, _)| *a).collect();
        lost.into_iter()
            .map(|attempt| {
                self.close(&attempt);
                self.give_up(Abandoned::attempt(attempt))
            })
            .collect()
    }

    /// A sandbox has ended. `was_there`: this kill ended it.
    pub(super) fn killed(&mut self, sandbox: &SandboxId, was_there: bool) {
        let Some(release) = self.forget(sandbox) else { return };
        // An earlier kill may have succeeded although it failed for us.
        match was_there || release.failures > 0 {
            true => self.counts.killed += 1,
            false => self.counts.gone += 1,
        }
    }

    /// A kill failed. It is retried, or dropped.
    pub(super) fn kill_failed(&mut self, sandbox: &SandboxId, now: Tick) -> Option<Abandoned> {
        let release = self.releases.get_mut(sandbox)?;
        if release.gives_up <= now {
            self.forget(sandbox);
            return Some(self.give_up(Abandoned::sandbox(sandbox)));
        }
        let wait = KILLS.full_jitter().delay(release.failures, &mut self.rng);
        release.failures = release.failures.saturating_add(1);
        self.reschedule(sandbox, now + wait, false);
        None
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.releases.is_empty()
    }

    pub(super) fn left(&self) -> u64 {
        (self.open.len() + self.releases.len()) as u64
    }

    pub(super) fn snapshot(&self) -> TrackerSnapshot {
        TrackerSnapshot {
            open: self.open.len() as u64,
            killing: self.releases.len() as u64,
            last_abandoned: self.last_abandoned.iter().cloned().collect(),
            ..self.counts.clone()
        }
    }

    fn close(&mut self, attempt: &Marks) {
        self.dropped.extend(self.open.remove(attempt).and_then(|open| open.origin));
    }

    fn forget(&mut self, sandbox: &SandboxId) -> Option<Release> {
        let mut release = self.releases.remove(sandbox)?;
        self.dropped.extend(release.origin.take());
        self.due.remove(&(release.next, sandbox.clone()));
        Some(release)
    }

    fn reschedule(&mut self, sandbox: &SandboxId, next: Tick, is_killing: bool) {
        if let Some(release) = self.releases.get_mut(sandbox) {
            self.due.remove(&(release.next, sandbox.clone()));
            (release.next, release.is_killing) = (next, is_killing);
            self.due.insert((next, sandbox.clone()));
        }
    }

    fn give_up(&mut self, what: Abandoned) -> Abandoned {
        self.counts.abandoned += 1;
        if self.last_abandoned.len() >= MOST_GIVEN_UP {
            self.last_abandoned.pop_front();
        }
        self.last_abandoned.push_back(what.clone());
        what
    }
}

#[cfg(test)]
mod tests;
