//! A quota on how many of something may exist: a gate that holds calls while there is no free slot.

mod config;
mod engine;
mod operations;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use sandtower_core::{
    Change, Completion, Deferred, Gate, No, Now, Operation, Reason, Rejection, RequestInfo, Stage,
    Subscriber, Subscribers, Tick, Verdict,
};

pub use self::config::{QuotaConfig, QuotaConfigError};
pub use self::snapshot::QuotaSnapshot;

use self::operations::Operations;

use self::config::check_limit;
use self::engine::{Attempt, Engine, Held, Outcome};
use crate::sync::{Mutex, MutexGuard, PoisonError};

/// A [`Gate`] that holds calls while the service is out of slots, and its handle. Cheap to clone; all
/// clones share one state.
///
/// Once the service reports that it is [out of slots](sandtower_core::Outcome::Exhausted), no call is
/// sent until a slot is seen to become free: a call that [releases](QuotaConfig::releases) one succeeds,
/// or [`release`](Self::release) is called. Each such end admits exactly one call. For slots that become
/// free unseen, a leased probe is sent from time to time; when it finds a slot, calls follow step by
/// step.
///
/// The quota counts slots granted less ends seen, so that a rejection can say "20 of 20 are in use".
/// Operations that neither take nor free a slot pass without a lock, a clock reading or an allocation.
///
/// The gate never closes: a slot may become free at any time, so its [earliest](No::Wait::earliest)
/// instant is always now, and the next probe only determines when to
/// [look again](No::Wait::look_again). A caller waits as long as its deadline allows.
///
/// ```
/// use sandtower_admission::{Quota, QuotaConfig};
/// use sandtower_core::Operation;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const CREATE: Operation = Operation::new(1, "sandbox_create");
/// const KILL: Operation = Operation::new(5, "sandbox_kill");
///
/// // A gate for `AdmissionLayer::with_gates`.
/// let quota = Quota::new(QuotaConfig::new("E2B").takes(CREATE).releases(KILL))?;
///
/// // A webhook says that a sandbox ended.
/// quota.release(1);
/// assert_eq!(quota.snapshot().in_use, 0);
/// # Ok(()) }
/// ```
///
/// # Events
///
/// With the target `sandtower::quota` and the fields `name`, `in_use` and `limit`: `out of slots`
/// (`WARN`) when the service reports it, and `slots are available again` (`INFO`) when a probe finds one
/// or after a [`reset`](Self::reset).
#[derive(Clone)]
pub struct Quota {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    takes: Operations,
    releases: Operations,
    engine: Mutex<Engine>,
    subscribers: Arc<Subscribers>,
}

/// The permit of a [`Quota`] for one attempt.
#[derive(Debug)]
#[must_use = "a permit has to be recorded"]
pub struct QuotaPermit(
    /// `None`: the operation takes no slot.
    Option<Attempt>,
);

impl Quota {
    /// A quota with no slots in use.
    ///
    /// # Errors
    ///
    /// The configuration is invalid; see [`QuotaConfigError`].
    pub fn new(config: QuotaConfig) -> Result<Self, QuotaConfigError> {
        let engine = Mutex::new(Engine::new(config.terms()?, config.seed.rng()));
        let QuotaConfig { name, takes, releases, .. } = config;
        let subscribers = Arc::new(Subscribers::default());
        Ok(Self { shared: Arc::new(Shared { name, takes, releases, engine, subscribers }) })
    }

    /// The name given in the configuration.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Reports that slots became free, as observed elsewhere. Each admits one call.
    pub fn release(&self, slots: u32) {
        self.change(&mut Deferred::new(), |engine| engine.release(slots));
    }

    /// Forgets the count and what the service reported, and sets the known `limit`. Attempts in flight
    /// are not affected.
    ///
    /// # Errors
    ///
    /// A limit of 0.
    pub fn reset(&self, limit: Option<u32>) -> Result<(), QuotaConfigError> {
        check_limit(limit)?;
        self.change(&mut Deferred::new(), |engine| engine.reset(limit));
        Ok(())
    }

    /// A snapshot of the quota.
    pub fn snapshot(&self) -> QuotaSnapshot {
        let now = Tick::now();
        QuotaSnapshot::of(self.name(), &self.lock(), now)
    }

