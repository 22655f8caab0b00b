//! Known bugs of limits and queues, each as what must hold instead.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use sandtower_admission::{AdmissionLayer, Config, Stepwise};
use sandtower_core::{
    ClassifiedError, Effect, Reason, Rejection, RequestInfo, Tick, Verdict, find,
};
use sandtower_testkit::{Answer, Mock};
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};

use crate::support::{Literal, Pace};

const SECOND: Duration = Duration::from_secs(1);

/// A runtime lets a task poll its own resources a hundred times or so before they all look pending.
#[tokio::test(start_paused = true)]
async fn museum_20_a_thousand_calls_of_one_task_are_all_served_whatever_its_budget() {
    let (mock, handle) =
        Mock::<RequestInfo, u64>::new(|_, call| Answer::ok(call).after(SECOND / 1_000));
    let layer =
        AdmissionLayer::with_gates(Config::new("test").concurrency(8), Pace::new(SECOND / 1_000));
    let mut service = layer.unwrap().classify(Literal).layer(mock);
    let mut calls: Vec<_> =
        (0..1_000).map(|_| Some(Box::pin(service.call(RequestInfo::default())))).collect();
    let mut served = 0;

    poll_fn(|cx| {
        for call in &mut calls {
            if let Some(Poll::Ready(answer)) = call.as_mut().map(|call| call.as_mut().poll(cx)) {
                answer.unwrap();
                *call = None;
                served += 1;
            }
        }
        if served == calls.len() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;

    assert_eq!(handle.counts().calls, 1_000);
}

#[tokio::test(start_paused = true)]
async fn museum_20_a_call_that_may_not_wait_is_rejected_without_a_timer() {
    let (mock, _handle) = Mock::<u64, u64>::new(|_, _| Answer::Hang);
    let config = Config::new("test").concurrency(1).queue(0);
    let service = AdmissionLayer::new(config).unwrap().layer(mock);
    let mut calls = JoinSet::new();
    calls.spawn(service.clone().oneshot(0));
    tokio::task::yield_now().await;
    let start = Tick::now();

    for call in 1..1_000 {
        let error = service.clone().oneshot(call).await.unwrap_err();
        assert_eq!(find::<Rejection>(&*error).unwrap().reason(), Reason::QueueFull { waiting: 0 });
    }

    assert_eq!(Tick::now(), start);
}

#[tokio::test(start_paused = true)]
async fn museum_21_a_clone_that_is_ready_and_idles_holds_no_slot() {
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let layer = AdmissionLayer::new(Config::new("test").concurrency(1)).unwrap();
    let service = layer.layer(mock);
    let mut idle: Vec<_> = vec![service.clone(); 10];
    for clone in &mut idle {
        clone.ready().await.unwrap();
    }
    drop(idle.split_off(5));

    assert_eq!(service.oneshot(1).await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn museum_23_one_layer_before_three_services_admits_its_limit_and_not_three_times_that() {
    let layer = AdmissionLayer::new(Config::new("test").concurrency(4)).unwrap();
    let mut handles = Vec::new();
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let (mock, handle) = Mock::<u64, u64>::new(|_, _| Answer::ok(7).after(SECOND));
        let service = layer.layer(mock);
        handles.push(handle);
        (0..10).for_each(|call| drop(calls.spawn(service.clone().oneshot(call))));
    }
    tokio::time::sleep(SECOND / 2).await;

    let sent: u64 = handles.iter().map(|handle| handle.counts().calls).sum();
    assert_eq!(sent, 4);
    assert_eq!(layer.control().snapshot().queues[0].in_flight, 4);
    calls.join_all().await.into_iter().for_each(|answer| assert_eq!(answer.unwrap(), 7));
}

#[tokio::test(start_paused = true)]
async fn museum_23_a_limit_at_its_floor_grows_again_once_the_service_recovers() {
    let well = Arc::new(AtomicBool::new(false));
    let (mock, _handle) = Mock::<u64, u64>::new({
        let well = Arc::clone(&well);
        move |_, call| {
            // Some responses are good, so that there is a baseline latency.
            if well.load(Ordering::Relaxed) || call % 3 == 0 {
                Answer::ok(7).after(SECOND)
            } else {
                Answer::err(ClassifiedError::new(Verdict::transient(Effect::None), "busy"))
                    .after(2 * SECOND)
            }
        }
    });
    let limit = Stepwise::recommended().initial(4).ceiling(4);
    let layer =
        AdmissionLayer::new(Config::new("test").concurrency(limit).longest_wait(Duration::MAX))
            .unwrap();
    let service = layer.layer(mock);
    let queue = || layer.control().snapshot().queues[0];
    let send = |calls: u64| {
        let service = service.clone();
        async move {
            let sent: JoinSet<_> = (0..calls).map(|call| service.clone().oneshot(call)).collect();
            sent.join_all().await.len()
        }
    };
    send(60).await;
    assert_eq!(queue().limit, 1);

    well.store(true, Ordering::Relaxed);
    send(900).await;

    assert_eq!(queue().limit, 4);
}
