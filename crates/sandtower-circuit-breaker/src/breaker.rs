use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use sandtower_core::{
    Asked, Changed, Clock, Gate, Refusal, Settlement, Take, Tick, Verdict, Watchers,
};
use sandtower_time::TokioClock;

use crate::{
    Snapshot, State, Token, WhenOpen,
    config::{Config, ConfigError},
    engine::{Change, Engine, No},
    events,
};

/// The layer's kind, as refusals name it.
const LAYER: &str = "circuit breaker";

/// A circuit breaker: the handle that reads and steers it, and the [`Gate`] that layers take.
///
/// Clones are cheap and are the same breaker. It reads tokio's clock, so that under a paused clock
/// it stands still with everything else.
///
/// ```
/// use sandtower_circuit_breaker::{CircuitBreaker, State};
///
/// let breaker = CircuitBreaker::original("E2B");
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
    engine: Mutex<Engine>,
    watchers: Watchers,
    refuses_until: OwnLine<AtomicU64>,
}

/// Keeps every reader's word off the cache line that the lock is fought over on. 128 bytes: x86
/// fetches lines in pairs, and Apple's are that long.
#[repr(align(128))]
struct OwnLine<T>(T);

impl CircuitBreaker {
    /// A closed breaker, as configured.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense; see [`ConfigError`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.checked().map(Self::of)
    }

    /// A breaker with the numbers of [`Config::original`], which make sense.
    pub fn original(name: impl Into<Arc<str>>) -> Self {
        Self::of(Config::original(name))
    }

    fn of(Config { name, when_open, settings }: Config) -> Self {
        let engine = Engine::new(settings, TokioClock.now());
        let refuses_until = OwnLine(AtomicU64::new(engine.refuses_until().as_nanos()));
        let (engine, watchers) = (Mutex::new(engine), Watchers::default());
        Self { shared: Arc::new(Shared { name, when_open, engine, watchers, refuses_until }) }
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
        self.lock().state(now)
    }

    /// All that it knows, now.
    pub fn snapshot(&self) -> Snapshot {
        let now = TokioClock.now();
        self.lock().snapshot(self.name(), now)
    }

    /// Closes it as if nothing had happened, forced or not. What was sent before changes nothing
    /// any more; the counters go on.
    pub fn reset(&self) {
        let now = TokioClock.now();
        self.change(|engine| Some(engine.reset(now)));
    }

    /// Refuses every call until [`release`](Self::release), [`reset`](Self::reset) or
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
        let change = self.update(act);
        if let Some(Change::Moved(moved)) = &change {
            events::moved(self.name(), moved);
        }
        if change.is_some() {
            self.shared.watchers.notify();
        }
    }

    /// Lets `act` change the engine and publishes until when it refuses, in one critical section:
    /// an older word must never overwrite a newer one.
    fn update<T>(&self, act: impl FnOnce(&mut Engine) -> T) -> T {
        let mut engine = self.lock();
        let result = act(&mut engine);
        let word = &self.shared.refuses_until.0;
        let until = engine.refuses_until().as_nanos();
        // While closed the word is only read, so that all threads may keep a copy of its line.
        if word.load(Ordering::Relaxed) != until {
            word.store(until, Ordering::Release);
        }
        result
    }

    // A panic elsewhere leaves the engine in order: no caller's code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(&self, no: &No, now: Tick) -> Refusal {
        let refusal = Refusal::new(LAYER, Arc::clone(&self.shared.name), no.reason);
        match no.retry_in(now) {
            Some(wait) => refusal.come_back_in(wait),
            None => refusal,
        }
    }
}

impl Gate for CircuitBreaker {
    type Token = Token;

    /// The token is a probe if the breaker is half-open. A "no" tells when to come back, unless an
    /// operator forced it.
    fn take(&self, _asked: &Asked, now: Tick) -> Take<Token> {
        match self.update(|engine| engine.take(now)) {
            Ok((token, moved)) => {
                if let Some(moved) = moved {
                    events::moved(self.name(), &moved);
                }
                Take::Open(token)
            }
            Err(no) => match self.shared.when_open {
                WhenOpen::Refuse => Take::Refuse(self.refusal(&no, now)),
                WhenOpen::Hold => Take::NotBefore(no.at, self.refusal(&no, now)),
            },
        }
    }

    fn give_back(&self, _asked: &Asked, token: Token) {
        self.update(|engine| engine.give_back(token));
    }

    fn settle(&self, _asked: &Asked, token: Token, settlement: &Settlement) {
        self.change(|engine| engine.settle(token, settlement));
    }

    /// `None` with [`WhenOpen::Hold`]: no request is refused if it waits long enough.
    fn peek(&self, clock: &impl Clock) -> Option<Refusal> {
        let until = Tick::from_nanos(self.shared.refuses_until.0.load(Ordering::Acquire));
        if until == Tick::ZERO || self.shared.when_open == WhenOpen::Hold {
            return None;
        }
        let now = clock.now();
        if now >= until {
            return None;
        }
        // The word told that it is worth asking; only the engine knows why, and what is true now.
        let no = self.lock().refuse(now)?;
        Some(self.refusal(&no, now))
    }

    fn unready(&self, verdict: &Verdict, now: Tick) {
        self.change(|engine| engine.unready(*verdict, now));
    }

    fn watch(&self, changed: Weak<dyn Changed>) {
        self.shared.watchers.add(changed);
    }
}

impl std::fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CircuitBreaker").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
