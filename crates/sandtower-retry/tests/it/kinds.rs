//! Kinds of bugs that retries are prone to, each with several inputs.

use std::future::Ready;
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{
    Attempt, Backoff, BoxError, ByResult, CallerError, ClassifiedError, Effect, Outcome, Replay,
    RequestInfo, Resend, Scope, Tick, Verdict, classify_fn, find,
};
use sandtower_retry::{Budget, Config, ResponseHooks, RetriesExhausted, RetryLayer, Stop};
use sandtower_testkit::{Fused, Mock, Readiness, Reply, extreme_durations};
use tower::util::FutureService;
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn failed<Res>(verdict: Verdict) -> Reply<Res> {
    Reply::err(ClassifiedError::new(verdict, "scripted"))
}

fn transient<Res>() -> Reply<Res> {
    failed(Verdict::transient(Effect::None))
}

fn classic() -> RetryLayer<ByResult> {
    RetryLayer::new(Config::classic(), ByResult::default())
}

/// Exhausts tokio's cooperative budget on each poll, and never completes.
struct Busy;

impl Future for Busy {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        Poll::Pending
    }
}

/// Waits for `call`, advancing the clock by hand: it does not advance while something is busy.
async fn within<T>(time: Duration, call: tokio::task::JoinHandle<T>) -> T {
    for _ in 0..100 {
        tokio::time::advance(time / 100).await;
        tokio::task::yield_now().await;
    }
    assert!(call.is_finished(), "still running after {time:?}");
    call.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_busy_discard_cannot_hold_up_the_backoff() {
    #[derive(Clone)]
    struct BusyDiscard;
    impl ResponseHooks<u64> for BusyDiscard {
        type Discard = Busy;

        fn discard(&self, _: u64) -> Busy {
            Busy
        }
    }
    let classify = classify_fn(
        |_: &u64| RequestInfo::default(),
        |result: Result<&u64, &BoxError>| match result {
            Ok(0) => Verdict::transient(Effect::None),
            _ => Verdict::success(),
        },
    );
    let (mock, _handle) = Mock::<u64, u64>::in_turn([Reply::ok(0), Reply::ok(7)]);
    let layer = RetryLayer::new(Config::classic(), classify).response_hooks(BusyDiscard);
    let call = tokio::spawn(layer.layer(mock).oneshot(1));
    assert_eq!(within(2 * SECOND, call).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_busy_readiness_cannot_hold_a_retry_past_the_deadline() {
    /// Its clones are never ready, and busy with it.
    struct BusyClones(bool);
    impl Clone for BusyClones {
        fn clone(&self) -> Self {
            Self(true)
        }
    }
    impl Service<u64> for BusyClones {
        type Response = u64;
        type Error = BoxError;
        type Future = Ready<Result<u64, BoxError>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            if self.0 { pin!(Busy).poll(cx).map(Ok) } else { Poll::Ready(Ok(())) }
        }

        fn call(&mut self, _: u64) -> Self::Future {
            let verdict = Verdict::transient(Effect::None);
            std::future::ready(Err(ClassifiedError::new(verdict, "scripted").into()))
        }
    }
    let deadline = Tick::now() + 5 * SECOND;
    let classify = ByResult::new(RequestInfo::default().deadline(Some(deadline)));
    let service = RetryLayer::new(Config::classic(), classify).layer(BusyClones(false));
    let error = within(10 * SECOND, tokio::spawn(service.oneshot(1))).await.unwrap_err();
    assert_eq!(find::<RetriesExhausted>(&*error).unwrap().why(), Stop::OutOfTime);
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_readiness_failed_is_replaced_and_neither_polled_nor_cloned_again() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    handle.set_readiness(|instance| match instance.is_original() {
        true => Readiness::Err("broken pipe".into()),
        false => Readiness::Ready,
    });
    let mut service = classic().layer(mock);
    assert!(service.ready().await.is_err());
    let mut clone = service.clone();
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 7);
    assert_eq!(clone.ready().await.unwrap().call(1).await.unwrap(), 7);
}

/// Creates no service: polled again after that, the future inside panics as most do.
fn unmakeable() -> FutureService<Ready<Result<Echo, &'static str>>, Echo> {
    FutureService::new(std::future::ready(Err("no route")))
}

type Echo = tower::util::ServiceFn<fn(u64) -> Ready<Result<u64, &'static str>>>;

#[tokio::test(start_paused = true)]
async fn over_a_service_that_cannot_be_created_readiness_is_an_error_and_does_not_panic() {
    let mut service = classic().layer(unmakeable());
    for _ in 0..3 {
        let error = service.ready().await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), "no route");
        service = service.clone();
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_that_was_never_sent_had_no_effect_whatever_its_error_says() {
    let errors: [fn() -> BoxError; 3] = [
        || "connection reset".into(),
        || ClassifiedError::new(Verdict::transient(Effect::Maybe), "gone").into(),
        || ClassifiedError::new(Verdict::unknown(), "gone").into(),
    ];
    for error in errors {
        let (mock, handle) = Mock::<u64, u64>::in_turn([transient(), Reply::ok(7)]);
        let mut clones = 0;
        handle.set_readiness(move |instance| {
            if instance.is_original() {
                return Readiness::Ready;
            }
            clones += 1;
            if clones == 1 { Readiness::Err(error()) } else { Readiness::Ready }
        });
        let layer = classic();
        assert_eq!(layer.layer(mock).oneshot(1).await.unwrap(), 7, "{}", error());
        assert_eq!(handle.counts().calls, 2);
        assert_eq!(layer.handle().snapshot().unsafe_to_replay, 0);
    }
}

