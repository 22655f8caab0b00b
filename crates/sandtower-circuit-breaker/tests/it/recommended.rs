//! The recommended breaker on a paused clock: how soon it opens, for how long, and how it lets
//! callers back.

use std::time::Duration;

use crate::support::{acquire, call, configured, end, is_probing, rejection, run_tasks};
use sandtower_circuit_breaker::{CircuitBreaker, Config, Permit, State, Trip};
use sandtower_core::{Effect, Gate, No, Now, Reason, Seed, Tick, Verdict};
use sandtower_testkit::Answer;
use tokio::time::{advance, sleep};
use tower::ServiceExt;

const SECOND: Duration = Duration::from_secs(1);

/// Asks the gate; `None` if it says no.
fn take(breaker: &CircuitBreaker) -> Option<Permit> {
    acquire(breaker).ok()
}

/// One call a second that fails, until it is open.
async fn trip(breaker: &CircuitBreaker) {
    while let Some(permit) = take(breaker) {
        sleep(SECOND).await;
        end(breaker, permit, Verdict::unknown());
    }
}

/// Waits for the probe and lets it come back.
async fn probe(breaker: &CircuitBreaker, verdict: Verdict) {
    sleep(breaker.snapshot().retry_in.unwrap_or_default()).await;
    let permit = take(breaker).expect("a probe is due");
    end(breaker, permit, verdict);
}

