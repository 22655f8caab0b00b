//! A stack for each API key, since the service's limits are per team.

mod warm;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode};
use sandtower::core::{BoxError, Tick};
use sandtower::e2b::{self, Client, HttpTransport, Owner};
use sandtower::http::{Explain, RequestBody};
use sandtower::pool::{OnShutdown, Pool};
use sandtower::stack::{Builder, Component, Handles, Stack, StackConfig, StackService};
use sha2::{Digest as _, Sha256};

use crate::call_times::CallTimes;
use crate::place::Place;
use crate::proxy::API_KEY;

/// Which key a request came with, without the key: the first 8 bytes of its SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TenantId(u64);

impl TenantId {
    /// That of a virtual key, by its id.
    pub(crate) const fn numbered(id: u64) -> Self {
        Self(id)
    }

    pub(crate) fn of(key: &[u8]) -> Self {
        let digest = Sha256::digest(key);
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }

    /// The one that is written like this.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::fmt::Debug for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TenantId({self})")
    }
}

/// A stack, and the services that it makes: one for each worker, over the connections of that worker.
#[derive(Debug)]
pub(crate) struct KeyStack {
    stack: Stack,
    tenant: TenantId,
    place: Arc<Place>,
    /// The service has accepted the key: one that a stranger made up goes first.
    is_proven: AtomicBool,
    is_probed: AtomicBool,
    services: Box<[OnceLock<StackService<RequestBody>>]>,
}

impl KeyStack {
    fn new(stack: Stack, tenant: TenantId, place: Arc<Place>) -> Self {
        let services = (0..place.workers()).map(|_| OnceLock::new()).collect();
        let (is_proven, is_probed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { stack, tenant, place, is_proven, is_probed, services }
    }

    /// Where its calls go.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The key of the service that it is for, by which several virtual keys may share it.
    pub(crate) const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The service of a worker, over its connections.
    pub(crate) fn service(&self, worker: usize) -> StackService<RequestBody> {
        let http = || self.place.transport(worker).clone();
        self.services[worker].get_or_init(|| self.stack.service(http())).clone()
    }

    /// A client of the gateway's own, over these connections to its place.
    pub(crate) fn client(&self, http: &HttpTransport) -> Client<StackService> {
        self.stack.client(http.clone())
    }

    /// How the service is reached with this key.
    pub(crate) fn config(&self) -> &e2b::Config {
        self.stack.config()
    }

    /// A request to the control plane with its key, without a body.
    pub(crate) fn get(&self, path: &str) -> Option<Request<Bytes>> {
        let request = self.config().control_request(Method::GET, path, Bytes::new()).ok()?;
        Some(request.map(|_| Bytes::new()))
    }

    /// Its key, which no log shows.
    pub(crate) fn key(&self) -> Option<HeaderValue> {
        self.get("/")?.headers_mut().remove(API_KEY)
    }

    /// Whether the circuit breaker of a plane lets all calls through.
    pub(crate) fn is_up(&self, is_data_plane: bool) -> bool {
        let handles = self.handles();
        let breaker = match is_data_plane {
            true => handles.data_plane_breaker.snapshot(),
            false => handles.control_plane_breaker.snapshot(),
        };
        breaker.shadow || breaker.state.label() == "closed"
    }

    /// Whether all that its creations have left behind is known and killed.
    pub(crate) fn has_nothing_open(&self) -> bool {
        let tracker = self.handles().tracker.snapshot();
        tracker.open == 0 && tracker.killing == 0
    }

    /// `None`: another probe is under way.
    pub(crate) fn probe(self: &Arc<Self>) -> Option<Probe> {
        let is_free = !self.is_probed.swap(true, Ordering::Relaxed);
        is_free.then(|| Probe(Arc::clone(self)))
    }

    pub(crate) fn handles(&self) -> &Handles {
        self.stack.handles()
    }

    /// The service has responded to a call with the key. A success proves it; an error of the service does not.
    pub(crate) fn responded(&self, status: StatusCode) {
        if status.is_success() && !self.is_proven.load(Ordering::Relaxed) {
            self.is_proven.store(true, Ordering::Relaxed);
            if let Some(pool) = &self.handles().pool {
                pool.allow_start();
            }
        }
    }

    /// Whether it protects nothing and cleans up nothing at this moment.
    fn is_idle(&self) -> bool {
        let handles = self.handles();
        let queues = handles.admission.snapshot().queues;
        self.has_nothing_open()
            && queues.iter().all(|queue| queue.in_flight == 0 && queue.waiting == 0)
            && handles.control_plane_breaker.snapshot().state.label() == "closed"
    }
}

/// The only probe of a stack, until it is dropped.
#[derive(Debug)]
pub(crate) struct Probe(pub(crate) Arc<KeyStack>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.is_probed.store(false, Ordering::Relaxed);
    }
}

