//! Periodic probes of a service.

mod config;
mod engine;
mod task;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Reason, Rejection, RequestInfo, Subscriber,
    Subscribers, Tick, Verdict,
};
use serde::{Serialize, Serializer};
use tokio::task::AbortHandle;

use self::engine::Engine;
use crate::Finding;

pub use config::{MonitorConfig, MonitorConfigError};
pub use engine::Health;

/// Probes a service periodically in the background: a handle, cheap to clone, and a [`Gate`] that rejects
/// while the service is down. Clones share their state.
///
/// Each monitor is a task, and each of its probes is another: a slow service delays no other, and a probe
/// that panics has failed. Probes stop when the last handle is dropped, or their runtime has ended: the
/// monitor then rejects nothing until it [begins](Self::begin) again.
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
/// A monitor that is created before there is anything to probe [begins](Self::begin) later; until then,
/// and once it is [stopped](Self::stop), its health is unknown and it lets all requests pass.
///
/// # Events
///
/// With the target `sandtower::health_check`, when the state changes, `WARN` if for the worse and
/// `INFO` if for the better: `name`, `health`, `was`, `last`; and when its runtime has ended, `WARN`:
/// `name`.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// The task ends with the last handle; it holds only the state.
    handle: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    state: Arc<State>,
    /// The latest task, with its number.
    task: Mutex<(u64, Option<AbortHandle>)>,
}

impl Running {
    /// Replaces the task before with the one of this number, unless a later one is stored.
    fn keep(&self, number: u64, task: Option<AbortHandle>) {
        let before = {
            let mut kept = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.0 > number { task } else { std::mem::replace(&mut *kept, (number, task)).1 }
        };
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let number = self.state.renew(None);
        self.keep(number, None);
    }
}

/// Written by the task and read by handles.
#[derive(Debug)]
struct State {
    config: MonitorConfig,
    seen: Mutex<Seen>,
    subscribers: Subscribers,
}

#[derive(Debug)]
struct Seen {
    engine: Engine,
    /// The number of the current task: results of a stopped one are ignored.
    task: u64,
    probing: bool,
    probes: u64,
    failures: u64,
    last_error: Option<(Tick, Finding)>,
    /// The earliest time of the next change: the end of the next probe comes later.
    next: Tick,
}

impl Seen {
    /// Whether probes come on time. If not, their runtime is gone or idle, and the state is out of date.
    fn is_current(&self, config: &MonitorConfig, now: Tick) -> bool {
        // By then the next probe has started and timed out, with one more pause.
        self.probing && now <= self.next + config.within + config.every
    }

    /// The health, as far as it is known.
    fn health(&self, config: &MonitorConfig, now: Tick) -> Health {
        if self.is_current(config, now) { self.engine.health } else { Health::Healthy }
    }
}