#[tokio::test(start_paused = true)]
async fn seven_failures_and_a_second_open_it_at_any_rate() {
    for (gap, calls) in [(10_000, 7), (1_000, 7), (100, 11), (1, 1_001)] {
        let (breaker, service, handle) = configured(Config::recommended("E2B"));
        handle.set_answers(|_, _| Answer::err("down"));
        for sent in 1..=calls {
            assert_eq!(breaker.snapshot().state, State::Closed, "{sent} calls, one in {gap} ms");
            call(&service).await.unwrap_err();
            sleep(Duration::from_millis(gap)).await;
        }
        let trips = breaker.snapshot().counters.trips;
        assert_eq!(trips, 1, "{calls} calls, one in {gap} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_tells_how_many_calls_failed_since_the_service_was_healthy() {
    let (_, service, handle) = configured(Config::recommended("E2B"));
    for good in [true, true, false, false, true, false, false, false, false, false] {
        handle.set_answers(move |_, _| if good { Answer::ok(7) } else { Answer::err("down") });
        let _ = call(&service).await;
        sleep(SECOND / 2).await;
    }
    handle.set_answers(|_, _| Answer::err("down"));
    let _ = call(&service).await;
    assert_eq!(rejection(call(&service).await).reason(), Reason::Open { failed: 8, of: 9 });
}

#[tokio::test(start_paused = true)]
async fn each_time_it_opens_for_longer_until_it_was_stable() {
    let breaker = Config::recommended("E2B").ramp(0).seed(Seed::fixed(5)).build().unwrap();
    trip(&breaker).await;
    for most in [1_000, 1_500, 2_250, 3_375, 5_063, 7_594, 10_000, 10_000] {
        let (wait, most) = (breaker.snapshot().retry_in.unwrap(), Duration::from_millis(most));
        assert!(most / 2 <= wait && wait <= most, "{wait:?} of {most:?}");
        probe(&breaker, Verdict::unknown()).await;
    }
    // Closed for a moment only: it goes on where it was.
    probe(&breaker, Verdict::success()).await;
    trip(&breaker).await;
    assert!(breaker.snapshot().retry_in.unwrap() >= 5 * SECOND);
    probe(&breaker, Verdict::success()).await;
    advance(60 * SECOND).await;
    trip(&breaker).await;
    assert!(breaker.snapshot().retry_in.unwrap() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_opens_for_the_same_times_and_other_breakers_for_others() {
    let mut all = Vec::new();
    for seed in [1, 1, 2] {
        let breaker = Config::recommended("E2B").seed(Seed::fixed(seed)).build().unwrap();
        trip(&breaker).await;
        let mut times = Vec::new();
        for _ in 0..5 {
            times.push(breaker.snapshot().retry_in);
            probe(&breaker, Verdict::unknown()).await;
        }
        all.push(times);
    }
    assert_eq!(all[0], all[1]);
    assert_ne!(all[0], all[2]);
}

#[tokio::test(start_paused = true)]
async fn it_opens_for_what_the_server_asks_for_and_a_little_longer() {
    for (asked, at_most) in [(30, 31), (86_400, 300)] {
        let breaker = Config::recommended("E2B").build().unwrap();
        trip(&breaker).await;
        let asks = Verdict::transient(Effect::None).retry_after(Duration::from_secs(asked));
        probe(&breaker, asks).await;
        let wait = breaker.snapshot().retry_in.unwrap();
        let asked = Duration::from_secs(asked.min(at_most));
        assert!(asked <= wait && wait <= Duration::from_secs(at_most), "{wait:?} for {asked:?}");
    }
}

// The way back.

#[tokio::test(start_paused = true)]
async fn after_it_closed_the_load_doubles_with_each_round_of_responses() {
    let breaker = Config::recommended("E2B").build().unwrap();
    trip(&breaker).await;
    probe(&breaker, Verdict::success()).await;
    assert_eq!(breaker.snapshot().state, State::Closed);
    let mut rounds = Vec::new();
    while breaker.snapshot().at_once.is_some() {
        // Two hundred callers that waited for it ask at once.
        let out: Vec<_> = (0..200).filter_map(|_| take(&breaker)).collect();
        rounds.push(out.len());
        sleep(SECOND).await;
        out.into_iter().for_each(|permit| end(&breaker, permit, Verdict::success()));
    }
    assert_eq!(rounds, [2, 4, 8, 16, 32, 64]);
    assert_eq!((0..200).filter_map(|_| take(&breaker)).count(), 200);
}

#[tokio::test(start_paused = true)]
async fn while_ramping_a_call_waits_for_a_response_and_not_for_a_lease() {
    let breaker = Config::recommended("E2B").lease(20 * SECOND).build().unwrap();
    trip(&breaker).await;
    probe(&breaker, Verdict::success()).await;
    let _lost = [(); 2].map(|()| take(&breaker).expect("two slots"));
    let now = Tick::now();
    let Err(No::Wait { earliest, look_again, why }) = acquire(&breaker) else { panic!("wait") };
    assert_eq!((earliest, look_again), (now, now + 20 * SECOND));
    assert_eq!((why.reason(), why.retry_after()), (Reason::Recovering, None));
    assert!(breaker.check(None, &Now::new()).is_some());

    // Whatever became of those two, the next may go then.
    advance(20 * SECOND).await;
    assert!(take(&breaker).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_layer_rejects_while_ramping_and_says_how_long_responses_take() {
    let (breaker, service, handle) = configured(Config::recommended("E2B"));
    trip(&breaker).await;
    handle.set_answers(|_, _| Answer::ok(7).after(3 * SECOND));
    sleep(SECOND).await;
    call(&service).await.unwrap();
    let out = [(); 2].map(|()| tokio::spawn(service.clone().oneshot(1)));
    run_tasks().await;
    let rejected = rejection(call(&service).await);
    assert_eq!((rejected.reason(), rejected.retry_after()), (Reason::Recovering, Some(3 * SECOND)));
    for sent in out {
        sent.await.unwrap().unwrap();
    }
    assert!(!is_probing_now(&breaker));
}

fn is_probing_now(breaker: &CircuitBreaker) -> bool {
    take(breaker).is_none()
}

#[tokio::test(start_paused = true)]
async fn failures_while_ramping_open_it_sooner_than_before() {
    let breaker = Config::recommended("E2B").build().unwrap();
    trip(&breaker).await;
    probe(&breaker, Verdict::success()).await;
    let failures = (1..).find(|_| {
        let permit = take(&breaker).expect("a slot is free");
        end(&breaker, permit, Verdict::unknown());
        breaker.snapshot().state == State::Open
    });
    assert_eq!(failures, Some(4), "not seven, and without a second in between");
    assert_eq!(breaker.snapshot().recent_failures, 4);
}

#[tokio::test(start_paused = true)]
async fn few_calls_are_never_rejected_while_ramping() {
    let (breaker, service, _handle) = configured(Config::recommended("E2B"));
    trip(&breaker).await;
    sleep(SECOND).await;
    for _ in 0..100 {
        call(&service).await.unwrap();
        sleep(10 * SECOND).await;
    }
    assert_eq!(breaker.snapshot().at_once, None);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_in_flight_when_the_ramp_ends_still_counts() {
    let config = Config::recommended("E2B").trip(Trip::ConsecutiveFailures(3)).ramp(1);
    let breaker = config.build().unwrap();
    trip(&breaker).await;
    probe(&breaker, Verdict::success()).await;
    let [one, other] = [(); 2].map(|()| take(&breaker).expect("two slots"));
    end(&breaker, one, Verdict::success());
    assert_eq!(breaker.snapshot().at_once, None);
    end(&breaker, other, Verdict::unknown());
    assert_eq!(breaker.snapshot().recent_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn in_the_layer_callers_do_not_stampede_a_service_that_has_just_recovered() {
    let (breaker, service, handle) = configured(Config::recommended("E2B"));
    trip(&breaker).await;
    sleep(SECOND).await;
    handle.set_answers(|_, _| Answer::ok(7).after(SECOND));
    call(&service).await.unwrap();
    let callers: Vec<_> = (0..200).map(|_| tokio::spawn(service.clone().oneshot(1))).collect();
    let mut served = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(_) => served += 1,
            rejected => assert!(is_probing(rejected)),
        }
    }
    assert_eq!(served, 2);
}
