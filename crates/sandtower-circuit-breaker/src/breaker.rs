use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, Ordering},
};

use sandtower_core::{
    Change as Notice, Completion, Deferred, Gate, LogLimit, No, Now, Reason, Rejection,
    RequestInfo, Stage, Subscriber, Subscribers, Tick, Verdict,
};

use crate::{
    Config, ConfigError, Permit, Snapshot, State, Transition, Transitions,
    engine::{Change, Denied, Engine},
    events,
    switch::Switch,
};

/// The layer's kind, as rejections name it.
const LAYER: &str = "circuit breaker";

/// A circuit breaker: the handle that reads and steers it, and the [`Gate`] that layers enforce.
///
/// Clones are cheap and are the same breaker. It reads tokio's clock, so that it stands still under a
/// paused one.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreaker, State};
///
/// let breaker = CircuitBreaker::recommended("search");
/// assert_eq!(breaker.snapshot().state, State::Closed);
///
/// breaker.force_open();
/// assert_eq!(breaker.snapshot().state, State::Open);
/// breaker.reset();
/// assert_eq!(breaker.snapshot().counters.trips, 0);
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    switch: Switch,
    rejections: Mutex<LogLimit>,
    would_have_rejected: Mutex<LogLimit>,
    common: Arc<Common>,
}

/// What all breakers of one [`CircuitBreakers`](crate::CircuitBreakers) share.
#[derive(Debug)]
pub(crate) struct Common {
    subscribers: Arc<Subscribers>,
    /// Whether they let every call through, whatever they decide.
    shadow: AtomicBool,
}

impl Common {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let shadow = AtomicBool::new(config.is_shadow());
        Arc::new(Self { subscribers: Arc::default(), shadow })
    }

    pub(crate) fn is_shadow(&self) -> bool {
        self.shadow.load(Ordering::Relaxed)
    }

    pub(crate) fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.subscribers.add(subscriber);
    }

    pub(crate) fn set_shadow(&self, shadow: bool) {
        self.shadow.store(shadow, Ordering::Relaxed);
        self.subscribers.notify(if shadow { Notice::Opened } else { Notice::Closed });
    }
}

impl CircuitBreaker {
    /// A closed breaker with this configuration.
    ///
    /// # Errors
    ///
    /// The configuration is invalid; [`ConfigError`] says what would be right.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::checked(&config))
    }

    /// A breaker with the numbers of [`Config::recommended`].
    pub fn recommended(name: impl Into<Arc<str>>) -> Self {
        Self::checked(&Config::recommended(name))
    }

    /// A breaker with the numbers of [`Config::classic`].
    pub fn classic(name: impl Into<Arc<str>>) -> Self {
        Self::checked(&Config::classic(name))
    }

    fn checked(config: &Config) -> Self {
        Self::of(config, config.name_of(), Common::new(config), Tick::now())
    }

    /// A breaker with a configuration that was checked.
    pub(crate) fn of(config: &Config, name: Arc<str>, common: Arc<Common>, now: Tick) -> Self {
        let switch = Switch::new(Engine::new(config.settings(), config.rng(), now));
        let (rejections, would_have_rejected) = Default::default();
        let shared = Shared { name, switch, rejections, would_have_rejected, common };
        Self { shared: Arc::new(shared) }
    }

    /// The name that its user gave it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// All that it knows, now.
    ///
    /// A breaker whose open time is over is [`HalfOpen`](State::HalfOpen) from that instant on,
    /// although nothing happens to it before the next call: that call will be a probe.
    pub fn snapshot(&self) -> Snapshot {
        let now = Tick::now();
        let mut snapshot = self.switch().lock().snapshot(self.name(), now);
        snapshot.shadow = self.is_shadow();
        self.switch().add_responses(&mut snapshot.counters);
        snapshot
    }

    /// Its last 64 transitions, the oldest first.
    pub fn history(&self) -> Vec<Transition> {
        let now = Tick::now();
        self.switch().lock().history().iter().map(|moved| moved.read_at(now)).collect()
    }

    /// Its transitions from now on, one after the other.
    pub fn transitions(&self) -> Transitions {
        Transitions::of(self.clone(), self.switch().lock().history().count())
    }

    /// Closes it as if nothing had happened, forced or not. Attempts that were sent before no longer
    /// count; the counters go on.
    pub fn reset(&self) {
        self.steer(|engine, now| Some(engine.reset(now)));
    }

    /// Rejects every call until [`release`](Self::release), [`reset`](Self::reset) or
    /// [`force_closed`](Self::force_closed).
    pub fn force_open(&self) {
        self.steer(|engine, now| Some(engine.force_open(now)));
    }

    /// Lets every call through, however many fail, until [`release`](Self::release),
    /// [`reset`](Self::reset) or [`force_open`](Self::force_open).
    pub fn force_closed(&self) {
        self.steer(|engine, now| Some(engine.force_closed(now)));
    }

    /// Ends what was forced; does nothing to a breaker that is not. From forced open it continues
    /// [`HalfOpen`](State::HalfOpen), so that the callers that were rejected do not stampede; from
    /// forced closed it continues closed, with nothing held against the service.
    pub fn release(&self) {
        self.steer(Engine::release);
    }

    /// Whether it is in [shadow mode](Config::shadow).
    pub fn is_shadow(&self) -> bool {
        self.shared.common.is_shadow()
    }

    /// Enters [shadow mode](Config::shadow), or leaves it. From then on it decides as the state
    /// says that it is in: left while open, it rejects the next call.
    ///
    /// A breaker of [`CircuitBreakers`](crate::CircuitBreakers) shares its mode with the others.
    pub fn set_shadow(&self, shadow: bool) {
        self.shared.common.set_shadow(shadow);
    }

    fn steer(&self, act: impl FnOnce(&mut Engine, Tick) -> Option<Change>) {
        let mut later = Deferred::new();
        let now = Tick::now();
        self.change(&mut later, |engine| act(engine, now));
    }

    /// Lets `act` change the engine, and notifies the subscribers afterwards.
    fn change(&self, later: &mut Deferred, act: impl FnOnce(&mut Engine) -> Option<Change>) {
        let notice = match self.switch().update(act) {
            None => return,
            Some(Change::SlotFreed) => Notice::Opened,
            Some(Change::Moved(moved)) => {
                self.log(moved, later);
                if moved.to == State::Open { Notice::Closed } else { Notice::Opened }
            }
        };
        later.notify(&self.shared.common.subscribers, notice);
    }

    fn log(&self, moved: Transition, later: &mut Deferred) {
        let (name, shadow) = (Arc::clone(&self.shared.name), self.is_shadow());
        later.run(move || events::moved(&name, &moved, shadow));
    }

    pub(crate) fn switch(&self) -> &Switch {
        &self.shared.switch
    }

    /// Whether only the table that made it holds it: no permit, and no handle.
    pub(crate) fn is_unused(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    #[cold]
    fn no(&self, denied: Denied, now: &Now) -> No {
        let why = Rejection::new(LAYER, Arc::clone(&self.shared.name), denied.reason());
        let why = match denied.retry_in(now) {
            Some(wait) => why.come_back_in(wait),
            None => why,
        };
        match denied {
            Denied::Open { until, .. } => No::Closed { until, why },
            Denied::Full { expected, expires, .. } => {
                No::Wait { earliest: expected, look_again: expires, why }
            }
        }
    }
}

