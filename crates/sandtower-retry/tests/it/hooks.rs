//! Hooks for requests and responses, and what callers get in the end.

use std::future::{Ready, pending, ready};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{
    Attempt, BoxError, ByResult, ClassifiedError, Effect, Outcome, Reason, Rejection, RequestInfo,
    Resend, Tick, Verdict, classify_fn, find,
};
use sandtower_retry::{
    Config, Found, Reconcile, ResponseHooks, RetriesExhausted, RetryLayer, Stop,
};
use sandtower_testkit::{Mock, Readiness, Reply, cancel_at_every_poll};
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn failed<Res>(verdict: Verdict) -> Reply<Res> {
    Reply::err(ClassifiedError::new(verdict, "scripted"))
}

fn lost<Res>() -> Reply<Res> {
    failed(Verdict::transient(Effect::Maybe))
}

fn passing<Res>() -> Reply<Res> {
    failed(Verdict::transient(Effect::None))
}

/// Returns what the test says, and records its calls.
#[derive(Clone)]
struct Finds(Found<u64>, Arc<AtomicU32>);

impl Finds {
    fn new(found: Found<u64>) -> Self {
        Self(found, Arc::default())
    }

    fn looks(&self) -> u32 {
        self.1.load(Ordering::Relaxed)
    }
}

impl<S> Reconcile<S, u64, u64> for Finds {
    type Look = Ready<Found<u64>>;

    fn look(&self, _: S, _: &u64, _: &Attempt) -> Option<Self::Look> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Some(ready(self.0))
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_was_done_after_all_is_adopted_and_not_repeated() {
    let (mock, handle) = Mock::<u64, u64>::in_turn([lost()]);
    let layer = RetryLayer::new(Config::classic(), ByResult::default())
        .reconcile(Finds::new(Found::Adopt(42)));
    assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), 42);
    assert_eq!(handle.counts().calls, 1);
    assert_eq!(layer.handle().snapshot().adopted, 1);
}

