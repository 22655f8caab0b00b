//! A service behind a breaker, on a paused clock: first what users see, then the ways in which
//! breakers are known to break.

use std::time::Duration;

use crate::support::{
    FAILURES, LEASE, OPEN, call, classic, configured, is_probing, poll_once, rejection, run_tasks,
    trip,
};
use sandtower_circuit_breaker::{CircuitBreakerLayer, Config, Cusum, State, Trip};
use sandtower_core::{BoxError, Effect, Reason, RequestInfo, Verdict, classify_fn};
use sandtower_testkit::{Answer, Mock, Readiness};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service as _, ServiceExt};

const MOMENT: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn it_opens_rejects_at_once_probes_and_closes() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    assert_eq!(breaker.snapshot().state, State::Open);

    let rejected = rejection(call(&service).await);
    assert_eq!(
        rejected.to_string(),
        "circuit breaker `E2B` is open: the last 5 calls failed; retry in 60 s",
    );
    assert_eq!(handle.counts().calls, FAILURES, "nothing reaches the service");

    advance(OPEN).await;
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    assert_eq!(call(&service).await.unwrap(), 7);
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn its_time_is_the_paused_clocks() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN - MOMENT).await;
    assert_eq!(breaker.snapshot().state, State::Open);
    assert_eq!(rejection(call(&service).await).retry_after(), Some(MOMENT));
    advance(MOMENT).await;
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_again_for_the_whole_time() {
    let (_, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::err("still down"));
    assert_eq!(call(&service).await.unwrap_err().to_string(), "still down");
    let rejected = rejection(call(&service).await);
    assert_eq!(rejected.reason(), Reason::Open { failed: 6, of: 6 });
    assert_eq!(rejected.retry_after(), Some(OPEN));
}

#[tokio::test(start_paused = true)]
async fn as_many_probes_must_succeed_as_configured() {
    let (breaker, service, handle) = configured(Config::classic("E2B").successes(2));
    trip(&service, &handle).await;
    advance(OPEN).await;
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::HalfOpen);
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_server_may_ask_for_more_time_but_not_forever() {
    let asks = |wait: u64| {
        classify_fn(
            |_: &u64| RequestInfo::default(),
            move |_: Result<&u64, &BoxError>| {
                Verdict::transient(Effect::None).retry_after(Duration::from_secs(wait))
            },
        )
    };
    for (asked, waited) in [(2, 60), (90, 90), (86_400, 300)] {
        let layer = CircuitBreakerLayer::try_from(Config::classic("E2B")).unwrap();
        let layer = layer.classify(asks(asked));
        let (mock, _handle) = Mock::always(7);
        let service = layer.layer(mock);
        for _ in 0..FAILURES {
            service.clone().oneshot(1).await.unwrap();
        }
        let rejected = rejection(service.clone().oneshot(1).await);
        assert_eq!(rejected.retry_after(), Some(Duration::from_secs(waited)), "asked: {asked} s");
    }
}

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_share_its_breaker() {
    let layer = CircuitBreakerLayer::try_from(Config::classic("E2B")).unwrap();
    let (dead, dead_handle) = Mock::always(7);
    let (well, well_handle) = Mock::always(7);
    let (dead, well) = (layer.layer(dead), layer.clone().layer(well));
    trip(&dead, &dead_handle).await;
    rejection(call(&well).await);
    assert_eq!(well_handle.counts().calls, 0);
}

