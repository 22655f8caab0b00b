//! Kinds of bugs that fallbacks are prone to, each with several inputs.

use std::future::Ready;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{BoxError, ByResult, ClassifiedError, Effect, Replay, RequestInfo, Verdict};
use sandtower_fallback::{Failed, Failover, FailoverConfig, FallbackLayer};
use sandtower_testkit::{Fused, Mock, Readiness, Reply, extreme_durations};
use tower::util::FutureService;
use tower::{Layer, Service, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

fn safe() -> ByResult {
    ByResult::new(RequestInfo::default().replay(Replay::Safe))
}

/// Creates no service: polled again after that, the future inside panics as most do.
fn unmakeable() -> FutureService<Ready<Result<Echo, &'static str>>, Echo> {
    FutureService::new(std::future::ready(Err("no route")))
}

type Echo = tower::util::ServiceFn<fn(u64) -> Ready<Result<u64, &'static str>>>;

/// Calls `service` five times, by clones and by itself; all get 7.
async fn serves<S>(mut service: S)
where
    S: Service<u64, Response = u64, Error = BoxError> + Clone,
{
    for call in 0..5 {
        let mut clone = service.clone();
        let used = if call % 2 == 0 { &mut service } else { &mut clone };
        assert_eq!(used.ready().await.unwrap().call(1).await.unwrap(), 7, "call {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn over_a_service_that_cannot_be_created_each_call_goes_to_the_alternative_and_none_panics() {
    let respond = |_: &Failed<'_, u64>| Some(7);
    serves(FallbackLayer::respond("seven", respond, safe()).layer(unmakeable())).await;
    let seven: Echo = service_fn(|_| std::future::ready(Ok(7)));
    serves(FallbackLayer::to("seven", seven, safe()).layer(unmakeable())).await;
    let makeable = FutureService::new(std::future::ready(Ok(seven)));
    let config = || FailoverConfig::new("places").return_after(Duration::from_nanos(1));
    let places = [("dead", unmakeable()), ("seven", makeable)];
    serves(Failover::new(config(), places, safe()).unwrap()).await;
    let none = [("dead", unmakeable()), ("dead too", unmakeable())];
    let mut none = Failover::new(config(), none, safe()).unwrap();
    for _ in 0..5 {
        assert!(none.ready().await.unwrap().call(1).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_instance_whose_readiness_failed_is_neither_polled_nor_cloned_again() {
    for alternative in [true, false] {
        let (mock, handle) = Mock::<u64, u64>::always(1);
        handle.set_readiness(|instance| match instance.is_original() {
            true => Readiness::Err("broken pipe".into()),
            false => Readiness::Ready,
        });
        let respond = move |_: &Failed<'_, u64>| alternative.then_some(7);
        let mut service = FallbackLayer::respond("seven", respond, safe()).layer(mock);
        let first = service.ready().await.unwrap().call(1).await.ok();
        assert_eq!(first, alternative.then_some(7));
        assert_eq!(service.clone().oneshot(1).await.unwrap(), 1);
        assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1);
        assert_eq!(handle.counts().calls, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_about_the_caller_is_not_sent_elsewhere_and_moves_no_calls() {
    for verdict in [
        Verdict::transient(Effect::None).about_caller(),
        Verdict::transient(Effect::Maybe).about_caller(),
        Verdict::unknown().about_caller(),
    ] {
        let exhausted = move || Reply::err(ClassifiedError::new(verdict, "out of files"));
        for classify in [safe(), ByResult::default()] {
            let (first, _handle) = Mock::<u64, u64>::new(move |_, _| exhausted());
            let (second, handle) = Mock::<u64, u64>::always(7);
            let fallback = FallbackLayer::to("second", second.clone(), classify);
            assert!(fallback.layer(first.clone()).oneshot(1).await.is_err());
            let config = FailoverConfig::new("places");
            let places = [("0", first.clone()), ("1", second)];
            let places = Failover::new(config, places, classify).unwrap();
            assert!(places.clone().oneshot(1).await.is_err());
            assert_eq!((handle.counts().calls, places.handle().current()), (0, "0"));
            let respond = |_: &Failed<'_, u64>| Some(7);
            let respond = FallbackLayer::respond("seven", respond, classify);
            assert_eq!(respond.layer(first).oneshot(1).await.unwrap(), 7);
        }
    }
}

/// Its first call exhausts tokio's cooperative budget on each poll, and never completes.
struct BusyOnce(bool);

impl Future for BusyOnce {
    type Output = Result<u64, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.0 {
            return Poll::Ready(Ok(0));
        }
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_probe_cannot_keep_its_lease() {
    let (down, handle) = Mock::<u64, u64>::always(0);
    let dead = || ClassifiedError::new(Verdict::transient(Effect::None), "down");
    handle.set_replies(move |_, _| Reply::err(dead()));
    let busy = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let calls = std::sync::Arc::clone(&busy);
    let first = service_fn(move |request: u64| {
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let down = down.clone();
        async move {
            match call {
                0 => down.oneshot(request).await,
                _ => BusyOnce(call == 1).await,
            }
        }
    });
    let second = tower::util::BoxCloneService::new(service_fn(async |_: u64| Ok::<_, BoxError>(1)));
    let first = tower::util::BoxCloneService::new(first);
    let config = FailoverConfig::new("places").return_after(SECOND).lease(SECOND * 10);
    let mut places = Failover::new(config, [("0", first), ("1", second)], safe()).unwrap();
    let mut call = async || places.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!(call().await, 1);
    tokio::time::advance(SECOND).await;
    let mut probing = places.clone();
    let probe = tokio::spawn(async move { probing.ready().await.unwrap().call(1).await });
    tokio::task::yield_now().await;
    let mut call = async || places.ready().await.unwrap().call(1).await.unwrap();
    assert_eq!(call().await, 1, "two calls probe at a time");
    tokio::time::advance(SECOND * 10).await;
    assert_eq!(call().await, 0, "the lease outlived its time");
    probe.abort();
}

#[tokio::test(start_paused = true)]
async fn it_panics_if_polled_after_completion() {
    async fn panics<S: Service<u64, Response = u64, Error = BoxError>>(mut service: S) {
        let mut call = Box::pin(service.ready().await.unwrap().call(0));
        let _ = call.as_mut().await;
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(again.is_err());
    }
    let respond = |_: &Failed<'_, u64>| Some(7);
    panics(FallbackLayer::respond("seven", respond, safe()).layer(Fused)).await;
    panics(FallbackLayer::to("itself", Fused, safe()).layer(Fused)).await;
    panics(FallbackLayer::respond("seven", respond, safe()).layer(unmakeable())).await;
    let config = || FailoverConfig::new("places");
    panics(Failover::new(config(), [("one", Fused)], safe()).unwrap()).await;
    panics(Failover::new(config(), [("one", Fused), ("two", Fused)], safe()).unwrap()).await;
}

fn positive() -> impl Strategy<Value = Duration> {
    extreme_durations().prop_map(|duration| duration.max(Duration::from_nanos(1)))
}

proptest! {
    #[test]
    fn no_duration_panics(
        return_after in positive(), lease in positive(), passes in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let dead = || ClassifiedError::new(Verdict::transient(Effect::None), "down");
            let (first, _handle) = Mock::<u64, u64>::new(move |_, _| Reply::err(dead()));
            let (second, _handle) = Mock::<u64, u64>::always(1);
            let config = FailoverConfig::new("places").return_after(return_after).lease(lease);
            let places = [("0", first), ("1", second)];
            let mut places = Failover::new(config, places, safe()).unwrap();
            for _ in 0..3 {
                assert_eq!(places.ready().await.unwrap().call(1).await.unwrap(), 1);
                tokio::time::advance(Duration::from_nanos(passes / 8)).await;
            }
        });
    }
}
