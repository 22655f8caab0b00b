//! What a caller sets for one layer: predicates, hooks, settings of one operation, the longest time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{
    Backoff, BoxError, Effect, MetricSource, Operation, Outcome, Reason, Rejection, RequestInfo,
    Tick, Verdict, classify_fn,
};
use sandtower_retry::{Config, Overrides, RetryLayer};
use sandtower_testkit::{Answer, Mock};
use tower::{Layer, ServiceExt, service_fn};

const READ: Operation = Operation::new(1, "read");
const WRITE: Operation = Operation::new(2, "write");
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_predicate_decides_what_is_retried() {
    for (response, sent) in [(503, 4), (200, 1), (404, 1)] {
        let (mock, handle) = Mock::<u64, u64>::new(move |_, _| Answer::ok(response));
        let layer = RetryLayer::retry_if(|result: Result<&u64, &BoxError>| {
            matches!(result, Ok(503) | Err(_))
        });
        assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), response);
        assert_eq!(handle.counts().calls, sent, "{response}");
    }
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| Answer::err("reset"));
    let errors = RetryLayer::retry_if(|result: Result<&u64, &BoxError>| result.is_err());
    errors.layer(mock).oneshot(1).await.unwrap_err();
    assert_eq!(handle.counts().calls, 4);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_is_not_asked_about_a_rejection() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| {
        Answer::err(Rejection::new("breaker", "E2B", Reason::ForcedOpen))
    });
    let errors = RetryLayer::retry_if(|result: Result<&u64, &BoxError>| result.is_err());
    errors.layer(mock).oneshot(1).await.unwrap_err();
    assert_eq!(handle.counts().calls, 1);
}

#[tokio::test(start_paused = true)]
async fn the_hook_is_called_once_for_each_retry_with_what_led_to_it() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&seen);
    let classify = classify_fn(
        |_: &u64| RequestInfo::new(READ),
        |result: Result<&u64, &BoxError>| match result {
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::transient(Effect::None),
        },
    );
    let (mock, _handle) =
        Mock::<u64, u64>::in_turn([Answer::err("reset"), Answer::err("reset"), Answer::ok(7)]);
    let fixed = Config::recommended().transient(Backoff::constant(SECOND).full_jitter());
    let layer = RetryLayer::new(fixed, classify)
        .on_retry(move |retry| hook.lock().unwrap().push(*retry))
        // What is set later keeps the hook.
        .seed(sandtower_core::Seed::fixed(1));
    let start = Tick::now();
    assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), 7);

    let seen = seen.lock().unwrap();
    let attempts: Vec<_> = seen.iter().map(|retry| retry.attempt).collect();
    assert_eq!(attempts, [1, 2]);
    assert!(seen.iter().all(|retry| retry.info.operation == READ));
    assert!(seen.iter().all(|retry| retry.verdict.outcome == Outcome::Transient));
    // Timers fire on whole milliseconds.
    let waited: Duration = seen.iter().map(|retry| retry.wait).sum();
    let took = Tick::now().since(start);
    assert!(waited <= took && took <= waited + Duration::from_millis(4), "{waited:?} {took:?}");
}

/// How often a call of each operation is sent, and for how long, if it always fails.
async fn tried(config: Config) -> [(u64, Duration); 2] {
    let mut tried = [(0, Duration::ZERO); 2];
    for (operation, tried) in [READ, WRITE].into_iter().zip(&mut tried) {
        let classify = classify_fn(
            move |_: &u64| RequestInfo::new(operation),
            |_: Result<&u64, &BoxError>| Verdict::transient(Effect::None),
        );
        let (mock, handle) = Mock::<u64, u64>::new(|_, _| Answer::err("reset"));
        let start = Tick::now();
        let _ = RetryLayer::new(config.clone(), classify).layer(mock).oneshot(1).await;
        *tried = (handle.counts().calls, Tick::now().since(start));
    }
    tried
}

#[tokio::test(start_paused = true)]
async fn one_operation_has_attempts_and_waits_of_its_own() {
    let write = Overrides::new()
        .attempts(NonZeroU32::MIN.saturating_add(1))
        .transient(Backoff::constant(60 * SECOND));
    let [read, write] = tried(Config::recommended().operation(WRITE, write)).await;
    assert_eq!((read.0, write.0), (4, 2));
    assert!(read.1 < 8 * SECOND && write.1 >= 45 * SECOND, "{read:?} {write:?}");
}

#[tokio::test(start_paused = true)]
async fn one_operation_has_a_wait_of_its_own_for_each_class_of_failure() {
    let own = Overrides::new()
        .transient(Backoff::constant(100 * SECOND))
        .throttled(Backoff::constant(200 * SECOND))
        .unknown(Backoff::constant(300 * SECOND));
    for (verdict, own_wait) in [
        (Verdict::transient(Effect::None), 100),
        (Verdict::throttled(), 200),
        (Verdict::unknown().effect(Effect::None), 300),
    ] {
        let config = Config::classic().operation(WRITE, own);
        let classify = classify_fn(
            |_: &u64| RequestInfo::new(WRITE),
            move |_: Result<&u64, &BoxError>| verdict,
        );
        let waits = Arc::new(Mutex::new(Vec::new()));
        let hook = Arc::clone(&waits);
        let layer = RetryLayer::new(config, classify)
            .on_retry(move |retry| hook.lock().unwrap().push(retry.wait));
        let handle = layer.handle();
        let (mock, _) = Mock::<u64, u64>::new(|_, _| Answer::err("reset"));
        let _ = layer.layer(mock).oneshot(1).await;
        let waits = waits.lock().unwrap();
        assert_eq!(waits.len(), 3, "{verdict:?}");
        let expected = Duration::from_secs(own_wait) / 2..=Duration::from_secs(own_wait);
        assert!(waits.iter().all(|wait| expected.contains(wait)), "{verdict:?} {waits:?}");
        assert_eq!(MetricSource::read(handle).retries, 3, "what metrics read");
    }
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_later_than_the_longest_time_after_the_calls_arrival() {
    let config = Config::recommended().budget(None).attempts(NonZeroU32::MAX);
    let long = Overrides::new().max_elapsed(60 * SECOND);
    let config = config.max_elapsed(10 * SECOND).operation(WRITE, long);
    let [read, write] = tried(config).await;
    // The next wait did not fit: it is drawn, up to 8 s.
    assert!((2 * SECOND..=10 * SECOND).contains(&read.1), "{read:?}");
    assert!((52 * SECOND..=60 * SECOND).contains(&write.1), "{write:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_with_closures_as_its_classifier_and_hook_can_be_spawned() {
    let layer = RetryLayer::retry_if(|result: Result<&String, &BoxError>| result.is_err())
        .on_retry(|retry| assert!(retry.attempt > 0));
    let service = layer.layer(service_fn(async |name: String| Ok::<_, std::io::Error>(name)));
    let call = tokio::spawn(async move { service.oneshot(String::from("sandbox")).await });
    assert_eq!(call.await.unwrap().unwrap(), "sandbox");

    let classify = classify_fn(
        |name: &String| RequestInfo::new(if name.is_empty() { READ } else { WRITE }),
        |result: Result<&usize, &BoxError>| match result {
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        },
    );
    let service = RetryLayer::new(Config::recommended(), classify)
        .layer(service_fn(async |name: String| Ok::<_, std::io::Error>(name.len())));
    let call = tokio::spawn(async move { service.oneshot(String::from("sandbox")).await });
    assert_eq!(call.await.unwrap().unwrap(), 7);
}
