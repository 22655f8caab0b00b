//! All keys with what they have used: plain data behind one lock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sandtower::e2b::SandboxId;

use super::KeyId;
use super::account::{Account, Call, Exceeded, Millis, Slot, SlotId};
use super::key::{Key, KeyInfo};
use super::secret::Hash;
use super::unmarked::Unmarked;

/// Keys, those included that are revoked.
pub(super) const MOST_KEYS: usize = 100_000;

/// Sandboxes that were stopped since the last listing. If there are more, a listing may count some of them
/// for one round.
const MOST_STOPPED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) entries: HashMap<KeyId, Entry>,
    by_hash: HashMap<Hash, KeyId>,
    /// The sandboxes that run.
    owners: HashMap<SandboxId, (KeyId, SlotId)>,
    next_slot: SlotId,
    /// When sandboxes were stopped: a listing that began before shows them still.
    stopped: HashMap<SandboxId, Millis>,
    /// The sandboxes whose metadata do not tell whose they are.
    pub(super) unmarked: Unmarked,
    /// What the store does not have yet.
    pub(super) news: News,
    /// Grows with each change.
    pub(super) changes: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    pub(super) account: Account,
}

/// What has changed since the store was written.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) keys: HashSet<KeyId>,
    pub(super) accounts: HashSet<KeyId>,
    pub(super) slots: HashMap<SlotId, KeyId>,
    pub(super) unmarked: HashSet<SandboxId>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
            && self.accounts.is_empty()
            && self.slots.is_empty()
            && self.unmarked.is_empty()
    }

    /// What was taken out comes back: it was not written.
    pub(super) fn merge(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.accounts.extend(other.accounts);
        self.slots.extend(other.slots);
        self.unmarked.extend(other.unmarked);
    }
}

impl Book {
    /// The key with this secret, revoked or not.
    pub(super) fn by_hash(&self, hash: &Hash, now: Millis) -> Option<&Arc<Key>> {
        let key = &self.entries.get(self.by_hash.get(hash)?)?.key;
        let lives =
            key.hash == *hash || key.old.is_some_and(|(old, until)| old == *hash && now < until);
        lives.then_some(key)
    }

    /// Whether another key than this one has the secret.
    pub(super) fn has_other(&self, hash: &Hash, id: KeyId) -> bool {
        self.by_hash.get(hash).is_some_and(|found| *found != id)
    }

    /// Adds a key or replaces one.
    pub(super) fn put(&mut self, key: Key) {
        let id = key.id;
        if let Some(before) = self.entries.get(&id) {
            let old = before.key.old.map(|(hash, _)| hash);
            for hash in std::iter::once(before.key.hash).chain(old) {
                self.by_hash.remove(&hash);
            }
        }
        let old = key.old.map(|(hash, _)| hash);
        for hash in std::iter::once(key.hash).chain(old) {
            self.by_hash.insert(hash, id);
        }
        let key = Arc::new(key);
        match self.entries.get_mut(&id) {
            Some(entry) => entry.key = key,
            None => {
                self.entries.insert(id, Entry { key, account: Account::default() });
            }
        }
        self.news.keys.insert(id);
        self.changes += 1;
    }

    /// Takes a key out, as if it had never been there.
    pub(super) fn remove(&mut self, id: KeyId) {
        self.disown_all(id);
        let Some(entry) = self.entries.remove(&id) else { return };
        let old = entry.key.old.map(|(hash, _)| hash);
        for hash in std::iter::once(entry.key.hash).chain(old) {
            self.by_hash.remove(&hash);
        }
        for (slot, taken) in entry.account.slots {
            if let Slot::Running { sandbox, .. } = taken {
                self.owners.remove(&sandbox);
            }
            self.news.slots.insert(slot, id);
        }
        self.news.keys.insert(id);
        self.news.accounts.insert(id);
        self.changes += 1;
    }

    /// Whether one more key may be there; the one that was revoked first makes place, if it has to.
    pub(super) fn make_place(&mut self) -> bool {
        if self.entries.len() < MOST_KEYS {
            return true;
        }
        let revoked = self.entries.values().filter_map(|entry| {
            let idle = entry.account.slots.is_empty() && !entry.key.declared;
            entry.key.revoked.filter(|_| idle).map(|at| (at, entry.key.id))
        });
        let first = revoked.min();
        if let Some((_, id)) = first {
            self.remove(id);
        }
        first.is_some()
    }

