//! The queued calls of one tenant in one class.

use sandtower_core::{Scope, Tenant, Tick};

use super::class::Clock;
use super::hold::Hold;
use super::lists::{List, Place};

#[derive(Debug)]
pub(super) struct Flow {
    pub(super) tenant: Tenant,
    pub(super) class: usize,
    pub(super) weight: u32,
    pub(super) list: List,
    pub(super) clock: Clock,
    /// Whether it is among the ready tenants of its class.
    pub(super) is_ready: bool,
    /// Its next call; `None` if all are held or not polled.
    pub(super) next: Option<Place>,
    pub(super) holds: Vec<Hold>,
    /// How many of its calls were woken and not polled in time.
    pub(super) absent: u32,
    /// The scope of its calls, and whether there are others too.
    pub(super) scope: Scope,
    pub(super) has_scopes: bool,
    /// Since when it has had queued calls.
    pub(super) since: Tick,
    pub(super) newest_first: bool,
}

impl Flow {
    pub(super) fn new(tenant: Tenant, class: usize, weight: u32, scope: Scope, now: Tick) -> Self {
        Self {
            tenant,
            class,
            weight,
            list: List::default(),
            clock: Clock::default(),
            is_ready: false,
            next: None,
            holds: Vec::new(),
            absent: 0,
            scope,
            has_scopes: false,
            since: now,
            newest_first: false,
        }
    }

    pub(super) fn covers(&self, scope: Scope) -> bool {
        self.holds.iter().any(|hold| hold.covers(scope))
    }
}
