//! Periodic probes, on a paused clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{
    BoxError, ByResult, Change, Deferred, Effect, Gate, GatedLayer, No, Now, Reason, Rejection,
    RequestInfo, Seed, Subscriber, Tick, Verdict, find,
};
use sandtower_health_check::{Finding, Health, Monitor, MonitorConfig, MonitorConfigError};
use sandtower_testkit::{Contract, Mock};
use tower::{Layer, ServiceExt};

use crate::world::SECOND;

/// Whether the gate admits a request; both of its methods agree.
fn passes(monitor: &Monitor) -> bool {
    let (info, now) = (RequestInfo::default(), Now::new());
    let passes = monitor.try_acquire(&info, &now, &mut Deferred::new()).is_ok();
    for request in [None, Some(&info)] {
        let no = monitor.check(request, &now);
        assert!(no.as_ref().is_none_or(|no| matches!(no, No::Closed { .. })), "{no:?}");
        assert_eq!(no.is_none(), passes);
    }
    passes
}

/// Every ten seconds, without jitter.
fn config() -> MonitorConfig {
    MonitorConfig::new("E2B").every(SECOND * 10).jitter(0).probe_within(SECOND)
}

/// A monitor whose probes return this, and their number.
fn monitored(config: MonitorConfig) -> (Monitor, Arc<Mutex<Verdict>>, Arc<AtomicU64>) {
    let (says, probes) = (Arc::new(Mutex::new(Verdict::success())), Arc::new(AtomicU64::new(0)));
    let (said, counted) = (Arc::clone(&says), Arc::clone(&probes));
    let probe = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(*said.lock().unwrap())
    };
    (Monitor::start(config, probe).unwrap(), says, probes)
}

