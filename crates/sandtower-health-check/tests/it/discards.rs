//! No resource without an owner is left behind.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::Verdict;
use sandtower_health_check::{Config, HealthCheckLayer, OnFailure, check_fn};
use sandtower_testkit::{Mock, Reply, cancel_at_every_poll};
use tower::{Layer, Service, ServiceExt};

use crate::world::{CREATE, SECOND, YES, checked, sandboxes};

fn config() -> Config {
    Config::new("E2B")
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_creations_no_zombie_is_returned_and_all_are_released() {
    let is_zombie = |sandbox: u64| sandbox.is_multiple_of(20);
    let (mock, _mock_handle) = sandboxes(move |sandbox| match is_zombie(sandbox) {
        true => Reply::err("dead"),
        false => Reply::ok(YES),
    });
    let (mut service, checks, alive) = checked(mock, config());
    let mut handed_out = Vec::new();
    for _ in 0..10_000 {
        handed_out.extend(service.ready().await.unwrap().call(CREATE).await.ok());
    }
    checks.drain(SECOND * 2).await.unwrap();
    assert!(!handed_out.iter().copied().any(is_zombie));
    assert_eq!(alive.numbers(), handed_out);
    let counts = checks.snapshot();
    assert_eq!((counts.passed, counts.failed), (9_500, 500));
    assert_eq!((counts.discarded, counts.discards_done), (500, 500));
}

/// Cancels a creation at every poll; returns the number of polls.
fn cancel(config: Config, probe: impl Fn() -> Reply<u64> + Clone + Send + 'static) -> u64 {
    cancel_at_every_poll(
        || {
            let probe = probe.clone();
            let (mock, mock_handle) = sandboxes(move |_| probe());
            let (service, checks, alive) = checked(mock, config.clone());
            let out = Arc::new(Mutex::new(Vec::new()));
            let got = Arc::clone(&out);
            let call = async move {
                let sandbox = service.oneshot(CREATE).await;
                got.lock().unwrap().extend(sandbox.ok());
            };
            (call, (checks, mock_handle, alive, out))
        },
        async |cancelled, (checks, mock_handle, alive, out)| {
            checks.drain(SECOND * 2).await.unwrap();
            assert_eq!(alive.numbers(), *out.lock().unwrap(), "{cancelled}");
            assert_eq!(checks.snapshot().discards_lost, 0, "{cancelled}");
            assert_eq!(mock_handle.counts().in_flight, 0, "{cancelled}");
        },
    )
}

#[test]
fn a_caller_that_goes_away_at_any_poll_leaves_nothing_unreleased() {
    for on_failure in [OnFailure::Discard, OnFailure::Warn] {
        let config = || config().on_failure(on_failure);
        assert!(cancel(config(), || Reply::ok(YES).after(SECOND)) >= 3);
        assert!(cancel(config(), || Reply::err("dead").after(SECOND)) >= 7);
        assert!(cancel(config(), || Reply::Hang) >= 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_returns_nothing_and_leaves_nothing() {
    let (mock, _mock_handle) = sandboxes(|_| panic!("the probe panics"));
    let (service, checks, alive) = checked(mock, config());
    let joined = tokio::spawn(service.oneshot(CREATE)).await;
    assert!(joined.unwrap_err().is_panic());
    checks.drain(SECOND * 2).await.unwrap();
    assert!(alive.numbers().is_empty());
    assert_eq!(checks.snapshot().discards_done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_without_a_runtime_leaves_nothing() {
    let (mock, _mock_handle) = sandboxes(|_| Reply::Hang);
    let (service, checks, alive) = checked(mock, config());
    let mut call = Box::pin(service.oneshot(CREATE));
    assert!(tokio::time::timeout(SECOND * 5, call.as_mut()).await.is_err());
    assert_eq!(alive.numbers().len(), 1);
    std::thread::spawn(move || drop(call)).join().unwrap();
    checks.drain(SECOND * 2).await.unwrap();
    assert!(alive.numbers().is_empty());
}

/// A layer whose responses are all unhealthy, and released by this.
fn unhealthy<F: Future<Output = ()> + Send + 'static>(
    release: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> HealthCheckLayer<impl sandtower_health_check::Check<Mock<u64, u64>, u64> + Clone> {
    let check = check_fn(
        |_: Mock<u64, u64>, _: &u64| Some(std::future::ready(Verdict::permanent())),
        move |_: Mock<u64, u64>, _: &u64| release(),
    );
    HealthCheckLayer::new(check, config()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_in_time_and_reports_how_many_are_left() {
    let layer = unhealthy(std::future::pending);
    let (mock, _handle) = Mock::always(1);
    let mut service = layer.layer(mock);
    for _ in 0..3 {
        assert!(service.ready().await.unwrap().call(CREATE).await.is_err());
    }
    let error = layer.handle().drain(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.to_string(), "3 discarded responses are not released yet");
}

#[tokio::test(start_paused = true)]
async fn the_caller_does_not_wait_for_the_release_but_a_drain_does() {
    let layer = unhealthy(|| tokio::time::sleep(SECOND));
    let (mock, _handle) = Mock::always(1);
    assert!(layer.layer(mock).oneshot(CREATE).await.is_err());
    assert_eq!(layer.handle().snapshot().discards_under_way, 1);
    layer.handle().drain(SECOND * 2).await.unwrap();
    assert_eq!(layer.handle().snapshot().discards_done, 1);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_panics_is_counted_as_lost() {
    let layer = unhealthy(|| async { panic!("the release panics") });
    let (mock, _handle) = Mock::always(1);
    assert!(layer.layer(mock).oneshot(CREATE).await.is_err());
    layer.handle().drain(SECOND).await.unwrap();
    let counts = serde_json::to_value(layer.handle().snapshot()).unwrap();
    assert_eq!((&counts["discarded"], &counts["discards_lost"]), (&1.into(), &1.into()));
}

/// A runtime with a paused clock.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Creates a dead sandbox in a runtime that ends when `end` says, then drains in another.
fn drains_elsewhere(end: impl FnOnce(tokio::runtime::Runtime) -> Option<tokio::runtime::Runtime>) {
    let (mock, _mock_handle) = sandboxes(|_| Reply::err("dead"));
    let (service, checks, alive) = checked(mock, config());
    let first = runtime();
    assert!(first.block_on(service.oneshot(CREATE)).is_err());
    assert_eq!(alive.numbers().len(), 1);
    let _kept = end(first);
    runtime().block_on(async {
        checks.drain(SECOND * 2).await.unwrap();
        assert!(alive.numbers().is_empty());
    });
    let counts = checks.snapshot();
    assert_eq!((counts.discards_done, counts.discards_lost, counts.discards_under_way), (1, 0, 0));
}

#[test]
fn a_drain_takes_over_from_a_runtime_that_has_ended() {
    drains_elsewhere(|first| {
        drop(first);
        None
    });
    // Its release had begun, and hung in a timer of that runtime.
    drains_elsewhere(|first| {
        first.block_on(async { tokio::time::sleep(SECOND / 2).await });
        drop(first);
        None
    });
}

#[test]
fn a_drain_takes_over_from_an_idle_runtime() {
    drains_elsewhere(Some);
    drains_elsewhere(|first| {
        first.block_on(async { tokio::time::sleep(SECOND / 2).await });
        Some(first)
    });
}

#[test]
fn a_runtime_that_ends_while_another_drains_hands_its_releases_over() {
    let (mock, _mock_handle) = sandboxes(|_| Reply::err("dead"));
    let (service, checks, alive) = checked(mock, config());
    let first = runtime();
    runtime().block_on(async {
        let draining = tokio::spawn({
            let checks = checks.clone();
            async move { checks.drain(SECOND * 60).await }
        });
        let created = std::thread::spawn(move || {
            assert!(first.block_on(service.oneshot(CREATE)).is_err());
            drop(first);
        });
        created.join().unwrap();
        draining.await.unwrap().unwrap();
        checks.drain(SECOND * 60).await.unwrap();
    });
    assert!(alive.numbers().is_empty());
}

#[test]
fn a_response_discarded_without_a_runtime_waits_for_a_drain() {
    let (mock, _mock_handle) = sandboxes(|_| Reply::Hang);
    let (service, checks, alive) = checked(mock, config());
    let (first, mut call) = (runtime(), Box::pin(service.oneshot(CREATE)));
    first.block_on(async {
        assert!(tokio::time::timeout(SECOND * 5, call.as_mut()).await.is_err());
    });
    drop(first);
    drop(call);
    assert_eq!(checks.snapshot().discards_under_way, 1);
    runtime().block_on(checks.drain(SECOND * 2)).unwrap();
    assert!(alive.numbers().is_empty());
}