    /// A key that was read from the store.
    pub(super) fn restore(&mut self, key: Key, account: Account) {
        let id = key.id;
        for (slot, taken) in &account.slots {
            self.next_slot = self.next_slot.max(slot + 1);
            if let Slot::Running { sandbox, .. } = taken {
                self.owners.insert(sandbox.clone(), (id, *slot));
            }
        }
        self.put(key);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.account = account;
        }
        self.news = News::default();
    }

    /// The account of a key, as of `now`.
    pub(super) fn at(&mut self, id: KeyId, now: Millis) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&id)?;
        for (slot, sandbox) in entry.account.advance(now) {
            self.owners.remove(&sandbox);
            self.news.slots.insert(slot, id);
            self.news.accounts.insert(id);
            self.changes += 1;
        }
        Some(entry)
    }

    pub(super) fn info(&mut self, id: KeyId, now: Millis) -> Option<KeyInfo> {
        let entry = self.at(id, now)?;
        Some(entry.key.info(entry.account.usage(&entry.key.limits), now))
    }

    /// Takes a place for a call of the key: one that creates, or one that starts what was there before.
    pub(super) fn reserve(
        &mut self,
        id: KeyId,
        creates: bool,
        now: Millis,
    ) -> Option<Result<SlotId, Exceeded>> {
        let slot = self.next_slot;
        let entry = self.at(id, now)?;
        let limits = entry.key.limits;
        let taken = match creates {
            true => entry.account.create(slot, &limits, now),
            false => entry.account.start(slot, &limits, now),
        };
        Some(taken.map(|()| {
            self.next_slot += 1;
            self.changed(id, slot);
            slot
        }))
    }

    /// The call of a place has started `sandbox`.
    pub(super) fn runs(
        &mut self,
        id: KeyId,
        slot: SlotId,
        sandbox: &SandboxId,
        ends: Option<Millis>,
        now: Millis,
    ) {
        let Some(entry) = self.at(id, now) else { return };
        let kept = entry.account.runs(slot, sandbox, ends, now);
        self.owners.insert(sandbox.clone(), (id, kept));
        self.changed(id, slot);
        self.changed(id, kept);
    }

    /// The sandbox was running at `began`, and no call of the key has a place for it.
    pub(super) fn found(
        &mut self,
        id: KeyId,
        sandbox: &SandboxId,
        began: Millis,
        now: Millis,
    ) -> bool {
        let stopped_since = self.stopped.get(sandbox).is_some_and(|at| *at >= began);
        if stopped_since || self.owners.contains_key(sandbox) || self.at(id, now).is_none() {
            return false;
        }
        let slot = self.next_slot;
        self.next_slot += 1;
        self.runs(id, slot, sandbox, None, now);
        true
    }

    /// The sandbox does not run anymore.
    pub(super) fn stopped(&mut self, sandbox: &SandboxId, now: Millis) {
        let Some((id, slot)) = self.owners.get(sandbox).copied() else { return };
        let Some(entry) = self.at(id, now) else { return };
        entry.account.slots.remove(&slot);
        self.owners.remove(sandbox);
        if self.stopped.len() >= MOST_STOPPED {
            self.stopped.clear();
        }
        self.stopped.insert(sandbox.clone(), now);
        self.changed(id, slot);
    }

    /// What was stopped before is of no more use.
    pub(super) fn forget_stopped(&mut self, before: Millis) {
        self.stopped.retain(|_, at| *at >= before);
    }

    /// The sandbox runs until then, or at least until then.
    pub(super) fn ends(
        &mut self,
        sandbox: &SandboxId,
        ends: Option<Millis>,
        at_least: bool,
        now: Millis,
    ) {
        let Some((id, slot)) = self.owners.get(sandbox).copied() else { return };
        let Some(entry) = self.at(id, now) else { return };
        match at_least {
            true => entry.account.extend(slot, ends),
            false => entry.account.set_end(slot, ends),
        }
        self.changed(id, slot);
    }

    /// The call of a place has started nothing. If that is sure, a creation does not count.
    pub(super) fn undo(&mut self, id: KeyId, slot: SlotId, is_sure: bool, now: Millis) {
        let Some(entry) = self.at(id, now) else { return };
        entry.account.undo(slot, is_sure);
        self.changed(id, slot);
    }

    /// The call of a place has ended, and it is not known whether its sandbox runs.
    pub(super) fn doubt(&mut self, id: KeyId, slot: SlotId, what: Call) {
        let entry = self.entries.get_mut(&id);
        if let Some(Slot::Reserved { call, .. }) =
            entry.and_then(|entry| entry.account.slots.get_mut(&slot))
        {
            *call = what;
        }
    }

    /// The place that the sandbox has is taken by `slot` from here on.
    pub(super) fn release(&mut self, id: KeyId, at: SlotId, sandbox: &SandboxId, slot: Slot) {
        if self.owners.get(sandbox) != Some(&(id, at)) {
            return;
        }
        self.owners.remove(sandbox);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.account.slots.insert(at, slot);
        }
        self.changed(id, at);
    }

    /// Whose sandbox it is, if it runs, or has no mark.
    pub(super) fn owner(&self, sandbox: &SandboxId) -> Option<&Entry> {
        let runs = self.owners.get(sandbox).map(|(id, _)| *id);
        let id = runs.or_else(|| self.unmarked.get(sandbox).map(|owned| owned.key))?;
        self.entries.get(&id)
    }

    /// When the time of a sandbox that runs is over; `None` in it: that is not known.
    pub(super) fn end_of(&self, sandbox: &SandboxId) -> Option<Option<Millis>> {
        let (id, slot) = self.owners.get(sandbox)?;
        match self.entries.get(id)?.account.slots.get(slot)? {
            Slot::Running { ends, .. } => Some(*ends),
            Slot::Reserved { .. } => None,
        }
    }

    fn changed(&mut self, id: KeyId, slot: SlotId) {
        self.news.accounts.insert(id);
        self.news.slots.insert(slot, id);
        self.changes += 1;
    }
}