#[tokio::test(start_paused = true)]
async fn work_that_was_never_begun_is_tried_again() {
    let (mock, handle) = Mock::<u64, u64>::in_turn([lost(), Reply::ok(7)]);
    let layer = RetryLayer::new(Config::classic(), ByResult::default())
        .reconcile(Finds::new(Found::Nothing));
    assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), 7);
    assert_eq!(handle.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_to_look_passes_the_service_below_and_is_not_retried() {
    #[derive(Clone)]
    struct HasInfo;
    impl<S> Reconcile<S, u64, u64> for HasInfo
    where
        S: Service<u64, Response = u64> + 'static,
    {
        type Look = std::pin::Pin<Box<dyn Future<Output = Found<u64>>>>;

        fn look(&self, inner: S, order: &u64, _: &Attempt) -> Option<Self::Look> {
            let asking = inner.oneshot(order + 1_000);
            Some(Box::pin(async { asking.await.map_or(Found::Unknown, Found::Adopt) }))
        }
    }
    let (mock, handle) = Mock::<u64, u64>::in_turn([lost(), Reply::ok(7), lost(), lost()]);
    let service =
        RetryLayer::new(Config::classic(), ByResult::default()).reconcile(HasInfo).layer(mock);
    assert_eq!(service.clone().oneshot(1).await.unwrap(), 7);
    assert!(service.oneshot(2).await.is_err());
    assert_eq!(handle.counts().calls, 4);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_result_ends_the_call_with_the_response_it_has() {
    let (mock, handle) = Mock::<u64, u64>::in_turn([lost()]);
    let finds = Finds::new(Found::Unknown);
    let layer = RetryLayer::new(Config::classic(), ByResult::default()).reconcile(finds.clone());
    let error = layer.layer(mock).oneshot(1).await.unwrap_err();
    assert_eq!(error.to_string(), "scripted");
    assert_eq!((handle.counts().calls, finds.looks()), (1, 1));
    assert_eq!(layer.handle().snapshot().unsafe_to_replay, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_looked_for_when_it_is_known_that_nothing_happened() {
    let (mock, _handle) = Mock::<u64, u64>::in_turn([passing(), Reply::ok(7)]);
    let finds = Finds::new(Found::Unknown);
    let layer = RetryLayer::new(Config::classic(), ByResult::default()).reconcile(finds.clone());
    layer.layer(mock).oneshot(1).await.unwrap();
    assert_eq!(finds.looks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_ends_the_call_with_the_last_real_failure_beside_it() {
    let rejected = || Reply::err(Rejection::new("circuit breaker", "E2B", Reason::Probing));
    let (mock, _handle) = Mock::<u64, u64>::in_turn([passing(), rejected()]);

    let error = RetryLayer::new(Config::classic(), ByResult::default())
        .layer(mock)
        .oneshot(1)
        .await
        .unwrap_err();

    assert!(find::<Rejection>(&*error).is_some(), "{error}");
    let exhausted = find::<RetriesExhausted>(&*error).unwrap();
    assert_eq!((exhausted.why(), exhausted.attempts()), (Stop::Rejected, 1));
    assert_eq!(exhausted.last(), Outcome::Transient);
    assert!(exhausted.last_error().is_some());
    assert_eq!(
        error.to_string(),
        "a retry was rejected after an attempt that was transient: scripted",
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_for_the_retry_is_awaited_no_longer_than_the_deadline() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| passing());
    handle.set_readiness(|instance| match instance.is_original() {
        true => Readiness::Ready,
        false => Readiness::Pending,
    });
    let start = Tick::now();
    let classify = classify_fn(
        move |_: &u64| RequestInfo::default().deadline(Some(start + 10 * SECOND)),
        |_: Result<&u64, &BoxError>| Verdict::unknown(),
    );

    let error =
        RetryLayer::new(Config::classic(), classify).layer(mock).oneshot(1).await.unwrap_err();

    assert_eq!(find::<RetriesExhausted>(&*error).unwrap().why(), Stop::OutOfTime);
    assert_eq!(Tick::now().since(start), 10 * SECOND);
    assert_eq!(handle.counts().reservations_held, 0);
}

/// A request that records its attempts.
#[derive(Clone, Debug, Default)]
struct Noted(Arc<Mutex<Vec<Attempt>>>);

#[derive(Clone)]
struct Notes;

impl Resend<Noted> for Notes {
    fn copy(&self, request: &Noted) -> Option<Noted> {
        Some(request.clone())
    }

    fn stamp(&self, request: &mut Noted, attempt: &Attempt) {
        request.0.lock().unwrap().push(*attempt);
    }
}

/// A response that records its attempt.
#[derive(Clone)]
struct Stamps;

impl ResponseHooks<u64> for Stamps {
    type Discard = Ready<()>;

    fn discard(&self, _: u64) -> Ready<()> {
        ready(())
    }

    fn stamp(&self, response: &mut u64, attempt: &Attempt) {
        *response = u64::from(attempt.number);
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_and_the_caller_see_the_attempt_and_its_reason() {
    let (mock, _handle) = Mock::<Noted, u64>::in_turn([passing(), passing(), Reply::ok(0)]);
    let (request, start) = (Noted::default(), Tick::now());
    let layer = RetryLayer::new(Config::classic(), ByResult::default())
        .resend(Notes)
        .response_hooks(Stamps);
    assert_eq!(layer.layer(mock).oneshot(request.clone()).await.unwrap(), 3);
    let second = Attempt::first(start).next(Outcome::Transient);
    assert_eq!(*request.0.lock().unwrap(), [second, second.next(Outcome::Transient)]);
}

#[tokio::test(start_paused = true)]
async fn the_response_to_a_first_attempt_is_not_stamped() {
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |_: Result<&u64, &BoxError>| Verdict::permanent(),
    );
    let (mock, _handle) = Mock::<u64, u64>::in_turn([Reply::ok(7)]);
    let layer = RetryLayer::new(Config::classic(), classify).response_hooks(Stamps);
    assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_discard_that_is_not_done_when_the_next_attempt_is_due_is_dropped() {
    #[derive(Clone)]
    struct Slow(Arc<()>);
    type Giving = std::pin::Pin<Box<dyn Future<Output = ()>>>;
    impl ResponseHooks<u64> for Slow {
        type Discard = Giving;

        fn discard(&self, _: u64) -> Giving {
            let held = Arc::clone(&self.0);
            Box::pin(async move {
                let _held = held;
                pending().await
            })
        }
    }
    let held = Arc::new(());
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |result: Result<&u64, &BoxError>| match result {
            Ok(0) => Verdict::transient(Effect::None),
            _ => Verdict::success(),
        },
    );
    let (mock, _handle) = Mock::<u64, u64>::in_turn([Reply::ok(0), Reply::ok(7)]);
    let layer =
        RetryLayer::new(Config::classic(), classify).response_hooks(Slow(Arc::clone(&held)));
    let call = layer.layer(mock).oneshot(1);
    assert_eq!(call.await.unwrap(), 7);
    drop(layer);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn dropped_while_it_looks_it_leaves_nothing_behind() {
    #[derive(Clone)]
    struct Looks;
    impl<S> Reconcile<S, u64, u64> for Looks {
        type Look = std::pin::Pin<Box<dyn Future<Output = Found<u64>>>>;

        fn look(&self, _: S, _: &u64, _: &Attempt) -> Option<Self::Look> {
            Some(Box::pin(async {
                tokio::time::sleep(SECOND).await;
                Found::Nothing
            }))
        }
    }
    cancel_at_every_poll(
        || {
            let (mock, handle) = Mock::<u64, u64>::in_turn([lost(), Reply::ok(7)]);
            (
                RetryLayer::new(Config::classic(), ByResult::default())
                    .reconcile(Looks)
                    .layer(mock)
                    .oneshot(1),
                handle,
            )
        },
        async |cancelled, handle| {
            let counts = handle.counts();
            assert_eq!((counts.in_flight, counts.instances_live), (0, 0), "{cancelled}");
        },
    );
}
