//! Looks after a service on a schedule.

mod config;
mod engine;
mod task;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::{
    Clock, Completion, Gate, Reason, Rejection, RequestInfo, Subscriber, Subscribers, Take, Tick,
    Verdict,
};
use sandtower_time::TokioClock;
use serde::{Serialize, Serializer};
use tokio::task::AbortHandle;

use self::engine::Engine;
use crate::Finding;

pub use config::{MonitorConfig, MonitorConfigError};
pub use engine::Health;

/// Probes a service in the background, and knows how it is: a handle, cheap to clone, and a
/// [`Gate`] that rejects while the service is down. All clones are one.
///
/// Each monitor is a task of its own, and each of its probes is another: a slow target delays no
/// other, and a probe that panics has failed. Probes stop when the last handle is gone.
///
/// ```
/// use std::time::Duration;
/// use sandtower_core::Verdict;
/// use sandtower_health_check::{Health, Monitor, MonitorConfig};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let config = MonitorConfig::new("E2B").every(Duration::from_secs(10)).fall(2);
/// let monitor = Monitor::start(config, || async { Verdict::unknown() }).unwrap();
/// tokio::time::sleep(Duration::from_secs(30)).await;
/// assert_eq!(monitor.health(), Health::Down);
/// # }
/// ```
///
/// One that is made before there is anything to probe [begins](Self::begin) later; until then, and once
/// it is [stopped](Self::stop), it knows of nothing and lets everything pass.
///
/// # Events
///
/// With the target `sandtower::health_check`, when the state changes, `WARN` if for the worse and
/// `INFO` if for the better: `name`, `health`, `was`, `last`.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// With the last handle the task goes; it holds only the state.
    handle: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    state: Arc<State>,
    task: Mutex<Option<AbortHandle>>,
}

impl Running {
    /// Begins anew, knowing nothing, with the task that `spawn` makes of its number.
    fn renew(&self, spawn: impl FnOnce(u64) -> Option<AbortHandle>) {
        let (before, was_down) = {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            let (number, was_down) = self.state.renew();
            let next = spawn(number);
            self.state.lock().probing = next.is_some();
            (std::mem::replace(&mut *task, next), was_down)
        };
        if let Some(before) = before {
            before.abort();
        }
        if was_down {
            self.state.watchers.notify();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

/// What the task writes and handles read.
#[derive(Debug)]
struct State {
    config: MonitorConfig,
    seen: Mutex<Seen>,
    watchers: Subscribers,
}

#[derive(Debug)]
struct Seen {
    engine: Engine,
    /// Which task counts: what one says that was stopped changes nothing.
    task: u64,
    probing: bool,
    probes: u64,
    failures: u64,
    last_error: Option<(Tick, Finding)>,
    /// When the state can change next at the earliest: the end of the next probe comes after.
    next: Tick,
}

/// How a target is, and how it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MonitorSnapshot {
    /// Whether it is being probed. If not, nothing is known of it.
    pub probing: bool,
    /// How it is.
    pub health: Health,
    /// For how long it has been so; `None`: as long as it was looked after. Serializes as `since_ms`.
    #[serde(rename = "since_ms", serialize_with = "millis")]
    pub since: Option<Duration>,
    /// What the latest probe that failed has found.
    #[serde(serialize_with = "as_text")]
    pub last_error: Option<Finding>,
    /// How long ago that was. Serializes as `last_error_ago_ms`.
    #[serde(rename = "last_error_ago_ms", serialize_with = "millis")]
    pub last_error_ago: Option<Duration>,
    /// Probes that have ended.
    pub probes: u64,
    /// Those that failed.
    pub failures: u64,
}

fn millis<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).serialize(to)
}

fn as_text<S: Serializer>(finding: &Option<Finding>, to: S) -> Result<S::Ok, S::Error> {
    match finding {
        Some(finding) => to.collect_str(finding),
        None => to.serialize_none(),
    }
}

impl Monitor {
    /// Begins to probe, at once and then as `config` says. A [success](Verdict::is_success) passes.
    ///
    /// # Errors
    ///
    /// The config makes no sense, or there is no tokio runtime here; the error says what is wrong.
    pub fn start<P, F>(config: MonitorConfig, probe: P) -> Result<Self, MonitorConfigError>
    where
        P: FnMut() -> F + Send + 'static,
        F: Future<Output = Verdict> + Send + 'static,
    {
        let monitor = Self::new(config)?;
        monitor.begin(probe)?;
        Ok(monitor)
    }