// A probe that never ends wedges nothing.

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_is_void_when_its_lease_expires() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::Hang);
    let hung = tokio::spawn(service.clone().oneshot(1));
    run_tasks().await;

    let rejected = rejection(call(&service).await);
    assert_eq!(
        rejected.to_string(),
        "circuit breaker `E2B` is testing whether the service recovered",
    );
    handle.set_answers(|_, _| Answer::ok(7));
    advance(LEASE).await;
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
    assert_eq!(breaker.snapshot().counters.expired_probes, 1);
    hung.abort();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_its_caller_drops_frees_its_slot_at_once() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::Hang);
    assert!(poll_once(call(&service)).await.is_none());
    handle.set_answers(|_, _| Answer::ok(7));
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_takes_no_slot_once_it_has_opened_again() {
    let open = Duration::from_secs(1);
    let (_, service, handle) = configured(Config::classic("E2B").probes(2).open_for(open));
    trip(&service, &handle).await;
    advance(open).await;
    handle.set_answers(|_, _| Answer::Hang);
    let hung = tokio::spawn(service.clone().oneshot(1));
    run_tasks().await;
    handle.set_answers(|_, _| Answer::err("still down"));
    call(&service).await.unwrap_err();

    advance(open).await;
    handle.set_answers(|_, _| Answer::Hang);
    let probes = [(); 2].map(|()| tokio::spawn(service.clone().oneshot(1)));
    run_tasks().await;
    assert_eq!(handle.counts().calls, FAILURES + 4);
    assert!(is_probing(call(&service).await));
    hung.abort();
    probes.iter().for_each(|probe| probe.abort());
}

// Half-open admits as many as configured.

#[tokio::test(start_paused = true)]
async fn half_open_admits_exactly_as_many_probes_as_configured() {
    let (_, service, handle) = configured(Config::classic("E2B").probes(3));
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::ok(7).after(Duration::from_secs(1)));
    let callers: Vec<_> = (0..200).map(|_| tokio::spawn(service.clone().oneshot(1))).collect();
    let mut served = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(_) => served += 1,
            rejected => assert!(is_probing(rejected)),
        }
    }
    assert_eq!(served, 3);
    assert_eq!(handle.counts().calls, FAILURES + 3);
}

