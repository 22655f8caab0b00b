//! What a listing of the service says of sandboxes, compared with what is counted.

use std::collections::HashSet;

use sandtower::e2b::SandboxId;

use super::account::{Call, Millis, Slot, SlotId};
use super::book::Book;
use super::{KeyId, VirtualKeys};

/// The sandboxes of one upstream key.
#[derive(Debug)]
pub(crate) struct Listed {
    /// All places were listed: what is missing does not run.
    pub(crate) is_whole: bool,
    /// Those that run, with the virtual keys that are marked on them.
    pub(crate) running: Vec<(SandboxId, Option<KeyId>)>,
}

/// Reservations in doubt.
#[derive(Debug)]
pub(crate) struct Doubts(Vec<(KeyId, SlotId)>);

impl Doubts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A listing lags: a sandbox that was started this shortly before it may be missing, as for the tracker.
const LAG: Millis = 20_000;
/// A creation that was in flight when a process ended has no effect after this: longer than a client waits,
/// and than the service takes.
const IN_FLIGHT: Millis = 120_000;

impl VirtualKeys {
    /// The time, for [`compare`](Self::compare).
    pub(crate) fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// The upstream keys for which a listing tells something: also of sandboxes that are not known yet.
    pub(crate) fn to_list(&self) -> HashSet<String> {
        let book = self.inner.book();
        let used = book
            .entries
            .values()
            .filter(|entry| !entry.key.is_revoked() || !entry.account.slots.is_empty());
        used.map(|entry| entry.key.upstream().to_owned()).collect()
    }

    /// The reservations whose calls have ended without it being known what they started, and for which a
    /// tracker looks.
    pub(crate) fn doubts(&self, upstream: &str) -> Doubts {
        let book = self.inner.book();
        let all = reserved(&book, upstream).filter(|(.., call)| *call == Call::Tracked);
        Doubts(all.map(|(id, slot, ..)| (id, slot)).collect())
    }

    /// Nothing is left of what the calls of these reservations may have started.
    pub(crate) fn resolved(&self, doubts: Doubts) {
        let now = self.inner.clock.now();
        let mut book = self.inner.book();
        doubts.0.into_iter().for_each(|(id, slot)| book.undo(id, slot, true, now));
    }

    /// Corrects what is counted by a listing that began at `began`.
    pub(crate) fn compare(&self, upstream: &str, listed: &Listed, began: Millis) {
        let now = self.inner.clock.now();
        let mut book = self.inner.book();
        let running: HashSet<_> = listed.running.iter().map(|(sandbox, _)| sandbox).collect();
        let gone: Vec<_> = of_upstream(&book, upstream)
            .flat_map(|(_, slots)| slots)
            .filter_map(|(_, slot)| match slot {
                Slot::Running { sandbox, since, .. } if since + LAG < began => Some(sandbox),
                _ => None,
            })
            .filter(|sandbox| !running.contains(sandbox))
            .cloned()
            .collect();
        for (sandbox, key) in &listed.running {
            let key = key.or_else(|| book.unmarked.get(sandbox).map(|owned| owned.key));
            let is_known = |id: &KeyId| {
                book.entries.get(id).is_some_and(|entry| entry.key.upstream() == upstream)
            };
            if let Some(id) = key.filter(is_known)
                && book.found(id, sandbox, began, now)
            {
                tracing::info!(key = %id, %sandbox, "sandbox of a virtual key found by a listing");
            }
        }
        if !listed.is_whole {
            return;
        }
        for sandbox in gone {
            book.stopped(&sandbox, now);
        }
        let before = began.saturating_sub(LAG);
        book.disown_ended(upstream, |sandbox| running.contains(sandbox), before);
        book.forget_stopped(began);
        let free: Vec<_> = reserved(&book, upstream)
            .filter(|(_, _, since, call)| *call != Call::InFlight && since + IN_FLIGHT < began)
            .collect();
        free.into_iter().for_each(|(id, slot, ..)| book.undo(id, slot, false, now));
    }
}

fn of_upstream<'a>(
    book: &'a Book,
    upstream: &'a str,
) -> impl Iterator<Item = (KeyId, impl Iterator<Item = (SlotId, &'a Slot)>)> {
    let entries = book.entries.values().filter(move |entry| entry.key.upstream() == upstream);
    entries.map(|entry| {
        (entry.key.id(), entry.account.slots.iter().map(|(slot, taken)| (*slot, taken)))
    })
}

fn reserved<'a>(
    book: &'a Book,
    upstream: &'a str,
) -> impl Iterator<Item = (KeyId, SlotId, Millis, Call)> + 'a {
    of_upstream(book, upstream).flat_map(|(id, slots)| {
        slots.filter_map(move |(slot, taken)| match taken {
            Slot::Reserved { since, call, .. } => Some((id, slot, *since, *call)),
            Slot::Running { .. } => None,
        })
    })
}