/// How stacks are built.
#[derive(Clone, Debug)]
pub(crate) struct MakeStack {
    pub(crate) place: Arc<Place>,
    pub(crate) owner: Owner,
    pub(crate) stack: StackConfig,
    /// How long the calls of all stacks take.
    pub(crate) times: CallTimes,
    /// How long a call to the control plane is expected to take.
    pub(crate) expected: Duration,
    /// Whether no later process takes stock over: a virtual key could make its sandbox look like stock, which
    /// would then be given to another key.
    pub(crate) ends_stock: bool,
}

/// What a gateway sets differently from the recommended stack, before the user's own settings: its slots
/// are held by the calls of many, and a caller that waits is better off than one that has to come back.
const BASE: &str = r#"
[admission]
concurrency = 1024
queue = 4096
longest_wait = "55s"
hold_through_outage = ["interactive", "batch", "background"]

[timeout]
file_read = "30s"
process_input = "none"
"#;

impl MakeStack {
    /// The stack for `key`; its pool follows the one `before`.
    fn make(&self, key: &str, before: Option<Pool>) -> Result<KeyStack, BoxError> {
        let config = self.place.addresses.config(key)?.owner(self.owner.clone());
        let builder = self.builder(config, Some(self.expected))?;
        // A stranger who makes up keys has none of them listed, tried and recorded.
        let builder = builder.pool_hooks(move |pool| match before {
            Some(before) => pool.after(&before).wait(),
            None => pool.wait(),
        });
        let stack = builder.build()?;
        Ok(KeyStack::new(stack, self.place.tenant(key), Arc::clone(&self.place)))
    }

    fn builder(
        &self,
        config: e2b::Config,
        expected: Option<Duration>,
    ) -> Result<Builder, BoxError> {
        let mut base = BASE.to_owned();
        if let Some(expected) = expected {
            // Else a place that accepts calls and says nothing never has a failure: each call ends before,
            // with the patience of its client, or since it leaves for another place.
            base.push_str(&format!(
                "\n[circuit_breaker]\nexpected = \"{}ms\"\n",
                expected.as_millis()
            ));
        }
        let base = StackConfig::read(toml::Deserializer::parse(&base)?)?;
        // Slow calls are in the access log.
        let explain = Explain::new().slow_after(None);
        let builder = Stack::builder(config).explain(explain).configure(base)?;
        let builder = builder.observe_calls(Arc::new(self.times.clone()));
        let builder = builder.configure(self.stack.clone())?;
        Ok(match self.ends_stock {
            true => builder.pool(|pool| pool.on_shutdown(OnShutdown::Kill)),
            false => builder,
        })
    }

    /// The stack for what goes into sandboxes: those requests carry no key.
    pub(crate) fn data_plane(&self) -> Result<KeyStack, BoxError> {
        let config = self.place.addresses.config("data-plane")?.owner(self.owner.clone());
        // It creates nothing, so it has nothing to keep warm.
        let builder = self.builder(config, None)?.disable(Component::Pool);
        let (tenant, place) = (self.place.tenant("data-plane"), Arc::clone(&self.place));
        Ok(KeyStack::new(builder.build()?, tenant, place))
    }
}

/// The stacks of all keys, of which as many are kept as the limit says: one that protects something is
/// never dropped.
#[derive(Debug)]
pub(crate) struct Keys {
    make: MakeStack,
    limit: usize,
    /// Those of the configuration before, whose warm sandboxes these take over.
    before: OnceLock<Weak<Keys>>,
    is_retired: AtomicBool,
    table: Mutex<HashMap<TenantId, Kept>>,
}

#[derive(Debug)]
struct Kept {
    stack: Arc<KeyStack>,
    used: Tick,
}

/// No stack for a key.
#[derive(Debug)]
pub(crate) enum NoStack {
    /// The key cannot be one.
    Key,
    /// All stacks that may be kept are in use.
    Full,
}

/// Held while a stack is built: two pools that create the same store at once would fail.
static BUILDING: Mutex<()> = Mutex::new(());

/// An unused stack is dropped after so long when another one is needed.
const IDLE: Duration = Duration::from_secs(600);

impl Keys {
    pub(crate) fn new(make: MakeStack, limit: usize) -> Self {
        let (before, is_retired) = (OnceLock::new(), AtomicBool::new(false));
        Self { make, limit: limit.max(1), before, is_retired, table: Mutex::default() }
    }

