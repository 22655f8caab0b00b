//! The warm sandboxes of the stacks of all keys, when others replace these.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sandtower::pool::Pool;

use super::{Keys, TenantId};

impl Keys {
    /// They take over the warm sandboxes of `before`.
    pub(crate) fn follow(&self, before: &Arc<Self>) {
        // Once is enough.
        drop(self.before.set(Arc::downgrade(before)));
    }

    /// Whether they take over the warm sandboxes of `before`.
    pub(crate) fn follows(&self, before: &Arc<Self>) -> bool {
        self.before.get().is_some_and(|its| its.ptr_eq(&Arc::downgrade(before)))
    }

    /// Others replace these: nothing more is created for the stock. `keeps`: it waits for those that
    /// [follow](Self::follow) these.
    pub(crate) fn retire(&self, keeps: bool) {
        self.is_retired.store(true, Ordering::SeqCst);
        self.pools().for_each(|pool| pool.retire(keeps));
    }

    /// Whether a pool has a sandbox.
    pub(crate) fn has_stock(&self) -> bool {
        self.pools().any(|pool| !pool.is_empty())
    }

    pub(crate) fn pools(&self) -> impl Iterator<Item = Pool> {
        self.all().into_iter().filter_map(|(_, stack)| stack.handles().pool.clone())
    }

    /// The last pool of a key in the configurations before.
    pub(super) fn pool_before(&self, tenant: TenantId) -> Option<Pool> {
        let before = self.before.get()?.upgrade()?;
        let stack = before.lock().get(&tenant).map(|kept| Arc::clone(&kept.stack));
        match stack {
            Some(stack) => stack.handles().pool.clone(),
            None => before.pool_before(tenant),
        }
    }
}
