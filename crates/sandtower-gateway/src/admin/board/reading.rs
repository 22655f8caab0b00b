use std::collections::HashMap;
use std::sync::Arc;

use sandtower::admission::{AdmissionSnapshot, QuotaSnapshot, Waiting};
use sandtower::circuit_breaker::{CircuitBreaker, Snapshot};
use sandtower::e2b::{EventsSnapshot, TrackerSnapshot};
use sandtower::pool::{Pool, PoolSnapshot};
use sandtower::rate_limit;
use sandtower::stack::Handles;
use serde::Serialize;

use crate::Gateway;
use crate::generation::Generation;
use crate::keys::{KeyStack, TenantId};
use crate::place::Place;
use crate::stacks::Stacks;

/// The name of the stack for what goes into sandboxes.
pub(in crate::admin) const DATA_PLANE: &str = "data_plane";
/// The most tenants whose waiting calls are read from one stack.
const WAITING: usize = 40;

/// The name of something of a place: only home's needs no more.
fn at(place: &Place, name: &str) -> String {
    if place.is_home() { name.to_owned() } else { format!("{}.{name}", place.name) }
}

fn key_name(place: &Place, id: TenantId) -> String {
    at(place, &format!("key_{id}"))
}

/// The stacks of a place with their names: that of the data plane, then those of the keys, the one used last
/// first.
pub(in crate::admin) fn named(stacks: &Stacks) -> Vec<(String, Arc<KeyStack>)> {
    let place = &stacks.place;
    let data_plane = (at(place, DATA_PLANE), Arc::clone(&stacks.data));
    let keys = stacks.keys.all().into_iter().map(|(id, stack)| (key_name(place, id), stack));
    std::iter::once(data_plane).chain(keys).collect()
}

/// Whose something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::admin) struct Whose {
    /// The stack: `data_plane`, or `key_` and the hash of a key of the service; of what belongs to a
    /// virtual key, `key_` and its id. In another place than home with the name of that and a dot before it.
    pub(in crate::admin) stack: String,
    /// The name of the key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) label: Option<String>,
}

impl Whose {
    /// That of a key of the service, or of a virtual key.
    pub(in crate::admin) fn of(gateway: &Gateway, tenant: TenantId) -> Self {
        Self::with_id(gateway, &tenant.to_string())
    }

    /// The same, of its 16 hexadecimal digits.
    pub(in crate::admin) fn with_id(gateway: &Gateway, id: &str) -> Self {
        let stack = format!("key_{id}");
        let key = id.parse().ok().and_then(|id| gateway.virtual_keys().get(&id));
        let upstream = || names(&gateway.shared.generation.load()).remove(&stack);
        let label = key.map(|key| key.name).or_else(upstream);
        Self { stack, label }
    }

    /// That of the stack of this name.
    pub(in crate::admin) fn of_stack(gateway: &Gateway, name: &str) -> Self {
        let label = names(&gateway.shared.generation.load()).remove(name);
        Self { stack: name.to_owned(), label }
    }

    /// What people call it.
    pub(in crate::admin) fn shown(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.stack)
    }
}

/// The names of the stacks that have one: of keys in the configuration, and of what is not at home.
fn names(generation: &Generation) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for Stacks { place, own, .. } in generation.places() {
        let shown = |what: String| match place.is_home() {
            true => what,
            false => format!("{what} at {}", place.name),
        };
        if !place.is_home() {
            names.insert(at(place, DATA_PLANE), shown("all sandboxes".to_owned()));
        }
        for name in own.names() {
            let Some(key) = own.get(name) else { continue };
            let stack = key_name(place, place.tenant(key.expose()));
            names.insert(stack, shown(format!("upstream {name}")));
        }
    }
    names
}

/// One stack at one moment.
pub(in crate::admin) struct Reading {
    /// `data_plane`, or `key_` and the hash of the key; not at home, after the place and a dot.
    pub(in crate::admin) name: String,
    pub(in crate::admin) label: Option<String>,
    pub(in crate::admin) stack: Arc<KeyStack>,
    pub(in crate::admin) breaker: Snapshot,
    pub(in crate::admin) admission: AdmissionSnapshot,
    pub(in crate::admin) waiting: Vec<Waiting>,
    pub(in crate::admin) rate: rate_limit::Snapshot,
    pub(in crate::admin) quota: QuotaSnapshot,
    pub(in crate::admin) events: EventsSnapshot,
    pub(in crate::admin) tracker: TrackerSnapshot,
    /// `None`: it has no warm pool.
    pub(in crate::admin) pool: Option<PoolSnapshot>,
}

impl Reading {
    fn of(name: String, label: Option<String>, stack: Arc<KeyStack>) -> Self {
        let handles = stack.handles();
        let admission = handles.admission.snapshot();
        let is_waiting = admission.queues.iter().any(|queue| queue.waiting > 0);
        Self {
            breaker: breaker(&name, handles).snapshot(),
            waiting: if is_waiting { handles.admission.waiting(WAITING) } else { Vec::new() },
            rate: handles.rate_limit.snapshot(),
            quota: handles.quota.snapshot(),
            events: handles.events.snapshot(),
            tracker: handles.tracker.snapshot(),
            pool: handles.pool.as_ref().map(Pool::snapshot),
            admission,
            name,
            label,
            stack,
        }
    }

    pub(in crate::admin) fn is_data_plane(&self) -> bool {
        self.name.ends_with(DATA_PLANE)
    }

    pub(in crate::admin) fn handles(&self) -> &Handles {
        self.stack.handles()
    }

    /// The breaker that this stack goes by.
    pub(in crate::admin) fn circuit_breaker(&self) -> &CircuitBreaker {
        breaker(&self.name, self.stack.handles())
    }

    pub(in crate::admin) fn whose(&self) -> Whose {
        Whose { stack: self.name.clone(), label: self.label.clone() }
    }

    /// Calls that wait.
    pub(in crate::admin) fn waits(&self) -> u32 {
        self.admission.queues.iter().map(|queue| queue.waiting).sum()
    }
}

fn breaker<'h>(name: &str, handles: &'h Handles) -> &'h CircuitBreaker {
    match name.ends_with(DATA_PLANE) {
        true => &handles.data_plane_breaker,
        false => &handles.control_plane_breaker,
    }
}

/// All stacks, those of home first.
pub(super) fn all(gateway: &Gateway) -> Vec<Reading> {
    let generation = gateway.shared.generation.load_full();
    let mut names = names(&generation);
    let stacks = generation.places().flat_map(named);
    let readings = stacks.map(|(name, stack)| {
        let label = names.remove(&name);
        Reading::of(name, label, stack)
    });
    readings.collect()
}