    /// The stack for `key`, and whose it is.
    pub(crate) fn get(&self, key: &str) -> Result<(TenantId, Arc<KeyStack>), NoStack> {
        let tenant = self.make.place.tenant(key);
        if let Some(stack) = self.known(tenant) {
            return Ok((tenant, stack));
        }
        let building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = self.known(tenant) {
            return Ok((tenant, stack));
        }
        let stack =
            Arc::new(self.make.make(key, self.pool_before(tenant)).map_err(|_| NoStack::Key)?);
        let mut table = self.lock();
        let dropped = make_room(&mut table, self.limit).ok_or(NoStack::Full)?;
        let new = || Kept { stack, used: Tick::now() };
        let stack = Arc::clone(&table.entry(tenant).or_insert_with(new).stack);
        drop(table);
        drop(building);
        drop(dropped);
        // A request that began before these were replaced.
        if let Some(pool) = &stack.handles().pool
            && self.is_retired.load(Ordering::SeqCst)
        {
            pool.retire(false);
        }
        Ok((tenant, stack))
    }

    fn known(&self, tenant: TenantId) -> Option<Arc<KeyStack>> {
        let mut table = self.lock();
        let kept = table.get_mut(&tenant)?;
        kept.used = Tick::now();
        Some(Arc::clone(&kept.stack))
    }

    /// All stacks, the one used last first.
    pub(crate) fn all(&self) -> Vec<(TenantId, Arc<KeyStack>)> {
        let table = self.lock();
        let mut all: Vec<_> =
            table.iter().map(|(id, kept)| (kept.used, *id, Arc::clone(&kept.stack))).collect();
        drop(table);
        all.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
        all.into_iter().map(|(_, id, stack)| (id, stack)).collect()
    }

    /// Whether no stack protects anything or cleans up.
    pub(crate) fn is_idle(&self) -> bool {
        self.all().iter().all(|(_, stack)| stack.is_idle())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Kept>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes out what has to go for one more; `None`: nothing may.
fn make_room(table: &mut HashMap<TenantId, Kept>, limit: usize) -> Option<Vec<Kept>> {
    if table.len() < limit {
        return Some(Vec::new());
    }
    let now = Tick::now();
    let is_old = |kept: &Kept| now.since(kept.used) > IDLE;
    let mut idle: Vec<_> = table
        .iter()
        .filter(|(_, kept)| Arc::strong_count(&kept.stack) == 1 && kept.stack.is_idle())
        .map(|(id, kept)| {
            let is_proven = kept.stack.is_proven.load(Ordering::Relaxed);
            (is_proven, kept.used, *id, is_old(kept))
        })
        .collect();
    idle.sort_unstable();
    let first = idle.first().map(|(.., id, _)| *id)?;
    let old = idle.iter().filter(|(.., is_old)| *is_old).map(|(.., id, _)| *id);
    Some(std::iter::once(first).chain(old).filter_map(|id| table.remove(&id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Upstream;
    use crate::place::HOME;

    fn keys(limit: usize) -> Keys {
        let upstream = Upstream::default();
        let place = Arc::new(Place::new(HOME, "upstream", &upstream, 1).unwrap());
        let owner = "gateway".parse().unwrap();
        let times = CallTimes::new(1);
        let stack = StackConfig::default();
        let (expected, ends_stock) = (Duration::from_secs(30), false);
        Keys::new(MakeStack { place, owner, stack, times, expected, ends_stock }, limit)
    }

    #[test]
    fn a_key_has_one_stack() {
        let keys = keys(2);
        let (one, stack) = keys.get("e2b_1").unwrap();
        let (same, again) = keys.get("e2b_1").unwrap();
        assert_eq!(one, same);
        assert!(Arc::ptr_eq(&stack, &again));
        assert_ne!(keys.get("e2b_2").unwrap().0, one);
        assert!(matches!(keys.get("a b"), Err(NoStack::Key)));
    }

    #[test]
    fn made_up_keys_make_room_before_proven_ones_and_what_is_in_use_stays() {
        let keys = keys(3);
        let (proven, stack) = keys.get("e2b_proven").unwrap();
        stack.responded(StatusCode::OK);
        drop(stack);
        let (used, in_use) = keys.get("e2b_used").unwrap();
        for made_up in 0..20 {
            keys.get(&format!("e2b_{made_up}")).unwrap();
            let all: Vec<_> = keys.all().into_iter().map(|(id, _)| id).collect();
            assert!(all.len() <= 3 && all.contains(&proven) && all.contains(&used), "{all:?}");
        }
        drop(in_use);
    }

    #[test]
    fn with_all_in_use_one_more_key_has_no_stack() {
        let keys = keys(1);
        let in_use = keys.get("e2b_1").unwrap();
        assert!(matches!(keys.get("e2b_2"), Err(NoStack::Full)));
        drop(in_use);
        assert!(keys.get("e2b_2").is_ok());
    }
}