/// Whether a retry is paid for after a response that means `verdict`, by a budget of one token that
/// is empty before.
async fn funds(verdict: Verdict) -> bool {
    let budget = Budget::new(1.0, NonZeroU32::MIN).unwrap();
    assert!(budget.withdraw(Scope::ALL, Outcome::Transient, Tick::now()));
    let config = Config::classic().budget(Some(budget.clone()));
    let (mock, _handle) = Mock::<u64, u64>::new(move |_, _| Reply::ok(0));
    let classify =
        classify_fn(|_: &u64| RequestInfo::default(), move |_: Result<&u64, &BoxError>| verdict);
    let _ = RetryLayer::new(config, classify).layer(mock).oneshot(1).await;
    budget.snapshot().thousandths == 1_000
}

#[tokio::test(start_paused = true)]
async fn every_response_that_shows_the_service_alive_funds_retries() {
    assert!(funds(Verdict::success()).await);
    assert!(funds(Verdict::permanent()).await);
    for verdict in [
        Verdict::throttled(),
        Verdict::exhausted(),
        Verdict::rejected(),
        Verdict::transient(Effect::None),
        Verdict::unknown(),
        Verdict::cancelled(),
        Verdict::permanent().about_caller(),
    ] {
        assert!(!funds(verdict).await, "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn permanent_errors_fund_retries() {
    let (mock, _handle) = Mock::<u64, u64>::new(|_, call| match call % 10 {
        9 => transient(),
        _ => failed(Verdict::permanent()),
    });
    let layer = classic();
    let mut service = layer.layer(mock);
    for _ in 0..500 {
        let _ = service.ready().await.unwrap().call(1).await;
    }
    assert_eq!(layer.handle().snapshot().out_of_budget, 0);
}

/// A request that counts its copies, and records its arrival.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicU32>, Arc<std::sync::Mutex<Vec<Tick>>>);

#[derive(Clone)]
struct Counts;

impl Resend<Counted> for Counts {
    fn copy(&self, request: &Counted) -> Option<Counted> {
        request.0.fetch_add(1, Ordering::Relaxed);
        Some(request.clone())
    }

    fn stamp(&self, request: &mut Counted, attempt: &Attempt) {
        request.1.lock().unwrap().push(attempt.arrived);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_failure_is_final_is_not_copied_again() {
    for (verdict, copies) in [
        (Verdict::success(), 1),
        (Verdict::permanent(), 1),
        (Verdict::unknown(), 1),
        (Verdict::rejected(), 1),
        (Verdict::transient(Effect::None), 2),
    ] {
        let (mock, _handle) = Mock::<Counted, u64>::in_turn([failed(verdict), Reply::ok(7)]);
        let request = Counted::default();
        let _ = classic().resend(Counts).layer(mock).oneshot(request.clone()).await;
        assert_eq!(request.0.load(Ordering::Relaxed), copies, "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_carry_the_calls_arrival_and_not_that_of_its_first_failure() {
    let earlier = Tick::now();
    for arrived in [None, Some(earlier)] {
        tokio::time::advance(SECOND).await;
        let start = Tick::now();
        let slow = || transient().after(3 * SECOND);
        let (mock, _handle) = Mock::<Counted, u64>::in_turn([slow(), slow(), Reply::ok(7)]);
        let (request, classify) =
            (Counted::default(), ByResult::new(RequestInfo::default().arrived(arrived)));
        let layer = RetryLayer::new(Config::classic(), classify).resend(Counts);
        layer.layer(mock).oneshot(request.clone()).await.unwrap();
        assert_eq!(*request.1.lock().unwrap(), [arrived.unwrap_or(start); 2]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_callers_own_request_ends_the_call() {
    let (mock, handle) = Mock::<u64, u64>::new(|_, _| {
        let unreachable = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Reply::err(std::io::Error::other(CallerError::new(unreachable)))
    });
    let classify = ByResult::new(RequestInfo::default().replay(Replay::Safe));
    let layer = RetryLayer::new(Config::classic(), classify);
    assert!(layer.layer(mock).oneshot(1).await.is_err());
    assert_eq!((handle.counts().calls, layer.handle().snapshot().cancelled), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn it_panics_if_polled_after_completion() {
    for request in [0, 7] {
        let mut service = classic().layer(Fused);
        let mut call = Box::pin(service.ready().await.unwrap().call(request));
        let _ = call.as_mut().await;
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(again.is_err());
    }
}

proptest! {
    #[test]
    fn no_duration_panics(
        [base, cap, longest, asked] in [extreme_durations(), extreme_durations(), extreme_durations(), extreme_durations()],
        deadline in proptest::option::of(any::<u64>()),
        attempts in 1..u32::MAX,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let backoff = Backoff::exponential(base, cap);
        let config = Config::recommended()
            .attempts(NonZeroU32::new(attempts).unwrap())
            .transient(backoff)
            .throttled(backoff.full_jitter())
            .unknown(Backoff::constant(base))
            .longest_retry_after(longest);
        let deadline = deadline.map(Tick::from_nanos);
        let classify = ByResult::new(RequestInfo::default().deadline(deadline));
        for verdict in [
            Verdict::transient(Effect::None).retry_after(asked),
            Verdict::throttled(),
            Verdict::throttled().retry_after(asked),
            Verdict::unknown().effect(Effect::None),
        ] {
            runtime.block_on(async {
                let (mock, _handle) = Mock::<u64, u64>::in_turn([failed(verdict), Reply::ok(7)]);
                let mut service = RetryLayer::new(config.clone(), classify).layer(mock);
                let mut call = pin!(service.ready().await.unwrap().call(1));
                let cx = &mut Context::from_waker(Waker::noop());
                for _ in 0..3 {
                    if call.as_mut().poll(cx).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
    }
}
