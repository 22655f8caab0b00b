//! Sandboxes of virtual keys that do not have the mark of their key in their metadata: those from a warm pool,
//! which were created before it was known for whom. Whose they are is known here alone, and in the store.

use std::collections::HashMap;

use sandtower::e2b::SandboxId;

use super::account::{Call, Millis, Slot, SlotId};
use super::book::Book;
use super::{KeyId, StoreState, VirtualKeys};

/// The most at a time: beyond that, sandboxes are created with the mark.
const MOST: usize = 20_000;
/// One that may be paused is asked about this often.
const AGAIN: Millis = 600_000;

/// Whose a sandbox without a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) key: KeyId,
    /// When it was started last: a listing may not have it for a while.
    pub(super) since: Millis,
    /// It was paused, or resumed in a way that may pause it: that it does not run does not mean that it has
    /// ended.
    pub(super) may_pause: bool,
}

/// All of them, and when the service was asked about one that may be paused.
#[derive(Debug, Default)]
pub(super) struct Unmarked {
    owned: HashMap<SandboxId, Owned>,
    asked: HashMap<SandboxId, Millis>,
}

impl Unmarked {
    pub(super) fn get(&self, sandbox: &SandboxId) -> Option<Owned> {
        self.owned.get(sandbox).copied()
    }

    pub(super) fn restore(&mut self, sandbox: SandboxId, owned: Owned) {
        self.owned.insert(sandbox, owned);
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &SandboxId> {
        self.owned.keys()
    }
}

impl Book {
    /// The sandbox is about to be given to the call of a place, which creates one: from here on it is the
    /// key's.
    pub(super) fn assign(&mut self, id: KeyId, slot: SlotId, sandbox: &SandboxId, now: Millis) {
        self.runs(id, slot, sandbox, None, now);
        let owned = Owned { key: id, since: now, may_pause: false };
        self.unmarked.owned.insert(sandbox.clone(), owned);
        self.news.unmarked.insert(sandbox.clone());
    }

    /// It was not given to it after all: the place is as it was.
    pub(super) fn withdraw(&mut self, id: KeyId, slot: SlotId, sandbox: &SandboxId, since: Millis) {
        self.disown(sandbox);
        self.release(
            id,
            slot,
            sandbox,
            Slot::Reserved { since, creates: true, call: Call::InFlight },
        );
    }

    /// It does not exist any more.
    pub(super) fn disown(&mut self, sandbox: &SandboxId) {
        if self.unmarked.owned.remove(sandbox).is_some() {
            self.unmarked.asked.remove(sandbox);
            self.news.unmarked.insert(sandbox.clone());
            self.changes += 1;
        }
    }

    /// Those of a key that is no more.
    pub(super) fn disown_all(&mut self, id: KeyId) {
        let theirs = |(_, owned): &(&SandboxId, &Owned)| owned.key == id;
        let all: Vec<_> =
            self.unmarked.owned.iter().filter(theirs).map(|it| it.0.clone()).collect();
        all.iter().for_each(|sandbox| self.disown(sandbox));
    }

    /// The sandbox was started, or it was paused.
    fn may_pause(&mut self, sandbox: &SandboxId, now: Millis) {
        if let Some(owned) = self.unmarked.owned.get_mut(sandbox) {
            (owned.since, owned.may_pause) = (now, true);
            self.news.unmarked.insert(sandbox.clone());
            self.changes += 1;
        }
    }

    /// Forgets those of an upstream key that have ended: they ran before `before`, and do not any more.
    pub(super) fn disown_ended(
        &mut self,
        upstream: &str,
        runs: impl Fn(&SandboxId) -> bool,
        before: Millis,
    ) {
        let is_of = |owned: &Owned| {
            self.entries.get(&owned.key).is_none_or(|entry| entry.key.upstream() == upstream)
        };
        let ended = |(sandbox, owned): &(&SandboxId, &Owned)| {
            !owned.may_pause && owned.since < before && is_of(owned) && !runs(sandbox)
        };
        let all: Vec<_> = self.unmarked.owned.iter().filter(ended).map(|it| it.0.clone()).collect();
        all.iter().for_each(|sandbox| self.disown(sandbox));
    }
}

impl VirtualKeys {
    /// Whether a sandbox without a mark can be given to a key: it is known whose it is for as long as it
    /// lives, also after a restart.
    pub(crate) fn keeps_unmarked(&self) -> bool {
        let is_stored = self.store() == StoreState::Available;
        is_stored && self.inner.book().unmarked.owned.len() < MOST
    }

    /// Whose a sandbox without a mark is, whether it runs or is paused.
    pub(crate) fn unmarked_owner(&self, sandbox: &SandboxId) -> Option<KeyId> {
        self.inner.book().unmarked.get(sandbox).map(|owned| owned.key)
    }

    /// Whether any sandbox of the key is without its mark.
    pub(crate) fn has_unmarked(&self, key: KeyId) -> bool {
        self.inner.book().unmarked.owned.values().any(|owned| owned.key == key)
    }

    /// The sandbox was paused, or resumed: it may be paused from here on.
    pub(crate) fn pauses(&self, sandbox: &SandboxId) {
        let now = self.inner.clock.now();
        self.inner.book().may_pause(sandbox, now);
    }

    /// The sandbox does not exist any more. Waits until that is stored.
    pub(crate) async fn gone(&self, sandbox: &SandboxId) {
        self.inner.book().disown(sandbox);
        self.stopped(sandbox).await;
    }

    /// Some sandboxes of an upstream key of which no listing tells whether they exist: at most `most`, each
    /// once in ten minutes.
    pub(crate) fn to_ask(&self, upstream: &str, most: usize) -> Vec<SandboxId> {
        let now = self.inner.clock.now();
        let mut book = self.inner.book();
        let Book { unmarked, entries, .. } = &mut *book;
        let is_due = |(sandbox, owned): &(&SandboxId, &Owned)| {
            let last = unmarked.asked.get(*sandbox).copied().unwrap_or(owned.since);
            let is_of = |entry: &super::book::Entry| entry.key.upstream() == upstream;
            owned.may_pause
                && last.saturating_add(AGAIN) <= now
                && entries.get(&owned.key).is_some_and(is_of)
        };
        let due = unmarked.owned.iter().filter(is_due).take(most);
        let due: Vec<_> = due.map(|(sandbox, _)| sandbox.clone()).collect();
        unmarked.asked.extend(due.iter().map(|sandbox| (sandbox.clone(), now)));
        due
    }
}
