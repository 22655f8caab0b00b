use std::sync::{Arc, Weak};

use sandtower_core::{
    Clock, Completion, Gate, Rejection, RequestInfo, Subscriber, Subscribers, Take, Tick, Verdict,
};
use sandtower_time::TokioClock;

use crate::{
    Snapshot, State, Token, Transition, Transitions, WhenOpen,
    config::{Config, ConfigError, Parts},
    engine::{Change, Engine, No},
    events,
    switch::Switch,
};

/// The layer's kind, as rejections name it.
const LAYER: &str = "circuit breaker";

/// A circuit breaker: the handle that reads and steers it, and the [`Gate`] that layers take.
///
/// Clones are cheap and are the same breaker. It reads tokio's clock, so that under a paused clock
/// it stands still with everything else.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreaker, State};
///
/// let breaker = CircuitBreaker::classic("E2B");
/// assert_eq!(breaker.state(), State::Closed);
///
/// breaker.force_open();
/// assert_eq!(breaker.state(), State::Open);
/// breaker.reset();
/// assert_eq!(breaker.snapshot().counters.trips, 0);
/// ```
#[derive(Clone)]
pub struct CircuitBreaker {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    when_open: WhenOpen,
    switch: Switch,
    /// Those of all breakers that were made together.
    watchers: Arc<Subscribers>,
}

/// How many threads count without getting into each other's way.
const STRIPES: usize = 8;

impl CircuitBreaker {
    /// A closed breaker, as configured.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense; see [`ConfigError`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::of(&config.checked()?, STRIPES, Arc::default()))
    }

    /// A breaker with the numbers of [`Config::classic`], which make sense.
    pub fn classic(name: impl Into<Arc<str>>) -> Self {
        Self::of(&Parts::classic(name), STRIPES, Arc::default())
    }

    pub(crate) fn of(parts: &Parts, stripes: usize, watchers: Arc<Subscribers>) -> Self {
        let engine = Engine::new(parts.settings, parts.seed.rng(), TokioClock.now());
        let (name, when_open) = (Arc::clone(&parts.name), parts.when_open);
        let switch = Switch::new(engine, stripes);
        Self { shared: Arc::new(Shared { name, when_open, switch, watchers }) }
    }

    /// The name that its user gave it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it stands now.
    ///
    /// A breaker whose open time is over is [`HalfOpen`](State::HalfOpen) from that instant on,
    /// although nothing happens to it before a call comes: that call will be a probe.
    pub fn state(&self) -> State {
        let now = TokioClock.now();
        self.switch().lock().state(now)
    }

    /// All that it knows, now.
    pub fn snapshot(&self) -> Snapshot {
        let now = TokioClock.now();
        let mut snapshot = self.switch().lock().snapshot(self.name(), now);
        self.switch().add_answers(&mut snapshot.counters);
        snapshot
    }

    /// Its last 64 changes of state, the oldest first.
    pub fn history(&self) -> Vec<Transition> {
        let now = TokioClock.now();
        self.switch().lock().history().iter().map(|moved| moved.read_at(now)).collect()
    }

    /// Its changes of state from now on, one after the other.
    pub fn subscribe(&self) -> Transitions {
        Transitions::of(self.clone(), self.switch().lock().history().count())
    }

    /// Closes it as if nothing had happened, forced or not. What was sent before changes nothing
    /// any more; the counters go on.
    pub fn reset(&self) {
        let now = TokioClock.now();
        self.change(|engine| Some(engine.reset(now)));
    }

    /// Rejects every call until [`release`](Self::release), [`reset`](Self::reset) or
    /// [`force_closed`](Self::force_closed).
    pub fn force_open(&self) {
        let now = TokioClock.now();
        self.change(|engine| Some(engine.force_open(now)));
    }

    /// Lets every call through, however many fail, until [`release`](Self::release),
    /// [`reset`](Self::reset) or [`force_open`](Self::force_open).
    pub fn force_closed(&self) {
        let now = TokioClock.now();
        self.change(|engine| Some(engine.force_closed(now)));
    }

    /// Ends what was forced; does nothing to a breaker that is not. From forced open it goes by way
    /// of [`HalfOpen`](State::HalfOpen), so that those who were kept out do not stampede; from
    /// forced closed it goes on closed, with nothing held against the service.
    pub fn release(&self) {
        let now = TokioClock.now();
        self.change(|engine| engine.release(now));
    }

    /// Lets `act` change the engine, then tells those who have to know.
    ///
    /// Never to be called from `take` or `give_back`: the waiting room, which watches, calls these
    /// under its own lock.
    fn change(&self, act: impl FnOnce(&mut Engine) -> Option<Change>) {
        let Some(change) = self.switch().update(act) else { return };
        if let Change::Moved(moved) = &change {
            events::moved(self.name(), moved);
        }
        self.shared.watchers.notify();
    }

    pub(crate) fn switch(&self) -> &Switch {
        &self.shared.switch
    }

    fn rejection(&self, no: &No, now: Tick) -> Rejection {
        let rejection = Rejection::new(LAYER, Arc::clone(&self.shared.name), no.reason);
        match no.retry_in(now) {
            Some(wait) => rejection.come_back_in(wait),
            None => rejection,
        }
    }
}

