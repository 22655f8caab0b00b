//! What passes, what fails, and what the caller gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use sandtower_core::{
    BoxError, Effect, Operation, Outcome, RequestInfo, Tick, Verdict, classify_fn, find,
    verdict_of_error,
};
use sandtower_health_check::{Config, Finding, HealthCheckLayer, OnFailure, Unhealthy, check_fn};
use sandtower_testkit::{Mock, Reply, allocations};
use tower::{Layer, Service, ServiceExt, service_fn, util::BoxCloneService};

use crate::world::{Below, CREATE, PROBE, SECOND, YES, by_request, checked, sandboxes};

fn config() -> Config {
    Config::new("E2B")
}

fn yes() -> Reply<u64> {
    Reply::ok(YES).after(SECOND)
}

#[tokio::test(start_paused = true)]
async fn a_live_resource_is_returned_after_one_probe() {
    let (mock, mock_handle) = sandboxes(|_| yes());
    let (service, checks, alive) = checked(mock, config());
    let sandbox = service.oneshot(CREATE).await.unwrap();
    assert_eq!(alive.numbers(), [sandbox]);
    assert_eq!(mock_handle.counts().calls, 2);
    let counts = checks.snapshot();
    assert_eq!((counts.checked, counts.passed, counts.discarded), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_resource_has_no_effect_for_a_retry() {
    let (mock, _mock_handle) = sandboxes(|_| Reply::err("dead").after(SECOND));
    let (service, checks, alive) = checked(mock, config());
    let error = service.oneshot(CREATE).await.unwrap_err();
    assert_eq!(verdict_of_error(&*error), Some(Verdict::transient(Effect::None)));
    let unhealthy = find::<Unhealthy>(&*error).unwrap();
    assert_eq!(
        (unhealthy.probes, unhealthy.last, unhealthy.to_string().as_str()),
        (
            3,
            Finding::Failed(Outcome::Transient),
            "the new resource is unhealthy: probe 3 failed (transient)"
        )
    );
    checks.drain(SECOND * 2).await.unwrap();
    assert!(alive.numbers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_failed_probe_proves_nothing() {
    let mut probes = 0;
    let (mock, _mock_handle) = sandboxes(move |_| {
        probes += 1;
        if probes < 3 { Reply::err("starting") } else { yes() }
    });
    let (service, checks, _alive) = checked(mock, config());
    assert!(service.oneshot(CREATE).await.is_ok());
    assert_eq!(checks.snapshot().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn the_classic_preset_warns_and_returns_the_response() {
    let (mock, mock_handle) = sandboxes(|_| Reply::err("dead"));
    let layer = HealthCheckLayer::classic(by_request());
    let sandbox = layer.layer(BoxCloneService::new(mock)).oneshot(CREATE).await;
    assert!(sandbox.is_ok());
    let counts = layer.handle().snapshot();
    assert_eq!((counts.failed, counts.discarded), (1, 0));
    assert_eq!(mock_handle.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_ended_by_its_timeout() {
    let (mock, mock_handle) = sandboxes(|_| Reply::Hang);
    let (service, _checks, _alive) = checked(mock, config());
    let begin = Tick::now();
    let error = service.oneshot(CREATE).await.unwrap_err();
    // One second to create, three probes of ten seconds, two pauses.
    let took = Tick::now().since(begin).as_secs_f64();
    assert!((31.37..31.51).contains(&took), "{took}");
    assert_eq!(find::<Unhealthy>(&*error).unwrap().last, Finding::TimedOut);
    assert_eq!(mock_handle.counts().dropped_early, 3);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_verdict_ends_the_check() {
    let layer = |verdict: Verdict| {
        let check = check_fn(
            move |_: Below, _: &u64| Some(std::future::ready(verdict)),
            |_: Below, _: &u64| std::future::ready(()),
        );
        HealthCheckLayer::new(check, config()).unwrap()
    };
    let (mock, _handle) = Mock::always(1);
    let error = layer(Verdict::permanent())
        .layer(BoxCloneService::new(mock))
        .oneshot(CREATE)
        .await
        .unwrap_err();
    assert_eq!(find::<Unhealthy>(&*error).unwrap().probes, 1);
}

#[tokio::test(start_paused = true)]
async fn probes_make_an_instance_of_their_own_ready_after_all_below_is_released() {
    let (mock, mock_handle) = sandboxes(|_| yes());
    // The creation must have released its slot, or its probe waits forever.
    mock_handle.limit_reservations(1);
    let (mut service, _checks, _alive) = checked(mock, config());
    for _ in 0..3 {
        assert!(service.ready().await.unwrap().call(CREATE).await.is_ok());
    }
    assert_eq!(mock_handle.violations(), []);
    assert_eq!(mock_handle.counts().reservations_held, 0);
}

#[tokio::test(start_paused = true)]
async fn errors_and_unsuccessful_responses_are_not_checked() {
    let (mock, mock_handle) = Mock::in_turn([Reply::err("busy"), Reply::ok(503)]);
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |result: Result<&u64, &BoxError>| match result {
            Ok(503) => Verdict::transient(Effect::None),
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        },
    );
    let layer = HealthCheckLayer::new(by_request(), config()).unwrap().classify(classify);
    let mut service = layer.layer(BoxCloneService::new(mock));
    let error = service.ready().await.unwrap().call(CREATE).await.unwrap_err();
    assert_eq!(error.to_string(), "busy");
    assert_eq!(service.ready().await.unwrap().call(CREATE).await.unwrap(), 503);
    assert_eq!(mock_handle.counts().calls, 2);
    assert_eq!(layer.handle().snapshot(), Default::default());
}

#[test]
fn an_operation_that_creates_nothing_costs_no_allocation_and_no_clone() {
    let classify = classify_fn(
        |request: &u64| RequestInfo::new(Operation::new(u8::from(*request != CREATE), "any")),
        |_: Result<&u64, &BoxError>| Verdict::success(),
    );
    let (counted, clones) = Counted::new();
    let echo = service_fn(move |request: u64| {
        let _ = &counted;
        std::future::ready(Ok::<_, BoxError>(request))
    });
    let check = check_fn(
        |_, _: &u64| -> Option<std::future::Ready<Verdict>> { panic!("nothing to check") },
        |_, _: &u64| std::future::ready(()),
    );
    const MADE: &[Operation] = &[Operation::new(0, "any")];
    let layer = HealthCheckLayer::new(check.only(MADE), config()).unwrap().classify(classify);
    let mut service = layer.layer(echo);
    let before = clones();
    let mut call = || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        let mut future = std::pin::pin!(service.call(PROBE));
        assert!(matches!(future.as_mut().poll(&mut cx), Poll::Ready(Ok(PROBE))));
    };
    assert_eq!(allocations(|| (0..100).for_each(|_| call())), 0);
    assert_eq!(clones(), before);
}

/// Snapshot its clones.
struct Counted(Arc<AtomicU32>);

impl Counted {
    fn new() -> (Self, impl Fn() -> u32) {
        let clones = Arc::new(AtomicU32::new(0));
        (Self(Arc::clone(&clones)), move || clones.load(Ordering::Relaxed))
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_is_released_if_its_caller_goes_even_if_failures_are_only_logged() {
    let (mock, _mock_handle) = sandboxes(|_| Reply::Hang);
    let (service, checks, alive) = checked(mock, config().on_failure(OnFailure::Warn));
    let call = service.oneshot(CREATE);
    assert!(tokio::time::timeout(Duration::from_secs(5), call).await.is_err());
    checks.drain(SECOND * 2).await.unwrap();
    assert!(alive.numbers().is_empty());
}
