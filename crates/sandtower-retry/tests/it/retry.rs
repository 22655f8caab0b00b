//! The service of the retry layer, on a paused clock.

use std::sync::Arc;
use std::time::Duration;

use sandtower_core::{
    Backoff, BoxError, ByResult, ClassifiedError, Effect, Reason, Rejection, Replay, RequestInfo,
    Seed, SendOnce, Tick, Verdict, classify_fn, find,
};
use sandtower_retry::{Config, RetryLayer, WhenThrottled};
use sandtower_testkit::{Contract, Mock, Readiness, Reply, allocations, cancel_at_every_poll};
use tower::{Layer, Service, ServiceExt};

fn replayable() -> ByResult {
    ByResult::new(RequestInfo::default().replay(Replay::Safe))
}

fn classic() -> RetryLayer<ByResult> {
    RetryLayer::new(Config::classic(), replayable())
}

fn with_verdict(verdict: Verdict) -> Reply<u64> {
    Reply::err(ClassifiedError::new(verdict, "scripted"))
}

#[test]
fn keeps_the_tower_contract() {
    Contract::of(|inner| RetryLayer::new(Config::recommended(), ByResult::default()).layer(inner))
        .run();
}

#[test]
fn keeps_the_tower_contract_while_it_retries() {
    let quick = Config::recommended().unknown(Backoff::constant(Duration::from_millis(1)));
    Contract::of(move |inner| RetryLayer::new(quick.clone(), replayable()).layer(inner)).run();
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_retried_on_the_schedule_of_the_preset() {
    let failed = || with_verdict(Verdict::transient(Effect::None));
    let (mock, handle) = Mock::<u64, u64>::in_turn([failed(), failed(), failed(), Reply::ok(7)]);
    let layer = classic();
    let start = Tick::now();

    assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), 7);

    // The last quarter of each wait is drawn.
    let waited = Tick::now().since(start);
    assert!((5.25..=7.01).contains(&waited.as_secs_f64()), "{waited:?}");
    assert_eq!(handle.counts().calls, 4);
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.retries, snapshot.cured), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_never_retried() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| with_verdict(Verdict::permanent()));
    classic().layer(mock).oneshot(1).await.unwrap_err();
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_had_an_effect_is_not_repeated_unless_that_is_safe() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| Reply::err("lost"));
    let layer = RetryLayer::new(Config::classic(), ByResult::default());
    layer.layer(mock).oneshot(1).await.unwrap_err();
    assert_eq!(handle.counts().calls, 1);
    assert_eq!(layer.handle().snapshot().unsafe_to_replay, 1);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_from_below_is_never_retried() {
    let (mock, handle) =
        Mock::<u64, u64>::new(|_, _| Reply::err(Rejection::new("breaker", "E2B", Reason::Probing)));
    let error = classic().layer(mock).oneshot(1).await.unwrap_err();
    assert!(find::<Rejection>(&*error).is_some());
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_cloned_is_sent_once_and_never_rejected() {
    struct Upload;
    let (mock, handle) = Mock::<Upload, u64>::new(|Upload, _| Reply::err("broken"));
    let layer = classic().resend(SendOnce);
    layer.layer(mock).oneshot(Upload).await.unwrap_err();
    assert_eq!(handle.counts().calls, 1);
    assert_eq!(layer.handle().snapshot().sent_once, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_is_dropped_before_the_wait() {
    /// A response that holds a connection.
    type Held = Arc<()>;
    let held: Held = Arc::new(());
    let weak = Arc::downgrade(&held);
    let (mock, _handle) = Mock::<u64, Held>::in_turn([Reply::ok(held), Reply::Hang]);
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |_: Result<&Held, &BoxError>| Verdict::transient(Effect::None),
    );
    let service = RetryLayer::new(Config::classic(), classify).layer(mock);
    let mut call = tokio_test::task::spawn(service.oneshot(1));

    assert!(call.poll().is_pending());
    assert_eq!(weak.strong_count(), 0, "the response is held during the wait");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_returns_to_the_queue_below_at_once() {
    let (mock, _handle) =
        Mock::<u64, u64>::in_turn([with_verdict(Verdict::throttled()), Reply::ok(7)]);
    let config = Config::recommended().when_throttled(WhenThrottled::Requeue);
    let start = Tick::now();
    assert_eq!(
        RetryLayer::new(config, ByResult::default()).layer(mock).oneshot(1).await.unwrap(),
        7
    );
    assert_eq!(Tick::now(), start);
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_waits_until_the_service_below_is_ready() {
    let (mock, handle) =
        Mock::<u64, u64>::in_turn([with_verdict(Verdict::transient(Effect::None)), Reply::ok(7)]);
    handle.set_readiness(|instance| {
        if instance.is_original() {
            Readiness::Ready
        } else {
            Readiness::After(Duration::from_secs(5))
        }
    });
    let start = Tick::now();
    assert_eq!(classic().layer(mock).oneshot(1).await.unwrap(), 7);
    let waited = Tick::now().since(start);
    assert!((5.75..=6.01).contains(&waited.as_secs_f64()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_waits() {
    let waits = async |seed| {
        let (mock, _handle) =
            Mock::<u64, u64>::new(|_, _| with_verdict(Verdict::transient(Effect::None)));
        let start = Tick::now();
        let layer =
            RetryLayer::new(Config::recommended(), ByResult::default()).seed(Seed::fixed(seed));
        layer.layer(mock).oneshot(1).await.unwrap_err();
        Tick::now().since(start)
    };
    assert_eq!(waits(1).await, waits(1).await);
    assert_ne!(waits(1).await, waits(2).await);
}

#[test]
fn dropped_at_any_point_it_leaves_nothing_behind() {
    cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::in_turn([
                with_verdict(Verdict::transient(Effect::None)).after(Duration::from_secs(1)),
                Reply::ok(7).after(Duration::from_secs(1)),
            ]);
            (classic().layer(mock).oneshot(1), handle)
        },
        async |cancelled, handle| {
            let counts = handle.counts();
            assert_eq!((counts.in_flight, counts.reservations_held), (0, 0), "{cancelled}");
            assert_eq!(counts.instances_live, 0, "{cancelled}");
        },
    );
}

#[test]
fn a_call_that_succeeds_allocates_nothing() {
    let echo = tower::service_fn(|n: u64| std::future::ready(Ok::<_, std::io::Error>(n)));
    let mut service = RetryLayer::new(Config::recommended(), ByResult::default()).layer(echo);
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    let count = allocations(|| {
        assert!(service.poll_ready(&mut task).is_ready());
        let mut future = std::pin::pin!(service.call(1));
        assert!(future.as_mut().poll(&mut task).is_ready());
    });
    assert_eq!(count, 0);
}