#[tokio::test(start_paused = true)]
async fn a_service_is_degraded_then_down_and_recovers_by_its_thresholds() {
    let (monitor, says, _) = monitored(config().fall(3).rise(2));
    let mut seen = Vec::new();
    tokio::time::sleep(SECOND).await;
    for passes in [true, false, false, false, true, true] {
        *says.lock().unwrap() =
            if passes { Verdict::success() } else { Verdict::transient(Effect::None) };
        tokio::time::sleep(SECOND * 10).await;
        seen.push(monitor.health().label());
    }
    assert_eq!(seen, ["healthy", "degraded", "degraded", "down", "down", "healthy"]);
    let snapshot = monitor.snapshot();
    assert_eq!((snapshot.probes, snapshot.failures), (7, 3));
    assert_eq!(snapshot.since, Some(SECOND));
    let last = Finding::Failed(sandtower_core::Outcome::Transient);
    assert_eq!((snapshot.last_error, snapshot.last_error_ago), (Some(last), Some(SECOND * 21)));
    let json = serde_json::to_value(snapshot).unwrap();
    assert_eq!(
        (&json["health"], &json["last_error"]),
        (&"healthy".into(), &"failed (transient)".into())
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_is_a_failure_and_the_next_one_runs() {
    let probes = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&probes);
    let probe = move || {
        let number = counted.fetch_add(1, Ordering::Relaxed);
        assert!(number != 1, "while it is made");
        async { panic!("while it runs") }
    };
    let monitor = Monitor::start(config().fall(2), probe).unwrap();
    tokio::time::sleep(SECOND * 15).await;
    assert_eq!(monitor.health(), Health::Down);
    assert_eq!(monitor.snapshot().last_error, Some(Finding::Panicked));
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(probes.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn one_slow_service_delays_no_other() {
    let slow = Monitor::start(config().fall(1), std::future::pending).unwrap();
    let (fast, _, probes) = monitored(config());
    tokio::time::sleep(SECOND * 105).await;
    assert_eq!(probes.load(Ordering::Relaxed), 11);
    assert_eq!((slow.health(), fast.health()), (Health::Down, Health::Healthy));
    assert_eq!(slow.snapshot().last_error, Some(Finding::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_config_is_rejected_at_creation() {
    let start = |config| {
        Monitor::start(config, || std::future::ready(Verdict::success())).map(drop).unwrap_err()
    };
    assert_eq!(start(config().every(Duration::ZERO)), MonitorConfigError::NoInterval);
    assert_eq!(start(config().probe_within(Duration::ZERO)), MonitorConfigError::NoTime);
    assert_eq!(start(config().fall(0)), MonitorConfigError::NoThreshold);
    assert_eq!(start(config().rise(0)), MonitorConfigError::NoThreshold);
    assert_eq!(start(config().jitter(101)), MonitorConfigError::JitterTooWide { percent: 101 });
}

#[test]
fn without_a_runtime_it_does_not_start() {
    let monitor = Monitor::start(config(), || std::future::ready(Verdict::success()));
    assert_eq!(monitor.map(drop).unwrap_err(), MonitorConfigError::NoRuntime);
}

#[tokio::test(start_paused = true)]
async fn probes_stop_when_the_last_handle_is_dropped_even_one_in_flight() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let probe = move || {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            std::future::pending().await
        }
    };
    let monitor = Monitor::start(config().probe_within(SECOND * 60), probe).unwrap();
    let other = monitor.clone();
    tokio::time::sleep(SECOND).await;
    drop(monitor);
    tokio::time::sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&alive), 3);
    drop(other);
    tokio::time::sleep(SECOND).await;
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn before_it_begins_and_once_it_is_stopped_it_rejects_nothing() {
    let monitor = Monitor::new(config().fall(1)).unwrap();
    let knows_nothing = || {
        assert!(passes(&monitor));
        let snapshot = monitor.snapshot();
        assert_eq!((snapshot.probing, snapshot.health), (false, Health::Healthy));
        snapshot.probes
    };
    assert_eq!(knows_nothing(), 0);

    // Results of a replaced task are ignored, even those of the probe in flight.
    let late = async || {
        tokio::time::sleep(SECOND / 2).await;
        Verdict::unknown()
    };
    monitor.begin(late).unwrap();
    monitor.begin(|| std::future::ready(Verdict::unknown())).unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!((monitor.health(), monitor.snapshot().probes), (Health::Down, 1));
    assert!(monitor.is_probing());

    monitor.stop();
    tokio::time::sleep(SECOND * 100).await;
    assert_eq!(knows_nothing(), 1);
}

#[tokio::test(start_paused = true)]
async fn between_two_probes_nothing_runs() {
    let (monitor, _, probes) = monitored(config().every(SECOND * 3_600));
    tokio::time::sleep(SECOND * 3_599).await;
    assert_eq!((probes.load(Ordering::Relaxed), monitor.snapshot().probes), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn jitter_keeps_probes_of_many_apart_and_within_its_bounds() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let probe = move || {
        noted.lock().unwrap().push(Tick::now());
        std::future::ready(Verdict::success())
    };
    let _monitor = Monitor::start(config().jitter(20).seed(Seed::fixed(7)), probe).unwrap();
    tokio::time::sleep(SECOND * 1_000).await;
    let times = times.lock().unwrap();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(pauses.iter().all(|pause| (8.0..12.01).contains(&pause.as_secs_f64())), "{pauses:?}");
    assert!(pauses.iter().any(|pause| pause.as_secs_f64() < 9.0));
    assert!(pauses.iter().any(|pause| pause.as_secs_f64() > 11.0));
}

#[tokio::test(start_paused = true)]
async fn as_a_gate_it_rejects_while_the_service_is_down_and_has_a_retry_after() {
    let (monitor, says, _) = monitored(config().fall(1).rise(1));
    let layer = GatedLayer::new(monitor.clone(), ByResult::default());
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let service = layer.layer(mock);
    assert!(service.clone().oneshot(1).await.is_ok());
    *says.lock().unwrap() = Verdict::unknown();
    tokio::time::sleep(SECOND * 12).await;
    let error: BoxError = service.clone().oneshot(1).await.unwrap_err();
    let rejection = find::<Rejection>(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::Unhealthy);
    assert_eq!(rejection.retry_after(), Some(SECOND * 8));
    assert_eq!(handle.counts().calls, 1);
    *says.lock().unwrap() = Verdict::success();
    tokio::time::sleep(SECOND * 10).await;
    assert!(service.oneshot(1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_notified_of_changes() {
    #[derive(Default)]
    struct Notified(AtomicU64);
    impl Subscriber for Notified {
        fn changed(&self, _change: Change) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let (monitor, says, _) = monitored(config().fall(1).rise(1));
    let notified = Arc::new(Notified::default());
    let weak = Arc::downgrade(&notified);
    monitor.subscribe(weak);
    *says.lock().unwrap() = Verdict::unknown();
    tokio::time::sleep(SECOND * 25).await;
    assert!(!passes(&monitor));
    *says.lock().unwrap() = Verdict::success();
    tokio::time::sleep(SECOND * 25).await;
    assert_eq!(notified.0.load(Ordering::Relaxed), 2);
}

#[test]
fn a_gate_of_it_keeps_the_tower_contract() {
    Contract::of(|inner| {
        let monitor = Monitor::start(config(), || std::future::ready(Verdict::success())).unwrap();
        GatedLayer::new(monitor, ByResult::default()).layer(inner)
    })
    .run();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// A monitor that found its service down in another runtime.
fn down(config: MonitorConfig) -> (Monitor, tokio::runtime::Runtime) {
    let (runtime, monitor) = (runtime(), Monitor::new(config.fall(1)).unwrap());
    runtime.block_on(async {
        monitor.begin(|| std::future::ready(Verdict::unknown())).unwrap();
        tokio::time::sleep(SECOND / 2).await;
        assert!(!passes(&monitor));
    });
    (monitor, runtime)
}

fn probes_nothing_and_rejects_nothing(monitor: &Monitor) {
    assert!(passes(monitor));
    let snapshot = monitor.snapshot();
    assert_eq!((snapshot.probing, snapshot.health), (false, Health::Healthy));
    assert_eq!((monitor.is_probing(), monitor.health()), (false, Health::Healthy));
}

#[test]
fn when_its_runtime_has_ended_it_does_not_probe_and_rejects_nothing_until_it_begins_again() {
    #[derive(Default)]
    struct Opened(AtomicU64);
    impl Subscriber for Opened {
        fn changed(&self, change: Change) {
            self.0.fetch_add(u64::from(change == Change::Opened), Ordering::Relaxed);
        }
    }
    let (monitor, first) = down(config());
    let opened = Arc::new(Opened::default());
    let weak = Arc::downgrade(&opened);
    monitor.subscribe(weak);
    drop(first);
    probes_nothing_and_rejects_nothing(&monitor);
    assert_eq!(opened.0.load(Ordering::Relaxed), 1, "waiting callers are notified");
    runtime().block_on(async {
        probes_nothing_and_rejects_nothing(&monitor);
        monitor.begin(|| std::future::ready(Verdict::unknown())).unwrap();
        assert!(monitor.is_probing());
        tokio::time::sleep(SECOND / 2).await;
        assert_eq!((monitor.health(), passes(&monitor)), (Health::Down, false));
    });
}

#[test]
fn while_its_runtime_is_idle_its_state_goes_out_of_date() {
    let (monitor, _idle) = down(config());
    runtime().block_on(async {
        // The clocks of both runtimes begin at the same instant, and only this one moves.
        tokio::time::advance(SECOND * 5).await;
        assert_eq!((monitor.is_probing(), passes(&monitor)), (true, false));
        tokio::time::advance(SECOND * 60).await;
        probes_nothing_and_rejects_nothing(&monitor);
    });
}

#[test]
fn it_can_begin_in_a_runtime_that_ends_at_once() {
    let monitor = Monitor::new(config()).unwrap();
    let ended = runtime();
    let handle = ended.handle().clone();
    drop(ended);
    let _guard = handle.enter();
    monitor.begin(|| std::future::ready(Verdict::unknown())).unwrap();
    probes_nothing_and_rejects_nothing(&monitor);
}
