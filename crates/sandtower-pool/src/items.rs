use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Tenant, Tick};
use sandtower_e2b::{CallId, SandboxId};

/// A sandbox in stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// Its id.
    pub(crate) id: SandboxId,
    /// The number of its shape.
    pub(crate) shape: u32,
    /// When it was asked for: its age counts from here.
    pub(crate) created: Tick,
    /// When it ends by itself, at the earliest.
    pub(crate) until: Tick,
    /// When it ends by itself, at the latest.
    pub(crate) ends_by: Tick,
    /// The version of the template, as far as this pool has seen it change.
    pub(crate) version: u32,
    /// The only session that it may go to; `None`: it was not used yet.
    pub(crate) session: Option<SessionOf>,
    /// How often it was used.
    pub(crate) uses: u32,
    /// How many hand-outs have failed in a way that may be the sandbox's or the service's.
    pub(crate) doubts: u32,
    /// What it is doing.
    pub(crate) state: ItemState,
}

/// The session of a tenant.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionOf {
    /// The tenant.
    pub tenant: Tenant,
    /// The key of the session.
    pub key: Arc<str>,
}

impl std::fmt::Debug for SessionOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionOf").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The state of a sandbox in stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// It may be given to a caller.
    Idle,
    /// It is being connected to, and checked.
    Leased(Lease),
    /// Its response is on the way to its caller, and not claimed yet.
    Taken(Lease),
    /// It is being killed.
    Ending,
}

/// One hand-out's claim on a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The number of the hand-out.
    pub(crate) owner: u64,
    /// When the claim expires.
    pub(crate) until: Tick,
}

/// The sandbox that a hand-out needs.
#[derive(Clone, Debug)]
pub(crate) struct Which {
    /// The number of its shape.
    pub(crate) shape: u32,
    /// The version of the template.
    pub(crate) version: u32,
    /// It must not end before that.
    pub(crate) alive_at: Tick,
    /// It must not have been created before that, to live for as long as is asked.
    pub(crate) created_after: Tick,
    /// The session that asks.
    pub(crate) session: Option<SessionOf>,
}

impl Which {
    fn fits(&self, item: &Item) -> bool {
        item.state == ItemState::Idle
            && item.shape == self.shape
            && item.version == self.version
            && item.until >= self.alive_at
            && item.created >= self.created_after
            && (item.session.is_none() || item.session == self.session)
    }
}

impl Item {
    /// One that is idle, and was never used.
    pub(crate) fn idle(
        id: SandboxId,
        (shape, version): (u32, u32),
        created: Tick,
        (until, ends_by): (Tick, Tick),
    ) -> Self {
        let (session, uses, doubts, state) = (None, 0, 0, ItemState::Idle);
        Self { id, shape, created, until, ends_by, version, session, uses, doubts, state }
    }

    /// How long it has been in stock.
    pub(crate) fn age(&self, now: Tick) -> Duration {
        now.since(self.created)
    }
}

/// What changed: a creation, or a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Creation(CallId),
    Sandbox(SandboxId),
}

/// The sandboxes in stock. It never has more than [`max`](crate::Config::max) of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    /// The oldest first.
    items: Vec<Item>,
    /// What changed since it was recorded the last time; `None`: nothing is recorded.
    changed: Option<BTreeSet<Key>>,
}

impl Items {
    /// From here on changes are remembered.
    pub(crate) fn remember(&mut self) {
        self.changed.get_or_insert_default();
    }

