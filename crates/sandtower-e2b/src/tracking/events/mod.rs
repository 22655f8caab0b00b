//! Creations as events.

mod limiter;

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandtower_core::{Tick, Verdict};
use serde::Serialize;

use crate::{CallId, SandboxId};

use self::limiter::{Kind, Limiter};

/// The target of all events about creations: one filter finds them all.
pub const EVENTS: &str = "sandtower::e2b::events";

/// The interval for warnings of the same kind.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Reports creations as `tracing` events, and counts them. Clones share their state.
///
/// For calls of [`Client::create`](crate::Client::create), configured by
/// [`Config::events`](crate::Config::events). All have the target [`EVENTS`]; the message is the name:
///
/// | event | level | when | further fields |
/// |---|---|---|---|
/// | `sandbox_create_start` | info | a call begins | |
/// | `sandbox_create_success` | info | the sandbox was created | `sandbox_id`, `attempt`, `duration_ms` |
/// | `sandbox_create_failure` | warn | an attempt failed | `attempt`, `error`, `duration_ms` of the attempt, `left_out` |
/// | `sandbox_create_critical_failure` | error | the call failed, after all its attempts | `attempt`, `error`, `duration_ms`, `left_out` |
///
/// All have `call_id`, `template`, `framework` if the caller [named one](crate::NewSandbox::framework),
/// and `circuit_breaker_state` if [configured](Self::circuit_breaker_state). `attempt` is the number
/// of the latest attempt. A call whose caller goes away has no final event.
///
/// In an outage not every failure is logged: of one kind (the outcome and the status) one is logged
/// per 10 s, and `left_out` is the number of those suppressed. The [counts](Self::snapshot) include all.
///
/// Single attempts are reported by [`Tracking`](crate::Tracking); for a client without it below, a call
/// is one attempt.
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

/// Counts of reported creations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventsSnapshot {
    /// Calls that began.
    pub started: u64,
    /// Calls that returned a sandbox.
    pub succeeded: u64,
    /// Attempts that failed, logged or suppressed.
    pub failed_attempts: u64,
    /// Calls that failed, logged or suppressed.
    pub failed: u64,
    /// Failures that were suppressed.
    pub left_out: u64,
}

/// The creation that an event is about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) call: CallId,
    pub(crate) template: &'a str,
    pub(crate) framework: Option<&'a str>,
}

/// The failure of an attempt or a call.
pub(crate) struct Failure<'a> {
    pub(crate) attempt: u32,
    pub(crate) verdict: Verdict,
    /// 0: there was no response.
    pub(crate) status: u16,
    pub(crate) error: &'a dyn Display,
    pub(crate) took: Duration,
}

impl Events {
    /// Nothing reported yet.
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

    /// Adds the state of the circuit breaker, as returned by `state`, to each event: `closed`, `open` or
    /// `half_open`.
    pub fn circuit_breaker_state(&self, state: impl Fn() -> &'static str + Send + Sync + 'static) {
        let mut breaker = self.shared.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.replace(Arc::new(state));
        drop(breaker);
        // A user's closure: not dropped under the lock.
        drop(before);
    }

    /// The counts so far.
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
        let logged = limiter.tell(kind, Tick::now());
        if logged.is_none() {
            self.shared.left_out.fetch_add(1, Ordering::Relaxed);
        }
        logged
    }

    fn state(&self) -> Option<&'static str> {
        // Not called under the lock: it may take one of its own.
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