#[tokio::test(start_paused = true)]
async fn of_many_clones_that_are_ready_in_half_open_one_goes_and_the_others_stay_usable() {
    let (_, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    let mut clones: Vec<_> = (0..20).map(|_| service.clone()).collect();
    for clone in &mut clones {
        clone.ready().await.unwrap();
    }
    handle.set_answers(|_, _| Answer::ok(7).after(Duration::from_secs(1)));
    let responses: Vec<_> = clones.iter_mut().map(|clone| tokio::spawn(clone.call(1))).collect();
    let mut served = 0;
    for response in responses {
        match response.await.unwrap() {
            Ok(_) => served += 1,
            rejected => assert!(is_probing(rejected)),
        }
    }
    assert_eq!(served, 1);
    for clone in &mut clones {
        assert_eq!(clone.ready().await.unwrap().call(1).await.unwrap(), 7);
    }
}

#[tokio::test(start_paused = true)]
async fn while_its_probes_are_in_flight_no_call_touches_the_service() {
    let (_, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::Hang);
    let probe = tokio::spawn(service.clone().oneshot(1));
    run_tasks().await;
    let polls = handle.counts().readiness_polls;
    assert!(is_probing(call(&service).await));
    assert_eq!(handle.counts().readiness_polls, polls);
    probe.abort();
}

// What came before a change of state changes nothing after it.

#[tokio::test(start_paused = true)]
async fn late_results_from_before_the_trip_neither_close_nor_reopen_it() {
    for late in [|| Answer::ok(7), || Answer::err("down")] {
        let (breaker, service, handle) = classic();
        handle.set_answers(move |_, _| late().after(OPEN + Duration::from_secs(1)));
        let sent = tokio::spawn(service.clone().oneshot(1));
        run_tasks().await;
        trip(&service, &handle).await;
        advance(OPEN).await;
        handle.set_answers(|_, _| Answer::Hang);
        let probe = tokio::spawn(service.clone().oneshot(1));
        let _ = sent.await.unwrap();
        assert_eq!(breaker.snapshot().state, State::HalfOpen);
        assert!(is_probing(call(&service).await), "its probe is still the only one");
        assert_eq!(breaker.snapshot().counters.late, 1);
        probe.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_out_during_a_reset_changes_nothing_any_more() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(OPEN).await;
    handle.set_answers(|_, _| Answer::err("down").after(Duration::from_secs(1)));
    let probe = tokio::spawn(service.clone().oneshot(1));
    run_tasks().await;
    breaker.reset();
    assert_eq!(breaker.snapshot().state, State::Closed);
    probe.await.unwrap().unwrap_err();
    assert_eq!(breaker.snapshot().state, State::Closed);
    assert_eq!(breaker.snapshot().recent_failures, 0);
}

// Callers that wait below when it opens.

#[tokio::test(start_paused = true)]
async fn callers_that_wait_for_readiness_below_are_woken_and_rejected_when_it_opens() {
    let (breaker, service, handle) = classic();
    handle.set_readiness(|_| Readiness::Pending);
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(service.clone().oneshot(1))).collect();
    run_tasks().await;
    assert!(waiting.iter().all(|caller| !caller.is_finished()));
    breaker.force_open();
    for caller in waiting {
        let result = timeout(OPEN, caller).await.expect("it is woken");
        assert_eq!(rejection(result.unwrap()).reason(), Reason::ForcedOpen);
    }
    assert_eq!(handle.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn it_rejects_at_once_although_the_service_below_is_pending() {
    let (_, service, handle) = classic();
    trip(&service, &handle).await;
    handle.set_readiness(|_| Readiness::Pending);
    let polls = handle.counts().readiness_polls;
    rejection(poll_once(call(&service)).await.expect("no wait"));
    assert_eq!(handle.counts().readiness_polls, polls);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_were_sent_are_left_alone_when_it_opens() {
    let (breaker, service, handle) = classic();
    handle.set_answers(|_, _| Answer::ok(8).after(Duration::from_secs(1)));
    let sent = tokio::spawn(service.clone().oneshot(1));
    sleep(MOMENT).await;
    trip(&service, &handle).await;
    assert_eq!(breaker.snapshot().state, State::Open);
    assert_eq!(sent.await.unwrap().unwrap(), 8);
}

// Rare calls, many calls, short times.

#[tokio::test(start_paused = true)]
async fn it_closes_however_rarely_it_is_called() {
    let (breaker, service, handle) = classic();
    trip(&service, &handle).await;
    advance(Duration::from_secs(24 * 60 * 60)).await;
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed, "no window has to fill first");
}

#[tokio::test(start_paused = true)]
async fn after_ten_thousand_successes_it_opens_as_soon_as_after_none() {
    let (breaker, service, handle) = classic();
    for _ in 0..10_000 {
        call(&service).await.unwrap();
    }
    trip(&service, &handle).await;
    assert_eq!(breaker.snapshot().state, State::Open);
    assert_eq!(breaker.snapshot().counters.succeeded, 10_000);
}

#[tokio::test(start_paused = true)]
async fn failures_that_come_together_do_not_put_off_the_next_probe() {
    let (breaker, service, handle) = classic();
    for second in 1..=20 {
        handle.set_answers(move |_, _| Answer::err("down").after(Duration::from_secs(second)));
        tokio::spawn(service.clone().oneshot(1));
        run_tasks().await;
    }
    advance(Duration::from_secs(FAILURES)).await;
    run_tasks().await;
    let due = breaker.snapshot().retry_in.unwrap();
    advance(Duration::from_secs(20)).await;
    run_tasks().await;
    assert_eq!(breaker.snapshot().retry_in, Some(due - Duration::from_secs(20)));
    assert_eq!(breaker.snapshot().counters.late, 20 - FAILURES);
}

#[tokio::test(start_paused = true)]
async fn times_below_a_second_are_as_good_as_any() {
    let config = Config::recommended("E2B")
        .trip(Trip::Cusum(Cusum::default().at_least(MOMENT).half_life(4 * MOMENT)))
        .open_between(Duration::from_nanos(1), MOMENT)
        .stable_after(Duration::from_nanos(1))
        .lease(MOMENT)
        .expected(Duration::ZERO);
    let (breaker, service, handle) = configured(config);
    handle.set_answers(|_, _| Answer::err("down").after(MOMENT / 4));
    for _ in 0..7 {
        call(&service).await.unwrap_err();
    }
    assert_eq!(breaker.snapshot().counters.trips, 1);
    advance(MOMENT).await;
    handle.set_answers(|_, _| Answer::ok(7));
    call(&service).await.unwrap();
    assert_eq!(breaker.snapshot().state, State::Closed);
}