    pub(crate) fn change(&mut self, key: impl FnOnce() -> Key) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key());
        }
    }

    pub(crate) fn take_changed(&mut self) -> BTreeSet<Key> {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn get(&self, id: &SandboxId) -> Option<&Item> {
        self.items.iter().find(|item| item.id == *id)
    }

    /// To change it.
    fn find(&mut self, id: &SandboxId) -> Option<&mut Item> {
        self.change(|| Key::Sandbox(id.clone()));
        self.items.iter_mut().find(|item| item.id == *id)
    }

    /// Adds a sandbox.
    pub(crate) fn put(&mut self, item: Item) {
        if self.find(&item.id).is_none() {
            let at = self.items.partition_point(|other| other.created <= item.created);
            self.items.insert(at, item);
        }
    }

    /// Leases the newest idle sandbox that fits until `lease.until`; `None`: there is none.
    pub(crate) fn lease(&mut self, which: &Which, lease: Lease) -> Option<Item> {
        let fits = |item: &&Item| which.fits(item);
        // One that this session has used comes first: no other session may have it.
        let own = self.items.iter().rev().filter(fits).find(|item| item.session.is_some());
        let id = own.or_else(|| self.items.iter().rev().find(fits))?.id.clone();
        let item = self.find(&id)?;
        item.state = ItemState::Leased(lease);
        Some(item.clone())
    }

    /// One that is leased to `lease` is on the way to its caller. `false`: the lease has expired, or the sandbox
    /// is being killed, and must not be given to a caller.
    pub(crate) fn take(&mut self, id: &SandboxId, lease: u64) -> bool {
        let Some(item) = self.find(id) else { return false };
        match item.state {
            ItemState::Leased(held) if held.owner == lease => {
                item.state = ItemState::Taken(held);
                true
            }
            _ => false,
        }
    }

    /// It is connected to: it ends by `ends_by`, as far as that is known.
    pub(crate) fn connects(&mut self, id: &SandboxId, ends_by: Tick) {
        if let Some(item) = self.find(id) {
            item.ends_by = item.ends_by.max(ends_by);
        }
    }

    /// Makes a sandbox that is leased to `lease` idle again; it ends by `ends_by` at the latest. `false`: the
    /// lease has expired, or the sandbox is being killed.
    pub(crate) fn release(&mut self, id: &SandboxId, lease: u64, ends_by: Tick) -> bool {
        let Some(item) = self.find(id) else { return false };
        match item.state {
            ItemState::Leased(held) | ItemState::Taken(held) if held.owner == lease => {
                (item.state, item.ends_by) = (ItemState::Idle, ends_by);
                true
            }
            _ => false,
        }
    }

    /// Counts a failure that may be the sandbox's. Returns how many there were.
    pub(crate) fn doubt(&mut self, id: &SandboxId) -> u32 {
        let Some(item) = self.find(id) else { return 0 };
        item.doubts += 1;
        item.doubts
    }

    /// From here on the sandbox is being killed, whatever it was before. `false`: it is not in stock.
    pub(crate) fn end(&mut self, id: &SandboxId) -> bool {
        self.find(id).map(|item| item.state = ItemState::Ending).is_some()
    }

    /// Removes a sandbox that has ended, or that is its caller's.
    pub(crate) fn remove(&mut self, id: &SandboxId) -> Option<Item> {
        self.change(|| Key::Sandbox(id.clone()));
        let at = self.items.iter().position(|item| item.id == *id)?;
        Some(self.items.remove(at))
    }

    /// All sandboxes, the oldest first.
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, created: u64) -> Item {
        Item {
            id: id.parse().unwrap(),
            shape: 0,
            created: at(created),
            until: at(created + 300),
            ends_by: at(created + 301),
            version: 0,
            session: None,
            uses: 0,
            doubts: 0,
            state: ItemState::Idle,
        }
    }

    fn at(second: u64) -> Tick {
        Tick::ZERO + Duration::from_secs(second)
    }

    fn which() -> Which {
        Which { shape: 0, version: 0, alive_at: at(20), created_after: at(0), session: None }
    }

    fn session(key: &str) -> SessionOf {
        SessionOf { tenant: Tenant::new(1), key: key.into() }
    }

    fn lease(owner: u64) -> Lease {
        Lease { owner, until: at(60) }
    }

    #[test]
    fn the_newest_is_leased_first_and_each_once() {
        let mut stock = Items::default();
        for (id, created) in [("b", 2), ("c", 3), ("a", 1)] {
            stock.put(item(id, created));
            stock.put(item(id, created));
        }
        let leased: Vec<_> = (0..4).map(|owner| stock.lease(&which(), lease(owner))).collect();
        let ids: Vec<_> = leased.iter().flatten().map(|item| item.id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "a"]);
    }

    #[test]
    fn only_the_holder_of_the_lease_takes_it_and_only_until_it_is_ended() {
        let mut stock = Items::default();
        stock.put(item("a", 1));
        let id = stock.lease(&which(), lease(7)).unwrap().id;
        assert!(!stock.take(&id, 8));
        assert!(stock.take(&id, 7));
        assert!(!stock.take(&id, 7), "once");
        assert!(stock.remove(&id).is_some() && stock.items().is_empty());
        stock.put(item("b", 1));
        let id = stock.lease(&which(), lease(9)).unwrap().id;
        assert!(stock.end(&id) && !stock.take(&id, 9));
        assert!(stock.lease(&which(), lease(10)).is_none());
        assert!(stock.remove(&id).is_some() && !stock.end(&id));
    }

    #[test]
    fn a_lease_may_be_given_up_and_the_sandbox_is_idle_again() {
        let mut stock = Items::default();
        stock.put(item("a", 1));
        let id = stock.lease(&which(), lease(7)).unwrap().id;
        assert!(!stock.release(&id, 8, at(0)));
        assert!(stock.release(&id, 7, at(500)) && !stock.release(&id, 7, at(0)));
        assert_eq!(stock.lease(&which(), lease(9)).unwrap().ends_by, at(500));
    }

    #[test]
    fn what_does_not_fit_is_not_leased() {
        let mut stock = Items::default();
        stock.put(item("a", 5));
        for which in [
            Which { shape: 1, ..which() },
            Which { version: 1, ..which() },
            Which { alive_at: at(306), ..which() },
            Which { created_after: at(6), ..which() },
        ] {
            assert!(stock.lease(&which, lease(1)).is_none(), "{which:?}");
        }
    }

    #[test]
    fn a_used_one_goes_to_its_session_and_to_no_other() {
        let mut stock = Items::default();
        stock.put(Item { session: Some(session("mine")), ..item("used", 1) });
        let other_tenant = SessionOf { tenant: Tenant::new(2), key: "mine".into() };
        for session in [None, Some(session("other")), Some(other_tenant)] {
            assert!(stock.lease(&Which { session, ..which() }, lease(1)).is_none());
        }
        stock.put(item("new", 2));
        let mine = Which { session: Some(session("mine")), ..which() };
        assert_eq!(stock.lease(&mine, lease(1)).unwrap().id.as_str(), "used");
        assert_eq!(stock.lease(&mine, lease(2)).unwrap().id.as_str(), "new");
        assert!(!format!("{:?}", session("s3cr3t")).contains("s3cr3t"));
    }
}