    /// One that probes nothing until it [begins](Self::begin).
    ///
    /// # Errors
    ///
    /// The config makes no sense; the error says what is wrong.
    pub fn new(config: MonitorConfig) -> Result<Self, MonitorConfigError> {
        config.check()?;
        let engine = Engine::new(config.fall, config.rise);
        let (last_error, next) = (None, Tick::ZERO);
        let seen =
            Seen { engine, task: 0, probing: false, probes: 0, failures: 0, last_error, next };
        let state =
            Arc::new(State { config, seen: Mutex::new(seen), watchers: Subscribers::default() });
        Ok(Self { handle: Arc::new(Running { state, task: Mutex::new(None) }) })
    }

    /// Begins to probe, at once and then as its config says, in place of what it probed before.
    ///
    /// # Errors
    ///
    /// There is no tokio runtime here.
    pub fn begin<P, F>(&self, probe: P) -> Result<(), MonitorConfigError>
    where
        P: FnMut() -> F + Send + 'static,
        F: Future<Output = Verdict> + Send + 'static,
    {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return Err(MonitorConfigError::NoRuntime);
        };
        self.handle.renew(|number| {
            let task = task::run(Arc::clone(&self.handle.state), number, probe);
            Some(runtime.spawn(task).abort_handle())
        });
        Ok(())
    }

    /// Stops probing, and lets everything pass. What was counted stays. It can begin again.
    pub fn stop(&self) {
        self.handle.renew(|_| None);
    }

    /// Whether it probes.
    pub fn is_probing(&self) -> bool {
        self.state().lock().probing
    }

    /// How the target is.
    pub fn health(&self) -> Health {
        self.state().lock().engine.health
    }

    /// All that is known of the target.
    pub fn snapshot(&self) -> MonitorSnapshot {
        let now = TokioClock.now();
        let seen = self.state().lock();
        MonitorSnapshot {
            probing: seen.probing,
            health: seen.engine.health,
            since: seen.engine.since.map(|since| now.since(since)),
            last_error: seen.last_error.map(|(_, finding)| finding),
            last_error_ago: seen.last_error.map(|(at, _)| now.since(at)),
            probes: seen.probes,
            failures: seen.failures,
        }
    }

    fn state(&self) -> &State {
        &self.handle.state
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows nothing from now on. Answers the number of the task that counts, and whether it was down.
    fn renew(&self) -> (u64, bool) {
        let mut seen = self.lock();
        let was_down = seen.engine.health == Health::Down;
        seen.engine = Engine::new(self.config.fall, self.config.rise);
        seen.task += 1;
        (seen.task, was_down)
    }

    /// A probe of the task of that number has ended, and the next begins at `next`.
    fn probed(&self, task: u64, found: Result<(), Finding>, now: Tick, next: Tick) {
        let (was, health) = {
            let mut seen = self.lock();
            if seen.task != task {
                return;
            }
            seen.probes += 1;
            if let Err(finding) = found {
                seen.failures += 1;
                seen.last_error = Some((now, finding));
            }
            seen.next = next;
            let was = seen.engine.probed(found.is_ok(), now);
            (was, seen.engine.health)
        };
        let Some(was) = was else { return };
        let name = &*self.config.name;
        match found {
            Ok(()) => tracing::info!(
                target: "sandtower::health_check",
                name, health = health.label(), was = was.label(),
                "a service that was unwell is healthy"
            ),
            Err(last) => tracing::warn!(
                target: "sandtower::health_check",
                name, health = health.label(), was = was.label(), last = %last,
                "a service is unwell"
            ),
        }
        self.watchers.notify();
    }

    fn rejection(&self) -> Option<(Tick, Rejection)> {
        let seen = self.lock();
        if seen.engine.health != Health::Down {
            return None;
        }
        let name = Arc::clone(&self.config.name);
        Some((seen.next, Rejection::new("health check", name, Reason::Unhealthy)))
    }
}

impl Gate for Monitor {
    type Token = ();

    fn take(&self, _asked: &RequestInfo, now: Tick) -> Take<()> {
        match self.state().rejection() {
            None => Take::Open(()),
            Some((next, rejection)) => Take::Reject(come_back(rejection, next, now)),
        }
    }

    fn give_back(&self, _asked: &RequestInfo, (): ()) {}

    fn settle(&self, _asked: &RequestInfo, (): (), _settlement: &Completion) {}

    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        let (next, rejection) = self.state().rejection()?;
        Some(come_back(rejection, next, clock.now()))
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.state().watchers.add(changed);
    }
}

/// Nothing changes before the next probe; when one under way ends, nobody knows.
fn come_back(rejection: Rejection, next: Tick, now: Tick) -> Rejection {
    if next > now { rejection.come_back_in(next.since(now)) } else { rejection }
}
