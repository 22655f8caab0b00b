//! What is logged: one event for each transition, a line in ten seconds for rejections, and none
//! under a lock.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use sandtower_circuit_breaker::{CircuitBreaker, CircuitBreakers, Config, Scopes, State};
use sandtower_core::{Deferred, Gate, Now, RequestInfo, Scope, Verdict};
use tokio::time::advance;
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::support::{FAILURES, OPEN, acquire, call, classic, end, pass, rejection, trip};

/// Collects what is logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Collects what this thread logs until the guard is dropped.
    pub(crate) fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    /// The lines that contain `what`.
    pub(crate) fn containing(&self, what: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(what)).collect()
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(what)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn each_transition_is_one_event_with_its_numbers() {
    let (log, _guard) = Log::here();
    let (_, service, handle) = classic();
    trip(&service, &handle).await;
    rejection(call(&service).await);
    advance(OPEN).await;
    call(&service).await.unwrap();

    let event = |level: &str, what: &str, fields: &str| {
        format!("{level} sandtower::circuit_breaker: {what} name=\"E2B\" {fields}")
    };
    let opened = "from=\"closed\" to=\"open\" forced=false failed=5 of=5 retry_in_ms=60000 rejected=0 shadow=false";
    let probing =
        "from=\"open\" to=\"half_open\" forced=false failed=5 of=5 rejected=1 shadow=false";
    let closed =
        "from=\"half_open\" to=\"closed\" forced=false failed=0 of=0 rejected=0 shadow=false";
    let events: Vec<_> =
        log.lines().into_iter().filter(|line| !line.contains("rejected calls")).collect();
    assert_eq!(
        events,
        [
            event("WARN", "circuit breaker opened", opened),
            event("INFO", "circuit breaker half-open", probing),
            event("INFO", "circuit breaker closed", closed),
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_are_one_line_in_ten_seconds_with_their_count() {
    let (log, _guard) = Log::here();
    let breaker = CircuitBreaker::classic("E2B");
    for _ in 0..FAILURES {
        let permit = acquire(&breaker).unwrap();
        end(&breaker, permit, Verdict::unknown());
    }
    let lines = |log: &Log| -> Vec<_> {
        let rejected = "circuit breaker rejected calls";
        log.lines().into_iter().filter(|line| line.contains(rejected)).collect()
    };
    for _ in 0..1_000 {
        assert!(acquire(&breaker).is_err());
        advance(Duration::from_millis(9)).await;
    }
    let line = "INFO sandtower::circuit_breaker: circuit breaker rejected calls name=\"E2B\" \
                reason=\"open\" count=";
    assert_eq!(lines(&log), [format!("{line}1")]);
    advance(Duration::from_secs(1)).await;
    assert!(acquire(&breaker).is_err());
    assert_eq!(lines(&log), [format!("{line}1"), format!("{line}1000")]);

    breaker.reset();
    assert!(
        log.lines().last().unwrap().ends_with("rejected=1001 shadow=false"),
        "{:?}",
        log.lines().last()
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_table_of_scopes_is_logged_once() {
    let (log, _guard) = Log::here();
    let breakers = CircuitBreakers::new(Config::classic("E2B"), Scopes::new(2)).unwrap();
    let _held = [1, 2].map(|scope| breakers.of(Scope::new(scope)));
    for scope in 3..100 {
        assert!(pass(&breakers, &RequestInfo::default().scope(Scope::new(scope)), FAILED));
    }
    let told = "WARN sandtower::circuit_breaker: circuit breaker table full: new scopes share one \
                circuit breaker name=\"E2B\" max_scopes=2";
    assert_eq!(log.count(told), 1, "{:?}", log.lines());
}

const FAILED: Verdict = Verdict::permanent();

#[tokio::test(start_paused = true)]
async fn the_events_of_a_scope_tell_its_name() {
    let (log, _guard) = Log::here();
    let scopes = Scopes::default().named(|_| "eu".to_owned());
    let breakers = CircuitBreakers::new(Config::classic("E2B"), scopes).unwrap();
    breakers.of(Scope::new(1)).force_open();
    assert!(!pass(&breakers, &RequestInfo::default().scope(Scope::new(1)), FAILED));
    assert_eq!(log.count("name=\"E2B/eu\""), 2, "{:?}", log.lines());
}

/// A subscriber that asks for snapshots in every event.
#[derive(Clone, Default)]
struct Curious {
    breakers: Arc<OnceLock<(CircuitBreaker, CircuitBreakers)>>,
    events: Arc<AtomicUsize>,
}

impl<S: tracing::Subscriber> Layer<S> for Curious {
    fn on_event(
        &self,
        _event: &tracing::Event<'_>,
        _context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let Some((breaker, breakers)) = self.breakers.get() else { return };
        let _ = (breaker.snapshot(), breaker.history(), breakers.snapshots(), breakers.len());
        let _ = (breaker.check(None, &Now::new()), breakers.of(Scope::new(99)));
        self.events.fetch_add(1, SeqCst);
    }
}

/// Makes a gate go through every transition, by every path; `steer` is its handle.
async fn every_transition<G: Gate>(gate: &G, steer: &CircuitBreaker, request: &RequestInfo) {
    let open = || {
        for _ in 0..FAILURES {
            assert!(pass(gate, request, Verdict::unknown()));
        }
        assert!(!pass(gate, request, Verdict::success()), "rejected");
    };
    open();
    advance(OPEN).await;
    assert!(pass(gate, request, Verdict::unknown()), "half-open, and open again");
    advance(OPEN).await;
    assert!(pass(gate, request, Verdict::success()), "half-open, and closed");
    for _ in 0..FAILURES {
        gate.not_ready(&Verdict::unknown(), &Now::new(), &mut Deferred::new());
    }
    assert_eq!(steer.snapshot().state, State::Open);
    steer.reset();
    steer.force_open();
    steer.release();
    steer.force_closed();
    steer.release();
    steer.force_open();
    steer.force_closed();
    steer.reset();
    assert_eq!(steer.history().len(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_log_subscriber_may_ask_for_snapshots_in_every_event() {
    let curious = Curious::default();
    let subscriber = tracing_subscriber::registry().with(curious.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let breaker = CircuitBreaker::classic("E2B");
    let breakers = CircuitBreakers::new(Config::classic("E2B"), Scopes::new(2)).unwrap();
    let request = RequestInfo::default().scope(Scope::new(1));
    let of_scope = breakers.of(Scope::new(1));
    curious.breakers.set((breaker.clone(), breakers.clone())).expect("it is empty");

    every_transition(&breaker, &breaker, &request).await;
    every_transition(&breakers, &of_scope, &request).await;
    let _held = [1, 2].map(|scope| breakers.of(Scope::new(scope)));
    let _ = breakers.of(Scope::new(3));
    // Twice the transitions and a rejection, and the full table.
    assert!(curious.events.load(SeqCst) > 2 * 15);
}