/// The health of a service and its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MonitorSnapshot {
    /// Whether it is being probed. If not, its health is unknown, and it counts as healthy.
    pub probing: bool,
    /// The health.
    pub health: Health,
    /// For how long; `None`: since the first probe. Serializes as `since_ms`.
    #[serde(rename = "since_ms", serialize_with = "millis")]
    pub since: Option<Duration>,
    /// The result of the latest failed probe.
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
    /// Starts probing, at once and then as `config` says. A [success](Verdict::is_success) passes.
    ///
    /// # Errors
    ///
    /// The config is invalid, or there is no tokio runtime here; the error says what is wrong.
    pub fn start<P, F>(config: MonitorConfig, probe: P) -> Result<Self, MonitorConfigError>
    where
        P: FnMut() -> F + Send + 'static,
        F: Future<Output = Verdict> + Send + 'static,
    {
        let monitor = Self::new(config)?;
        monitor.begin(probe)?;
        Ok(monitor)
    }

    /// A monitor that probes nothing until it [begins](Self::begin).
    ///
    /// # Errors
    ///
    /// The config is invalid; the error says what would be valid.
    pub fn new(config: MonitorConfig) -> Result<Self, MonitorConfigError> {
        config.check()?;
        let engine = Engine::new(config.fall, config.rise);
        let (last_error, next) = (None, Tick::ZERO);
        let seen =
            Seen { engine, task: 0, probing: false, probes: 0, failures: 0, last_error, next };
        let state =
            Arc::new(State { config, seen: Mutex::new(seen), subscribers: Subscribers::default() });
        Ok(Self { handle: Arc::new(Running { state, task: Mutex::default() }) })
    }

    /// Starts probing, at once and then as its config says, in place of earlier probes.
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
        let state = &self.handle.state;
        let number = state.renew(Some(Tick::now()));
        let task = task::run(Probing { state: Arc::clone(state), number }, probe);
        self.handle.keep(number, Some(runtime.spawn(task).abort_handle()));
        Ok(())
    }

    /// Stops probing, and lets all requests pass. Counters are kept. It can begin again.
    pub fn stop(&self) {
        let number = self.handle.state.renew(None);
        self.handle.keep(number, None);
    }

    /// Whether it is probing. False once its runtime has ended, and while that is idle.
    pub fn is_probing(&self) -> bool {
        self.state().lock().is_current(&self.state().config, Tick::now())
    }

    /// The health of the service. [`Health::Healthy`] if it is not being probed.
    pub fn health(&self) -> Health {
        self.state().lock().health(&self.state().config, Tick::now())
    }

    /// A snapshot.
    pub fn snapshot(&self) -> MonitorSnapshot {
        let now = Tick::now();
        let seen = self.state().lock();
        MonitorSnapshot {
            probing: seen.is_current(&self.state().config, now),
            health: seen.health(&self.state().config, now),
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

    /// Starts over with unknown health, with probes from `begin` on if given. Returns the number of the task
    /// that counts from now on.
    fn renew(&self, begin: Option<Tick>) -> u64 {
        let (number, was_down) = {
            let mut seen = self.lock();
            seen.task += 1;
            (seen.task, self.forget(&mut seen, begin))
        };
        self.tell_opened(was_down);
        number
    }

    /// The task of that number is gone, with its runtime.
    fn ended(&self, task: u64) {
        let was_down = {
            let mut seen = self.lock();
            if seen.task != task {
                return;
            }
            self.forget(&mut seen, None)
        };
        let name = &*self.config.name;
        tracing::warn!(
            target: "sandtower::health_check", name, "health probes stopped: their runtime has ended"
        );
        self.tell_opened(was_down);
    }

    /// Whether it was down.
    fn forget(&self, seen: &mut Seen, begin: Option<Tick>) -> bool {
        let was_down = seen.engine.health == Health::Down;
        seen.engine = Engine::new(self.config.fall, self.config.rise);
        seen.probing = begin.is_some();
        seen.next = begin.unwrap_or(Tick::ZERO);
        was_down
    }

    fn tell_opened(&self, was_down: bool) {
        if was_down {
            self.subscribers.notify(Change::Opened);
        }
    }

    /// A probe of the task of that number has ended, and the next starts at `next`.
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
                "service health improved"
            ),
            Err(last) => tracing::warn!(
                target: "sandtower::health_check",
                name, health = health.label(), was = was.label(), last = %last,
                "service health worsened"
            ),
        }
        let change = if health == Health::Down { Change::Closed } else { Change::Opened };
        self.subscribers.notify(change);
    }

    /// Nothing changes before the next probe; when a probe in flight ends is unknown.
    fn no(&self, now: &Now) -> Option<No> {
        let next = {
            let seen = self.lock();
            if seen.engine.health != Health::Down || !seen.is_current(&self.config, now.tick()) {
                return None;
            }
            seen.next
        };
        let why = Rejection::new("health check", Arc::clone(&self.config.name), Reason::Unhealthy);
        let wait = next.since(now.tick());
        let why = if wait.is_zero() { why } else { why.come_back_in(wait) };
        Some(No::Closed { until: (!wait.is_zero()).then_some(next), why })
    }
}

/// The probing task. When it is dropped, probing has ended, unless another has started.
struct Probing {
    state: Arc<State>,
    number: u64,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.state.ended(self.number);
    }
}

impl Gate for Monitor {
    type Permit = ();

    fn check(&self, _request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        self.state().no(now)
    }

    fn try_acquire(
        &self,
        _request: &RequestInfo,
        now: &Now,
        _later: &mut Deferred,
    ) -> Result<(), No> {
        self.state().no(now).map_or(Ok(()), Err)
    }

    fn record(
        &self,
        _request: &RequestInfo,
        (): (),
        _done: &Completion,
        _later: &mut Deferred,
    ) -> Option<()> {
        None
    }

    fn not_ready(&self, _verdict: &Verdict, _now: &Now, _later: &mut Deferred) {}

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.state().subscribers.add(subscriber);
    }
}
