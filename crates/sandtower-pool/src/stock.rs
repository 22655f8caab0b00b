use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{Tenant, Tick};
use sandtower_e2b::SandboxId;

/// Where warm sandboxes are kept, and which of them are leased.
///
/// A sandbox is idle, then leased for a short time to one hand-out, then taken: it leaves the stock and is
/// its caller's. One whose lease expires is never returned to a caller, but killed. [`MemoryStock`] is the stock of one
/// process; a store that several processes share implements the same steps, each as one atomic change.
///
/// A stock is bounded by its pool: it never has more than [`max`](crate::Config::max) sandboxes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep warm sandboxes",
    label = "not a `Stock`",
    note = "`MemoryStock` does"
)]
pub trait Stock: std::fmt::Debug + Send {
    /// Adds a sandbox.
    fn put(&mut self, item: Item);

    /// Leases the newest idle sandbox that fits until `lease.until`; `None`: there is none.
    fn lease(&mut self, which: &Which, lease: Lease) -> Option<Item>;

    /// Removes a sandbox that is leased to `lease`: it is the caller's. `false`: the lease has expired, or the
    /// sandbox is being killed, and must not be given to a caller.
    fn take(&mut self, id: &SandboxId, lease: u64) -> bool;

    /// Makes a sandbox that is leased to `lease` idle again; it ends by `ends_by` at the latest. `false`: the
    /// lease has expired, or the sandbox is being killed.
    fn release(&mut self, id: &SandboxId, lease: u64, ends_by: Tick) -> bool;

    /// From here on the sandbox is being killed, whatever it was before. `false`: it is not in stock.
    fn end(&mut self, id: &SandboxId) -> bool;

    /// Removes a sandbox that has ended.
    fn remove(&mut self, id: &SandboxId) -> Option<Item>;

    /// All sandboxes, the oldest first.
    fn items(&self) -> &[Item];
}

/// A sandbox in stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: SandboxId,
    /// The number of its shape.
    pub shape: u32,
    /// When it was asked for: its age counts from here.
    pub created: Tick,
    /// When it ends by itself, at the earliest.
    pub until: Tick,
    /// When it ends by itself, at the latest.
    pub ends_by: Tick,
    /// The version of the template, as far as this pool has seen it change.
    pub version: u32,
    /// The only session that it may go to; `None`: it was not used yet.
    pub session: Option<SessionOf>,
    /// How often it was used.
    pub uses: u32,
    /// What it is doing.
    pub state: ItemState,
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
#[non_exhaustive]
pub enum ItemState {
    /// It may be given to a caller.
    Idle,
    /// It is being connected to, and checked.
    Leased(Lease),
    /// It is being killed.
    Ending,
}

/// One hand-out's claim on a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The number of the hand-out.
    pub owner: u64,
    /// When the claim expires.
    pub until: Tick,
}

/// The sandbox that a hand-out needs.
#[derive(Clone, Debug)]
pub struct Which {
    /// The number of its shape.
    pub shape: u32,
    /// The version of the template.
    pub version: u32,
    /// It must not end before that.
    pub alive_at: Tick,
    /// It must not have been created before that, to live for as long as is asked.
    pub created_after: Tick,
    /// The session that asks.
    pub session: Option<SessionOf>,
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
    /// How long it has been in stock.
    pub fn age(&self, now: Tick) -> Duration {
        now.since(self.created)
    }
}

/// The stock of one process, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStock {
    /// The oldest first.
    items: Vec<Item>,
}

impl MemoryStock {
    /// An empty stock.
    pub fn new() -> Self {
        Self::default()
    }

    fn find(&mut self, id: &SandboxId) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.id == *id)
    }
}

impl Stock for MemoryStock {
    fn put(&mut self, item: Item) {
        if self.find(&item.id).is_none() {
            let at = self.items.partition_point(|other| other.created <= item.created);
            self.items.insert(at, item);
        }
    }

    fn lease(&mut self, which: &Which, lease: Lease) -> Option<Item> {
        let fits = |item: &&mut Item| which.fits(item);
        // One that this session has used comes first: no other session may have it.
        let own = self.items.iter().rposition(|item| which.fits(item) && item.session.is_some());
        let item = match own {
            Some(at) => self.items.get_mut(at)?,
            None => self.items.iter_mut().rev().find(fits)?,
        };
        item.state = ItemState::Leased(lease);
        Some(item.clone())
    }

    fn take(&mut self, id: &SandboxId, lease: u64) -> bool {
        let is_held =
            |item: &Item| matches!(item.state, ItemState::Leased(held) if held.owner == lease);
        let at = self.items.iter().position(|item| item.id == *id && is_held(item));
        at.map(|at| self.items.remove(at)).is_some()
    }

    fn release(&mut self, id: &SandboxId, lease: u64, ends_by: Tick) -> bool {
        let Some(item) = self.find(id) else { return false };
        let is_held = matches!(item.state, ItemState::Leased(held) if held.owner == lease);
        if is_held {
            (item.state, item.ends_by) = (ItemState::Idle, item.ends_by.max(ends_by));
        }
        is_held
    }

    fn end(&mut self, id: &SandboxId) -> bool {
        let item = self.find(id);
        item.map(|item| item.state = ItemState::Ending).is_some()
    }

    fn remove(&mut self, id: &SandboxId) -> Option<Item> {
        let at = self.items.iter().position(|item| item.id == *id)?;
        Some(self.items.remove(at))
    }

    fn items(&self) -> &[Item] {
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
        let mut stock = MemoryStock::new();
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
        let mut stock = MemoryStock::new();
        stock.put(item("a", 1));
        let id = stock.lease(&which(), lease(7)).unwrap().id;
        assert!(!stock.take(&id, 8));
        assert!(stock.take(&id, 7));
        assert!(!stock.take(&id, 7) && stock.items().is_empty());
        stock.put(item("b", 1));
        let id = stock.lease(&which(), lease(9)).unwrap().id;
        assert!(stock.end(&id) && !stock.take(&id, 9));
        assert!(stock.lease(&which(), lease(10)).is_none());
        assert!(stock.remove(&id).is_some() && !stock.end(&id));
    }

    #[test]
    fn a_lease_may_be_given_up_and_the_sandbox_is_idle_again() {
        let mut stock = MemoryStock::new();
        stock.put(item("a", 1));
        let id = stock.lease(&which(), lease(7)).unwrap().id;
        assert!(!stock.release(&id, 8, at(0)));
        assert!(stock.release(&id, 7, at(500)) && !stock.release(&id, 7, at(0)));
        assert_eq!(stock.lease(&which(), lease(9)).unwrap().ends_by, at(500));
    }

    #[test]
    fn what_does_not_fit_is_not_leased() {
        let mut stock = MemoryStock::new();
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
        let mut stock = MemoryStock::new();
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