/// Small while the breaker is quiet, so that it becomes part of the layer around it; the rest is kept
/// out of line.
impl Gate for CircuitBreaker {
    type Permit = Permit;

    #[inline]
    fn check(&self, _request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        if self.switch().is_quiet() { None } else { self.check_locked(now) }
    }

    #[inline]
    fn try_acquire(
        &self,
        _request: &RequestInfo,
        now: &Now,
        later: &mut Deferred,
    ) -> Result<Permit, No> {
        match self.switch().pass() {
            Some(permit) => Ok(permit),
            None => self.try_acquire_locked(now, later).map_err(|denied| self.no(denied, now)),
        }
    }

    /// A probe is classified by its head, and so is an attempt of the ramp: other callers wait for them.
    #[inline]
    fn record(
        &self,
        request: &RequestInfo,
        permit: Permit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<Permit> {
        if permit.lease.is_none() {
            match done.stage {
                Stage::NotSent => return None,
                Stage::Head => return Some(permit),
                Stage::End if self.switch().count(&permit, done.verdict.outcome) => return None,
                Stage::End => {}
            }
        }
        self.record_locked(request, permit, done, later);
        None
    }

    fn not_ready(&self, verdict: &Verdict, now: &Now, later: &mut Deferred) {
        self.change(later, |engine| engine.not_ready(*verdict, now.tick()));
    }

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.shared.common.subscribe(subscriber);
    }
}

impl CircuitBreaker {
    #[cold]
    fn check_locked(&self, now: &Now) -> Option<No> {
        if self.is_shadow() {
            return None;
        }
        let denied = self.switch().lock().check(now)?;
        Some(self.no(denied, now))
    }

    #[cold]
    fn try_acquire_locked(&self, now: &Now, later: &mut Deferred) -> Result<Permit, Denied> {
        if self.is_shadow() {
            return Ok(self.acquire_in_shadow(now, later));
        }
        let acquired = self.switch().update(|engine| engine.try_acquire(now));
        if let Err(Denied::Open { reason, .. }) = acquired {
            self.log_rejection(reason, now.tick(), later);
        }
        let (permit, moved) = acquired?;
        if let Some(moved) = moved {
            self.log(moved, later);
        }
        Ok(permit)
    }

    fn acquire_in_shadow(&self, now: &Now, later: &mut Deferred) -> Permit {
        let (permit, moved, denied) = self.switch().update(|engine| engine.acquire_in_shadow(now));
        if let Some(moved) = moved {
            self.log(moved, later);
        }
        if let Some(denied) = denied {
            let count = count(&self.shared.would_have_rejected, now.tick());
            if let Some(count) = count {
                let (name, reason) = (Arc::clone(&self.shared.name), denied.reason());
                later.run(move || events::would_have_rejected(&name, reason, count));
            }
        }
        permit
    }

    #[inline(never)]
    fn record_locked(
        &self,
        request: &RequestInfo,
        permit: Permit,
        done: &Completion,
        later: &mut Deferred,
    ) {
        self.change(later, |engine| engine.record(request, permit, done));
    }

    fn log_rejection(&self, reason: Reason, now: Tick, later: &mut Deferred) {
        if let Some(count) = count(&self.shared.rejections, now) {
            let name = Arc::clone(&self.shared.name);
            later.run(move || events::rejected(&name, reason, count));
        }
    }
}

fn count(log: &Mutex<LogLimit>, now: Tick) -> Option<u64> {
    log.lock().unwrap_or_else(PoisonError::into_inner).count(now)
}

impl std::fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