/// Small where the breaker is closed and well, so that it becomes part of the layer around it; the
/// rest is kept out of line.
impl Gate for CircuitBreaker {
    type Token = Token;

    /// The token is a probe if the breaker is half-open. A "no" tells when to come back, unless an
    /// operator forced it.
    #[inline]
    fn take(&self, _asked: &RequestInfo, now: Tick) -> Take<Token> {
        match self.switch().pass() {
            Some(token) => Take::Open(token),
            None => self.take_by_lock(now),
        }
    }

    fn give_back(&self, _asked: &RequestInfo, token: Token) {
        self.switch().give_back(token);
    }

    #[inline]
    fn settle(&self, _asked: &RequestInfo, token: Token, settlement: &Completion) {
        if !self.switch().count(&token, settlement.verdict.outcome) {
            self.settle_by_lock(token, settlement);
        }
    }

    /// While it is quietly closed, an answer is counted and nothing else.
    #[inline]
    fn settle_untimed(
        &self,
        _asked: &RequestInfo,
        token: Token,
        verdict: &Verdict,
    ) -> Option<Token> {
        if self.switch().count(&token, verdict.outcome) { None } else { Some(token) }
    }

    /// A probe is judged by its head, and so is whoever has a place in a ramp: others wait for them.
    fn head(&self, _asked: &RequestInfo, token: &mut Token, _settlement: &Completion) -> bool {
        !token.is_leased()
    }

    /// `None` with [`WhenOpen::Hold`]: no request is rejected if it waits long enough.
    #[inline]
    fn peek(&self, clock: &impl Clock) -> Option<Rejection> {
        let until = self.switch().rejects_until();
        if until == Tick::ZERO || self.shared.when_open == WhenOpen::Hold {
            return None;
        }
        let now = clock.now();
        if now >= until { None } else { self.reject(now) }
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.change(|engine| engine.unready(*verdict, now));
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.shared.watchers.add(changed);
    }
}

impl CircuitBreaker {
    #[cold]
    fn take_by_lock(&self, now: Tick) -> Take<Token> {
        match self.switch().take(now) {
            Ok((token, moved)) => {
                if let Some(moved) = moved {
                    events::moved(self.name(), &moved);
                }
                Take::Open(token)
            }
            // A service that is up again, and only has no place free for the moment, is waited for.
            Err(no) if no.soon.is_some() || self.shared.when_open == WhenOpen::Hold => {
                Take::NotBefore(no.at, self.rejection(&no, now))
            }
            Err(no) => Take::Reject(self.rejection(&no, now)),
        }
    }

    #[inline(never)]
    fn settle_by_lock(&self, token: Token, settlement: &Completion) {
        self.change(|engine| engine.settle(token, settlement));
    }

    fn reject(&self, now: Tick) -> Option<Rejection> {
        let no = self.switch().reject(now)?;
        Some(self.rejection(&no, now))
    }
}

impl std::fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
