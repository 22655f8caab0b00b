//! Kinds of bugs that health checks are prone to, each with several inputs.

use std::future::Ready;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{Verdict, find};
use sandtower_health_check::{
    Check, Config, Finding, Health, HealthCheckLayer, Monitor, MonitorConfig, Unhealthy, check_fn,
};
use sandtower_testkit::{Mock, Readiness, extreme_durations};
use tower::util::FutureService;
use tower::{Layer, Service, ServiceExt};

use crate::world::SECOND;

/// Exhausts tokio's cooperative budget on each poll, and never completes.
struct Busy;

impl Future for Busy {
    type Output = Verdict;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        Poll::Pending
    }
}

/// Advances the clock by hand: it does not advance while something is busy.
async fn pass(time: Duration) {
    for _ in 0..100 {
        tokio::time::advance(time / 100).await;
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_probe_cannot_defeat_the_limit_of_a_check() {
    let check = check_fn(
        |_: Mock<u64, u64>, _: &u64| Some(Busy),
        |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
    );
    let config = Config::new("any").probe_within(SECOND).tries(2);
    let layer = HealthCheckLayer::new(check, config).unwrap();
    let (mock, _handle) = Mock::always(7);
    let call = tokio::spawn(layer.layer(mock).oneshot(1));
    pass(SECOND * 4).await;
    assert!(call.is_finished());
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(find::<Unhealthy>(&*error).unwrap().last, Finding::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_busy_probe_cannot_defeat_the_limit_of_a_monitor() {
    let config = MonitorConfig::new("any").probe_within(SECOND).fall(1);
    let monitor = Monitor::start(config, || Busy).unwrap();
    pass(SECOND * 2).await;
    assert_eq!(monitor.health(), Health::Down);
    assert_eq!(monitor.snapshot().last_error, Some(Finding::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn a_busy_release_cannot_defeat_the_limit_of_a_drain() {
    let check = check_fn(
        |_: Mock<u64, u64>, _: &u64| Some(std::future::ready(Verdict::permanent())),
        |_: Mock<u64, u64>, _: &u64| async {
            let _ = Busy.await;
        },
    );
    let layer = HealthCheckLayer::new(check, Config::new("any")).unwrap();
    let (mock, _handle) = Mock::always(7);
    layer.layer(mock).oneshot(1).await.unwrap_err();
    let handle = layer.handle().clone();
    let drain = tokio::spawn(async move { handle.drain(SECOND).await });
    pass(SECOND * 2).await;
    assert!(drain.is_finished());
    assert_eq!(drain.await.unwrap().unwrap_err().left, 1);
}

fn passes<S: 'static>() -> impl Check<S, u64> + Clone {
    check_fn(
        |_: S, _: &u64| Some(std::future::ready(Verdict::success())),
        |_: S, _: &u64| std::future::ready(()),
    )
}

type Echo = tower::util::ServiceFn<fn(u64) -> Ready<Result<u64, &'static str>>>;

#[tokio::test(start_paused = true)]
async fn an_instance_whose_readiness_failed_is_replaced_and_neither_polled_nor_cloned_again() {
    let (mock, handle) = Mock::<u64, u64>::always(7);
    handle.set_readiness(|instance| match instance.is_original() {
        true => Readiness::Err("broken pipe".into()),
        false => Readiness::Ready,
    });
    let mut service = HealthCheckLayer::classic(passes()).layer(mock);
    assert!(service.ready().await.is_err());
    assert_eq!(service.clone().oneshot(1).await.unwrap(), 7);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 7);

    // It creates no service: polled again after that, the future inside panics as most do.
    let making = std::future::ready(Err::<Echo, _>("no route"));
    let mut service = HealthCheckLayer::classic(passes()).layer(FutureService::new(making));
    for _ in 0..3 {
        let error = service.ready().await.map(drop).unwrap_err();
        assert_eq!(error.to_string(), "no route");
        service = service.clone();
    }
}

#[tokio::test(start_paused = true)]
async fn it_panics_if_polled_after_completion() {
    for probes in [true, false] {
        let check = check_fn(
            move |_: Mock<u64, u64>, _: &u64| {
                probes.then(|| std::future::ready(Verdict::success()))
            },
            |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
        );
        let (mock, _handle) = Mock::always(7);
        let mut service = HealthCheckLayer::classic(check).layer(mock);
        let mut call = Box::pin(service.ready().await.unwrap().call(1));
        assert_eq!(call.as_mut().await.unwrap(), 7);
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }));
        assert!(again.is_err());
    }
}

fn positive() -> impl Strategy<Value = Duration> {
    extreme_durations().prop_map(|duration| duration.max(Duration::from_nanos(1)))
}

proptest! {
    #[test]
    fn no_duration_panics(
        [within, pause, every] in [positive(), positive(), positive()],
        jitter in 0..=100_u8,
        fails in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let verdict = if fails { Verdict::unknown() } else { Verdict::success() };
            let check = check_fn(
                move |_: Mock<u64, u64>, _: &u64| Some(std::future::ready(verdict)),
                |_: Mock<u64, u64>, _: &u64| std::future::ready(()),
            );
            let config = Config::new("any").probe_within(within).pause(pause);
            let layer = HealthCheckLayer::new(check, config).unwrap();
            let (mock, _handle) = Mock::always(7);
            let mut service = layer.layer(mock);
            let mut call = pin!(service.ready().await.unwrap().call(1));
            let cx = &mut Context::from_waker(Waker::noop());
            let _ = call.as_mut().poll(cx);

            let config = MonitorConfig::new("any").every(every).jitter(jitter).probe_within(within);
            let monitor = Monitor::start(config.fall(1), move || std::future::ready(verdict)).unwrap();
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            assert!(monitor.snapshot().probing);
            let _ = monitor.health();
            layer.handle().drain(within).await.ok();
        });
    }
}
