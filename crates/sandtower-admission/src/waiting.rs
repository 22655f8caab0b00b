use std::time::Duration;

use sandtower_core::{Operation, Priority, Rejection, Tenant, Tick};

use crate::AdmissionControl;
use crate::queue::Place;

/// The queued calls of one tenant and one class for one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// The operation.
    pub operation: Operation,
    /// The tenant.
    pub tenant: Tenant,
    /// The class.
    pub priority: Priority,
    /// The number of calls.
    pub calls: u32,
    /// How long the oldest of them has been queued.
    pub longest: Duration,
    /// What the oldest of them waits for; `None`: for the calls ahead of it.
    pub held_by: Option<Rejection>,
}

/// The queued calls of a tenant in a class, with the place of the oldest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) tenant: Tenant,
    pub(crate) class: usize,
    pub(crate) calls: u32,
    pub(crate) oldest: Place,
    pub(crate) joined: Tick,
}

impl<G> AdmissionControl<G> {
    /// The queued calls by operation, tenant and class, and what each of these waits for. Those that have waited
    /// longest come first, and at most `most` are returned. Takes time for each tenant that waits: it is
    /// for an operator's page, not for each call.
    pub fn waiting(&self, most: usize) -> Vec<Waiting> {
        let now = Tick::now();
        let mut state = self.lock();
        let mut all = state.standing();
        all.sort_unstable_by_key(|(_, standing)| standing.joined);
        all.truncate(most);
        let waiting = all.into_iter().map(|(operation, standing)| Waiting {
            operation,
            tenant: standing.tenant,
            priority: Priority::ALL[standing.class],
            calls: standing.calls,
            longest: now.since(standing.joined),
            held_by: self.waits_for(&mut state, operation, standing.oldest),
        });
        waiting.collect()
    }
}
