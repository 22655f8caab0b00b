//! How many of something may exist at once: a gate that turns "out of slots" into waiting for one.

mod config;
mod engine;
mod operations;
mod snapshot;

use std::sync::{Arc, Weak};

use sandtower_core::{
    Clock, Completion, Gate, Operation, Outcome, Reason, Rejection, RequestInfo, Subscriber,
    Subscribers, Take, Tick, Verdict,
};
use sandtower_time::TokioClock;

pub use self::config::{QuotaConfig, QuotaConfigError};
pub use self::snapshot::QuotaSnapshot;

pub(crate) use self::operations::Operations;

use self::config::check_limit;
use self::engine::{Came, Eased, Engine, No, Try};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps calls from asking for a slot while there is none: a [`Gate`], and the handle that reads and
/// steers it. Cheap to clone; clones are the same quota.
///
/// Once the service said that it is [out of slots](Outcome::Exhausted), nobody asks again before a
/// slot was seen to become free — a call that [releases](QuotaConfig::releases) one succeeded, or
/// [`release`](Self::release) told of it — and each of these lets exactly one go. For what ends
/// without being seen, one leased probe goes now and then; when it finds a slot, calls follow step
/// by step.
///
/// It counts what was granted, less the ends that were seen, so that a rejection can say "20 of 20 are
/// in use". Calls that neither take a slot nor free one pass untouched.
///
/// A "no" of this gate promises nothing, since a slot may become free at any time: who waits for it
/// waits as long as its deadline allows.
///
/// ```
/// use sandtower_admission::{AdmissionLayer, Config, Quota, QuotaConfig};
/// use sandtower_core::Operation;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// const KILL: Operation = Operation::new(5, "sandbox_kill");
///
/// let quota = Quota::new(QuotaConfig::new("E2B").takes(CREATE).releases(KILL))?;
/// let admission = AdmissionLayer::with_gates(Config::new("E2B"), quota.clone())?;
/// # let _ = admission;
///
/// // A sandbox ended, as we were told by someone else.
/// quota.release(1);
/// assert_eq!(quota.snapshot().in_use, 0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Quota {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    takes: Operations,
    releases: Operations,
    engine: Mutex<Engine>,
    watchers: Subscribers,
}

/// What a [`Quota`] hands out for one attempt.
#[derive(Debug)]
#[must_use = "a token has to be given back or settled"]
pub struct QuotaToken(Option<Try>);

impl Quota {
    /// A quota of which nothing is in use yet, as configured.
    ///
    /// # Errors
    ///
    /// The configuration makes no sense; see [`QuotaConfigError`].
    pub fn new(config: QuotaConfig) -> Result<Self, QuotaConfigError> {
        let engine = Engine::new(config.terms()?, config.seed.rng());
        let QuotaConfig { name, takes, releases, .. } = config;
        let (engine, watchers) = (Mutex::new(engine), Subscribers::default());
        Ok(Self { shared: Arc::new(Shared { name, takes, releases, engine, watchers }) })
    }

    /// The name that its user gave it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// So many slots became free, as was seen elsewhere. For each of them one call may go.
    pub fn release(&self, slots: u32) {
        self.change(|engine| engine.release(slots));
    }

    /// Forgets what was counted and what the service said; `limit` is what is known of it from now
    /// on. What is under way is left alone.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn reset(&self, limit: Option<u32>) -> Result<(), QuotaConfigError> {
        check_limit(limit)?;
        self.change(|engine| engine.reset(limit));
        Ok(())
    }

    /// What it knows now.
    pub fn snapshot(&self) -> QuotaSnapshot {
        let now = TokioClock.now();
        QuotaSnapshot::of(self.name(), &self.lock(), now)
    }

    /// Lets `act` change the engine, then tells those who wait. Never from `take` or `give_back`.
    fn change(&self, act: impl FnOnce(&mut Engine) -> Option<Eased>) {
        let (before, eased, engine) = {
            let mut engine = self.lock();
            let before = engine.waits().is_some();
            let eased = act(&mut engine);
            (before, eased, (engine.waits().is_some(), engine.in_use(), engine.limit()))
        };
        let (waits, in_use, limit) = engine;
        if before != waits {
            tell(self.name(), waits, in_use, limit);
        }
        if eased.is_some() {
            self.shared.watchers.notify();
        }
    }

    /// A panic leaves the engine in order: no caller's code runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn rejection(&self, engine: &Engine, operation: Operation, no: No, now: Tick) -> Rejection {
        let (in_use, limit) = (engine.in_use(), engine.limit().unwrap_or(0));
        let reason = Reason::Exhausted { in_use, limit, lasting: now.since(no.since) };
        Rejection::new("quota", Arc::clone(&self.shared.name), reason)
            .about(operation)
            .come_back_in(no.at.since(now))
    }
}

/// A change of what callers have to expect: a warning when slots run out.
fn tell(name: &str, waits: bool, in_use: u32, limit: Option<u32>) {
    const TARGET: &str = "sandtower::quota";
    if waits {
        tracing::warn!(target: TARGET, name, in_use, limit, "out of slots");
    } else {
        tracing::info!(target: TARGET, name, in_use, limit, "there are slots again");
    }
}

impl Gate for Quota {
    type Token = QuotaToken;

    #[inline]
    fn take(&self, info: &RequestInfo, now: Tick) -> Take<QuotaToken> {
        if !self.shared.takes.contains(info.operation) {
            return Take::Open(QuotaToken(None));
        }
        let mut engine = self.lock();
        match engine.take(now) {
            Ok(attempt) => Take::Open(QuotaToken(Some(attempt))),
            Err(no) => {
                let rejection = self.rejection(&engine, info.operation, no, now);
                // A slot may become free before that: nobody is sent away for a probe that is late.
                let at = info.deadline.map_or(no.at, |deadline| no.at.min(deadline));
                Take::NotBefore(at, rejection)
            }
        }
    }

    fn give_back(&self, _asked: &RequestInfo, token: QuotaToken) {
        if let Some(attempt) = token.0 {
            self.lock().give_back(attempt);
        }
    }

    #[inline]
    fn settle(&self, info: &RequestInfo, token: QuotaToken, settlement: &Completion) {
        let (outcome, now) = (settlement.verdict.outcome, settlement.now);
        match token.0 {
            Some(attempt) => self.change(|engine| engine.settle(attempt, came(outcome), now)),
            None if self.frees(info, outcome) => self.release(1),
            None => {}
        }
    }

    #[inline]
    fn settle_untimed(
        &self,
        info: &RequestInfo,
        token: QuotaToken,
        verdict: &Verdict,
    ) -> Option<QuotaToken> {
        if token.0.is_some() {
            return Some(token);
        }
        if self.frees(info, verdict.outcome) {
            self.release(1);
        }
        None
    }

    fn watch(&self, changed: Weak<dyn Subscriber>) {
        self.shared.watchers.add(changed);
    }
}

impl Quota {
    #[inline]
    fn frees(&self, info: &RequestInfo, outcome: Outcome) -> bool {
        outcome == Outcome::Success && self.shared.releases.contains(info.operation)
    }
}

fn came(outcome: Outcome) -> Came {
    match outcome {
        Outcome::Success => Came::Granted,
        Outcome::Exhausted => Came::Exhausted,
        _ => Came::Otherwise,
    }
}

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