    /// Changes the engine by `act`, which returns whether held calls may go earlier than announced.
    /// Events and notifications are deferred to `later`.
    fn change(&self, later: &mut Deferred, act: impl FnOnce(&mut Engine) -> bool) {
        let (before, opened, now, in_use, limit) = {
            let mut engine = self.lock();
            let before = engine.exhausted_since().is_some();
            let opened = act(&mut engine);
            let now = engine.exhausted_since().is_some();
            (before, opened, now, engine.in_use(), engine.limit())
        };
        if before != now {
            let name = Arc::clone(&self.shared.name);
            later.run(move || write_event(&name, now, in_use, limit));
        }
        if opened {
            later.notify(&self.shared.subscribers, Change::Opened);
        }
    }

    /// Poisoning is ignored: no user's code runs under the lock, so the engine is consistent.
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.shared.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn takes(&self, request: &RequestInfo) -> bool {
        self.shared.takes.contains(request.operation)
    }

    #[inline]
    fn frees(&self, request: &RequestInfo) -> bool {
        self.shared.releases.contains(request.operation)
    }

    #[cold]
    fn no(&self, engine: &Engine, operation: Operation, held: Held, now: Tick) -> No {
        let Held { look_again, is_expiry } = held;
        let reason = Reason::Exhausted {
            in_use: engine.in_use(),
            limit: engine.limit().unwrap_or(0),
            lasting: engine.exhausted_since().map_or(Duration::ZERO, |since| now.since(since)),
        };
        let why = Rejection::new("quota", Arc::clone(&self.shared.name), reason).about(operation);
        // The expiry of a lease is no estimate of when a slot is free.
        let why = if is_expiry { why } else { why.come_back_in(look_again.since(now)) };
        No::Wait { earliest: now, look_again, why }
    }
}

fn write_event(name: &str, exhausted: bool, in_use: u32, limit: Option<u32>) {
    const TARGET: &str = "sandtower::quota";
    if exhausted {
        tracing::warn!(target: TARGET, name, in_use, limit, "out of slots");
    } else {
        tracing::info!(target: TARGET, name, in_use, limit, "slots are available again");
    }
}

impl Gate for Quota {
    type Permit = QuotaPermit;

    #[inline]
    fn check(&self, request: Option<&RequestInfo>, now: &Now) -> Option<No> {
        let request = request.filter(|request| self.takes(request))?;
        let now = now.tick();
        let mut engine = self.lock();
        let held = engine.check(now).err()?;
        Some(self.no(&engine, request.operation, held, now))
    }

    #[inline]
    fn try_acquire(
        &self,
        request: &RequestInfo,
        now: &Now,
        _later: &mut Deferred,
    ) -> Result<QuotaPermit, No> {
        if !self.takes(request) {
            return Ok(QuotaPermit(None));
        }
        let now = now.tick();
        let mut engine = self.lock();
        match engine.try_acquire(now) {
            Ok(attempt) => Ok(QuotaPermit(Some(attempt))),
            Err(held) => Err(self.no(&engine, request.operation, held, now)),
        }
    }

    #[inline]
    fn record(
        &self,
        request: &RequestInfo,
        permit: QuotaPermit,
        done: &Completion,
        later: &mut Deferred,
    ) -> Option<QuotaPermit> {
        match permit.0 {
            Some(attempt) => {
                let (outcome, now) = (outcome(done), done.now());
                self.change(later, |engine| engine.record(attempt, outcome, now));
            }
            None if self.frees(request) && outcome(done) == Outcome::Granted => {
                self.change(later, |engine| engine.release(1));
            }
            None => {}
        }
        // A slot is taken, or freed, once the head of the response has come.
        None
    }

    fn not_ready(&self, _verdict: &Verdict, _now: &Now, _later: &mut Deferred) {}

    fn subscribe(&self, subscriber: Weak<dyn Subscriber>) {
        self.shared.subscribers.add(subscriber);
    }
}

fn outcome(done: &Completion) -> Outcome {
    match (done.stage, done.verdict.outcome) {
        (Stage::NotSent, _) => Outcome::NotSent,
        (_, sandtower_core::Outcome::Success) => Outcome::Granted,
        (_, sandtower_core::Outcome::Exhausted) => Outcome::Exhausted,
        _ => Outcome::Other,
    }
}

impl std::fmt::Debug for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quota").field("name", &self.shared.name).finish_non_exhaustive()
    }
}
