//! What operators see: read from the layers when someone looks.

mod key_limits;
mod latency;
mod lists;
mod pools;
mod problems;
mod reading;
mod rows;
mod series;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower::core::Tick;
use sandtower_telemetry::{Registry, Watch};

use self::key_limits::KeyLimit;
use self::latency::Window;
use self::series::Series;
use crate::Gateway;

pub(super) use latency::StageLatency;
pub(super) use lists::{CreationCounts, Creations, Sandboxes};
pub(super) use pools::{PoolRow, Pools, misses};
pub(super) use problems::{Action, Problem, Severity, Target};
pub(super) use reading::{DATA_PLANE, Reading, Whose, named};
pub(super) use rows::{BreakerRow, LimitRow, QueueRow, Top, Totals, WaitingRow, rejected};
pub(super) use series::Point;

/// How long what was read is shown again: many pages read once.
const FRESH: Duration = Duration::from_millis(400);
/// How often the background work runs.
const EVERY: Duration = Duration::from_secs(5);
/// Stacks of one place whose last hour is kept and whose alerts are evaluated: those of the keys used last.
const WATCHED: usize = 64;

/// Reads the gateway for operators.
pub(super) struct Board {
    gateway: Arc<Gateway>,
    started: Tick,
    registry: Registry,
    watched: Mutex<BTreeMap<String, usize>>,
    watch: Watch,
    cache: Mutex<Option<Arc<Core>>>,
    /// Since when each problem has been there.
    since: Mutex<BTreeMap<String, Tick>>,
    window: Mutex<Window>,
    series: Mutex<Series>,
    /// The limits of virtual keys that are nearly used up; read now and then, since that takes long with
    /// many keys.
    key_limits: Mutex<Top<KeyLimit>>,
}

/// The state of all stacks at one moment, and what is wrong.
pub(super) struct Core {
    pub(super) taken: Tick,
    pub(super) stacks: Vec<Reading>,
    pub(super) totals: Totals,
    pub(super) problems: Vec<Problem>,
}

impl Board {
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        let registry = Registry::new();
        Self {
            gateway,
            started: Tick::now(),
            watch: Watch::new(registry.clone()),
            registry,
            watched: Mutex::default(),
            cache: Mutex::default(),
            since: Mutex::default(),
            window: Mutex::default(),
            series: Mutex::default(),
            key_limits: Mutex::new(Top::of(Vec::new(), 0)),
        }
    }

    /// Keeps the last hour, evaluates alerts, and notes since when problems have been there, until it is
    /// dropped.
    pub(super) async fn run(&self) {
        self.follow();
        let background = async {
            loop {
                self.follow();
                lock(&self.window).turn(&self.gateway.shared.generation.load().times);
                *lock(&self.key_limits) = key_limits::nearly_used_up(self.gateway.virtual_keys());
                let core = self.core();
                lock(&self.series).push(&core.totals);
                tokio::time::sleep(EVERY).await;
            }
        };
        tokio::join!(self.watch.clone().run(), background);
    }

    /// Watches the stacks that are there now.
    fn follow(&self) {
        let generation = self.gateway.shared.generation.load_full();
        // A stack of a reloaded configuration has the name of the one before it.
        let now: BTreeMap<String, _> =
            generation.places().flat_map(|place| named(place).into_iter().take(WATCHED)).collect();
        let mut watched = lock(&self.watched);
        watched.retain(|name, address| {
            let stays = now.get(name).is_some_and(|stack| Arc::as_ptr(stack).addr() == *address);
            if !stays {
                self.registry.remove(name);
            }
            stays
        });
        for (name, stack) in now {
            if !watched.contains_key(&name)
                && self.registry.add(name.as_str(), stack.handles().clone()).is_ok()
            {
                watched.insert(name, Arc::as_ptr(&stack).addr());
            }
        }
    }

    /// The state of all stacks, as it was at most a moment ago.
    pub(super) fn core(&self) -> Arc<Core> {
        let now = Tick::now();
        let mut cache = lock(&self.cache);
        if let Some(core) = cache.as_ref().filter(|core| now.since(core.taken) < FRESH) {
            return Arc::clone(core);
        }
        let stacks = reading::all(&self.gateway);
        let totals = Totals::of(&self.gateway, &stacks, now.since(self.started));
        let creations = lock(&self.series).creations(60);
        let found = problems::of(&stacks, &totals, creations, &lock(&self.key_limits));
        let problems = self.dated(found, now);
        let core = Arc::new(Core { taken: now, stacks, totals, problems });
        *cache = Some(Arc::clone(&core));
        core
    }

    /// Something was changed: what was read before is not shown again.
    pub(super) fn changed(&self) {
        *lock(&self.cache) = None;
    }

    /// The problems with the time since which each is there.
    fn dated(&self, mut problems: Vec<Problem>, now: Tick) -> Vec<Problem> {
        let mut since = lock(&self.since);
        since.retain(|id, _| problems.iter().any(|problem| problem.id == *id));
        for problem in &mut problems {
            let seen = *since.entry(problem.id.clone()).or_insert(now);
            problem.since.get_or_insert(now.since(seen));
        }
        problems
    }

    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    pub(super) fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The last hour of the gateway, the oldest point first.
    pub(super) fn series(&self) -> Vec<Point> {
        lock(&self.series).points()
    }

    /// How long calls and their stages took within the last minutes.
    pub(super) fn latency(&self) -> Vec<StageLatency> {
        lock(&self.window).read(&self.gateway.shared.generation.load().times)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
