//! What becomes of tracker, as events.

mod limiter;

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandtower_core::{Tick, Verdict};
use serde::Serialize;

use crate::{CallId, SandboxId};

use self::limiter::{Kind, Limiter};

/// The target of all events about tracker: one filter finds them all.
pub const EVENTS: &str = "sandtower::e2b::events";

/// How often the same warning is told at most.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Tells what becomes of creations by `tracing` events, and counts them. All clones are one.
///
/// For calls of [`Client::create`](crate::Client::create), which is given this by its
/// [config](crate::Config::events). The target of all is [`EVENTS`]; the message is the name:
///
/// | event | level | when | fields besides |
/// |---|---|---|---|
/// | `sandbox_create_start` | info | a call begins | |
/// | `sandbox_create_success` | info | it has its sandbox | `sandbox_id`, `attempt`, `duration_ms` |
/// | `sandbox_create_failure` | warn | an attempt failed | `attempt`, `error`, `duration_ms` of the attempt, `left_out` |
/// | `sandbox_create_critical_failure` | error | the call failed, after all its attempts | `attempt`, `error`, `duration_ms`, `left_out` |
///
/// All have `call_id`, `template`, `framework` if the caller [named one](crate::NewSandbox::framework),
/// and `circuit_breaker_state` if there is [one](Self::circuit_breaker_state). `attempt` is the number
/// of the latest. A call whose caller goes away has no end.
///
/// In an outage the same failure is not told again for each call: of one kind, which is how it ended
/// and with what status, one is told in 10 s, and `left_out` says how many were not. The
/// [counts](Self::counts) have all of them.
///
/// What is told of single attempts comes from [`Tracking`](crate::Tracking); a client without it
/// below makes one attempt as far as it can see.
#[derive(Clone)]
pub struct Events {
    shared: Arc<Shared>,
}

struct Shared {
    limiter: Mutex<Limiter>,
    breaker: Mutex<Option<State>>,
    started: AtomicU64,
    succeeded: AtomicU64,
    failed_attempts: AtomicU64,
    failed: AtomicU64,
    left_out: AtomicU64,
}

type State = Arc<dyn Fn() -> &'static str + Send + Sync>;

/// What was told, and what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventsSnapshot {
    /// Calls that began.
    pub started: u64,
    /// Calls that have their sandbox.
    pub succeeded: u64,
    /// Attempts that failed, told or left out.
    pub failed_attempts: u64,
    /// Calls that failed, told or left out.
    pub failed: u64,
    /// Failures that were left out.
    pub left_out: u64,
}

/// Which creation an event is about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) call: CallId,
    pub(crate) template: &'a str,
    pub(crate) framework: Option<&'a str>,
}

/// How an attempt or a call failed.
pub(crate) struct Failure<'a> {
    pub(crate) attempt: u32,
    pub(crate) verdict: Verdict,
    /// 0: there was no response.
    pub(crate) status: u16,
    pub(crate) error: &'a dyn Display,
    pub(crate) took: Duration,
}

impl Events {
    /// Nothing told yet.
    pub fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let shared = Shared {
            limiter: Mutex::new(Limiter::new(WARN_EVERY)),
            breaker: Mutex::new(None),
            started: zero(),
            succeeded: zero(),
            failed_attempts: zero(),
            failed: zero(),
            left_out: zero(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells in each event what `state` says of the circuit breaker at that moment: `closed`, `open`
    /// or `half_open`.
    pub fn circuit_breaker_state(&self, state: impl Fn() -> &'static str + Send + Sync + 'static) {
        let mut breaker = self.shared.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.replace(Arc::new(state));
        drop(breaker);
        // A closure of the user: not dropped under the lock.
        drop(before);
    }

    /// What was told up to now, and what was left out.
    pub fn snapshot(&self) -> EventsSnapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { started, succeeded, failed_attempts, failed, left_out, .. } = &*self.shared;
        EventsSnapshot {
            started: read(started),
            succeeded: read(succeeded),
            failed_attempts: read(failed_attempts),
            failed: read(failed),
            left_out: read(left_out),
        }
    }

    pub(crate) fn started(&self, about: About<'_>) {
        self.shared.started.fetch_add(1, Ordering::Relaxed);
        let About { call, template, framework } = about;
        tracing::info!(
            target: EVENTS,
            call_id = %call, template, framework, circuit_breaker_state = self.state(),
            "sandbox_create_start"
        );
    }

    pub(crate) fn succeeded(
        &self,
        about: About<'_>,
        sandbox: &SandboxId,
        attempt: u32,
        took: Duration,
    ) {
        self.shared.succeeded.fetch_add(1, Ordering::Relaxed);
        let About { call, template, framework } = about;
        tracing::info!(
            target: EVENTS,
            call_id = %call, template, framework, circuit_breaker_state = self.state(),
            sandbox_id = %sandbox, attempt, duration_ms = millis(took),
            "sandbox_create_success"
        );
    }

    pub(crate) fn attempt_failed(&self, about: About<'_>, failure: &Failure<'_>) {
        self.shared.failed_attempts.fetch_add(1, Ordering::Relaxed);
        let Some(left_out) = self.tell("sandbox_create_failure", failure) else { return };
        let About { call, template, framework } = about;
        tracing::warn!(
            target: EVENTS,
            call_id = %call, template, framework, circuit_breaker_state = self.state(),
            attempt = failure.attempt, error = %failure.error,
            duration_ms = millis(failure.took), left_out,
            "sandbox_create_failure"
        );
    }

    pub(crate) fn failed(&self, about: About<'_>, failure: &Failure<'_>) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        let Some(left_out) = self.tell("sandbox_create_critical_failure", failure) else { return };
        let About { call, template, framework } = about;
        tracing::error!(
            target: EVENTS,
            call_id = %call, template, framework, circuit_breaker_state = self.state(),
            attempt = failure.attempt, error = %failure.error,
            duration_ms = millis(failure.took), left_out,
            "sandbox_create_critical_failure"
        );
    }

    fn tell(&self, event: &'static str, failure: &Failure<'_>) -> Option<u64> {
        let kind = Kind { event, outcome: failure.verdict.outcome.label(), status: failure.status };
        let mut limiter = self.shared.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let told = limiter.tell(kind, Tick::now());
        if told.is_none() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
        told
    }

    fn state(&self) -> Option<&'static str> {
        // Not asked under the lock: it takes one of its own.
        let state = self.shared.breaker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        state.map(|state| state())
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Events").field(&self.snapshot()).finish()
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
