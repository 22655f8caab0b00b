//! A breaker for each scope: apart from each other, and never too many.

use std::time::Duration;

use sandtower_circuit_breaker::{
    CircuitBreakerLayer, CircuitBreakers, Config, ScopedPermit, Scopes, State,
};
use sandtower_core::{BoxError, Effect, RequestInfo, Scope, Verdict, classify_fn, find};
use sandtower_testkit::{Answer, Mock, Readiness};
use serde_json::json;
use tokio::time::advance;
use tower::{Layer, ServiceExt};

use crate::support::{FAILURES, OPEN, acquire_for, end_for, pass};

const SECOND: Duration = Duration::from_secs(1);

fn classic(most: usize) -> CircuitBreakers {
    CircuitBreakers::new(Config::classic("E2B"), Scopes::new(most)).unwrap()
}

fn info(scope: u64) -> RequestInfo {
    RequestInfo::default().scope(Scope::new(scope))
}

fn acquire(breakers: &CircuitBreakers, scope: u64) -> Option<ScopedPermit> {
    acquire_for(breakers, &info(scope)).ok()
}

fn call(breakers: &CircuitBreakers, scope: u64, verdict: Verdict) -> bool {
    pass(breakers, &info(scope), verdict)
}

fn trip(breakers: &CircuitBreakers, scope: u64) {
    (0..FAILURES).for_each(|_| _ = call(breakers, scope, Verdict::unknown()));
}

fn state(breakers: &CircuitBreakers, scope: u64) -> State {
    breakers.of(Scope::new(scope)).snapshot().state
}

#[tokio::test(start_paused = true)]
async fn one_dead_region_does_not_close_the_others() {
    let breakers = classic(10);
    let by_scope = classify_fn(
        |request: &u64| info(*request),
        |result: Result<&u64, &BoxError>| match result {
            Ok(_) => Verdict::success(),
            Err(_) => Verdict::unknown(),
        },
    );
    let layer = CircuitBreakerLayer::scoped(breakers.clone()).classify(by_scope);
    let (mock, handle) = Mock::always(7);
    let service = layer.layer(mock);
    handle.set_answers(|_, _| Answer::err("down"));
    for _ in 0..FAILURES {
        service.clone().oneshot(1).await.unwrap_err();
    }
    handle.set_answers(|_, _| Answer::ok(7));
    service.clone().oneshot(1).await.unwrap_err();
    service.clone().oneshot(2).await.unwrap();
    assert_eq!(state(&breakers, 1), State::Open);
    assert_eq!(state(&breakers, 2), State::Closed);

    advance(OPEN).await;
    service.clone().oneshot(1).await.unwrap();
    assert_eq!(state(&breakers, 1), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn silent_scopes_are_forgotten() {
    let breakers = classic(10);
    call(&breakers, 1, Verdict::success());
    call(&breakers, 2, Verdict::unknown());
    advance(599 * SECOND).await;
    call(&breakers, 3, Verdict::success());
    assert!(breakers.len() == 3 && !breakers.is_empty());
    advance(300 * SECOND).await;
    call(&breakers, 3, Verdict::success());
    assert_eq!((breakers.len(), breakers.forgotten()), (1, 2));
}

/// What keeps a scope from being forgotten, however silent it is.
type Protect = fn(&CircuitBreakers) -> Option<ScopedPermit>;

const PROTECTED: [(&str, Protect); 6] = [
    ("a call in flight", |breakers| acquire(breakers, 1)),
    ("forced open", |breakers| {
        breakers.of(Scope::new(1)).force_open();
        None
    }),
    ("forced closed", |breakers| {
        breakers.of(Scope::new(1)).force_closed();
        None
    }),
    ("open for an hour by the server's word", |breakers| {
        let hour = Verdict::transient(Effect::None).retry_after(3_600 * SECOND);
        (0..FAILURES).for_each(|_| _ = call(breakers, 1, hour));
        None
    }),
    ("half-open, its probe in flight", |breakers| {
        let breaker = breakers.of(Scope::new(1));
        breaker.force_open();
        breaker.release();
        acquire(breakers, 1)
    }),
    ("ramping, an attempt in flight", |breakers| {
        let breaker = breakers.of(Scope::new(1));
        breaker.force_open();
        breaker.release();
        call(breakers, 1, Verdict::success());
        acquire(breakers, 1)
    }),
];

fn for_an_hour(most: usize) -> CircuitBreakers {
    let config = Config::classic("E2B").ramp(10).longest_open(3_600 * SECOND);
    CircuitBreakers::new(config, Scopes::new(most)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_protects_its_service_is_not_forgotten_for_its_silence() {
    for (name, protect) in PROTECTED {
        let breakers = for_an_hour(10);
        let _permit = protect(&breakers);
        let before = state(&breakers, 1);
        for silence in [601, 1_000, 1_500] {
            advance(Duration::from_secs(silence)).await;
            call(&breakers, 2, Verdict::success());
            call(&breakers, 3, Verdict::success());
            assert!(breakers.snapshots().iter().any(|kept| kept.scope == Some(1)), "{name}");
        }
        assert_eq!(breakers.of(Scope::new(1)).snapshot().state, before, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_protects_its_service_is_not_forgotten_for_a_newcomer() {
    for (name, protect) in PROTECTED {
        let breakers = for_an_hour(2);
        let _permit = protect(&breakers);
        for newcomer in 2..50 {
            advance(SECOND).await;
            call(&breakers, newcomer, Verdict::success());
        }
        let kept: Vec<_> = breakers.snapshots().iter().map(|kept| kept.scope).collect();
        assert_eq!(kept, [Some(1), Some(49)], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_long_call_came_to_is_not_forgotten_for_the_silence_before_it_ended() {
    let breakers = classic(10);
    for _ in 0..FAILURES {
        let permit = acquire(&breakers, 1).unwrap();
        advance(1_000 * SECOND).await;
        end_for(&breakers, &info(1), permit, Verdict::unknown());
        call(&breakers, 2, Verdict::success());
    }
    assert_eq!(state(&breakers, 1), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_could_have_sent_a_probe_for_long_is_forgotten() {
    let breakers = classic(10);
    trip(&breakers, 1);
    for (silence, kept) in [(OPEN.as_secs() + 599, true), (151, false)] {
        advance(Duration::from_secs(silence)).await;
        call(&breakers, 2, Verdict::success());
        assert_eq!(breakers.snapshots().iter().any(|it| it.scope == Some(1)), kept);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dead_scopes_and_one_that_overlap_are_noticed_in_a_table_of_a_thousand() {
    let config = Config::classic("E2B").expected(SECOND);
    let breakers = CircuitBreakers::new(config, Scopes::default()).unwrap();
    let (mut sent, mut in_flight) = (0, std::collections::VecDeque::new());
    for _ in 0..20 {
        for scope in 0..1_025 {
            if let Some(permit) = acquire(&breakers, scope) {
                sent += 1;
                in_flight.push_back((scope, permit));
            }
            // Each call takes as long as a thousand others need to begin.
            if in_flight.len() > 1_000 {
                let (scope, permit) = in_flight.pop_front().unwrap();
                end_for(&breakers, &info(scope), permit, Verdict::unknown());
            }
        }
    }
    assert!(sent < 7 * 1_025, "{sent} of 20,500 were sent");
    let snapshots = breakers.snapshots();
    assert_eq!((breakers.len(), snapshots.len()), (1_024, 1_025));
    assert!(snapshots.iter().all(|kept| kept.breaker.state == State::Open));
    assert_eq!(breakers.forgotten(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_beyond_the_most_takes_the_slot_of_the_longest_silent_that_is_as_good_as_new() {
    let breakers = classic(3);
    for scope in [1, 2, 3] {
        advance(Duration::from_secs(1)).await;
        call(&breakers, scope, Verdict::success());
    }
    trip(&breakers, 1);
    call(&breakers, 4, Verdict::success());
    let kept: Vec<_> = breakers.snapshots().iter().map(|kept| kept.scope).collect();
    assert_eq!(kept, [Some(1), Some(3), Some(4)]);
    assert_eq!(state(&breakers, 1), State::Open);
}

#[tokio::test(start_paused = true)]
async fn when_all_are_in_trouble_newcomers_share_one_more_and_the_table_does_not_grow() {
    let breakers = classic(3);
    (1..=3).for_each(|scope| trip(&breakers, scope));
    for scope in 4..1_000 {
        call(&breakers, scope, Verdict::unknown());
    }
    assert_eq!(breakers.len(), 3);
    let snapshots = breakers.snapshots();
    assert_eq!(snapshots.len(), 4);
    assert_eq!((snapshots[3].scope, snapshots[3].breaker.state), (None, State::Open));
}

#[tokio::test(start_paused = true)]
async fn however_many_scopes_come_the_most_is_never_exceeded() {
    let breakers = classic(100);
    for scope in 0..10_000 {
        let verdict = if scope % 7 == 0 { Verdict::unknown() } else { Verdict::success() };
        call(&breakers, scope, verdict);
        assert!(breakers.len() <= 100);
    }
    assert_eq!(breakers.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_scope_with_a_call_in_flight_keeps_its_breaker_and_newcomers_share_one() {
    let breakers = classic(1);
    let permit = acquire(&breakers, 1).unwrap();
    call(&breakers, 2, Verdict::success());
    end_for(&breakers, &info(1), permit, Verdict::unknown());
    assert_eq!(breakers.of(Scope::new(1)).snapshot().recent_failures, 1);
}

#[tokio::test(start_paused = true)]
async fn the_breaker_that_newcomers_share_goes_when_it_was_silent() {
    let breakers = classic(1);
    let permit = acquire(&breakers, 1);
    call(&breakers, 2, Verdict::success());
    assert_eq!(breakers.snapshots().len(), 2);
    drop(permit);
    advance(601 * SECOND).await;
    call(&breakers, 3, Verdict::success());
    let scopes: Vec<_> = breakers.snapshots().iter().map(|kept| kept.scope).collect();
    assert_eq!(scopes, [Some(3)]);
}

#[tokio::test(start_paused = true)]
async fn failures_to_become_ready_count_for_every_scope() {
    let breakers = classic(10);
    call(&breakers, 1, Verdict::success());
    call(&breakers, 2, Verdict::success());
    let (mock, handle) = Mock::<u64, u64>::always(7);
    let service = CircuitBreakerLayer::scoped(breakers.clone()).layer(mock);
    handle.set_readiness(|_| Readiness::Err("no connection".into()));
    for _ in 0..FAILURES {
        service.clone().oneshot(1).await.unwrap_err();
    }
    let states: Vec<_> = breakers.snapshots().iter().map(|kept| kept.breaker.state).collect();
    assert_eq!(states, [State::Open; 2]);
}

#[test]
fn what_is_invalid_is_rejected() {
    let wrong =
        |scopes| CircuitBreakers::new(Config::classic("E2B"), scopes).unwrap_err().to_string();
    assert_eq!(wrong(Scopes::new(0)), "`scopes` must be at least 1: with 0 no scope has a breaker",);
    assert_eq!(
        wrong(Scopes::default().forget_after(Duration::ZERO)),
        "`forget_after` must be greater than zero and at most 24 h, not 0ns",
    );
    assert!(CircuitBreakers::new(Config::classic("E2B"), Scopes::new(usize::MAX)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_that_of_the_breaker_with_its_scope() {
    let breakers = classic(1);
    call(&breakers, 9, Verdict::success());
    let value = serde_json::to_value(&breakers.snapshots()[0]).unwrap();
    assert_eq!((&value["scope"], &value["state"]), (&json!(9), &json!("closed")));
    assert_eq!(value["name"], "E2B/9");
}

#[tokio::test(start_paused = true)]
async fn a_scope_has_its_name_in_rejections_and_snapshots() {
    let scopes = Scopes::new(1).named(|scope| format!("region {}", scope.id()));
    let breakers = CircuitBreakers::new(Config::classic("E2B"), scopes).unwrap();
    breakers.of(Scope::new(7)).force_open();
    let (mock, _handle) = Mock::<u64, u64>::always(7);
    let by_scope = classify_fn(
        |request: &u64| info(*request),
        |_: Result<&u64, &BoxError>| Verdict::success(),
    );
    let service = CircuitBreakerLayer::scoped(breakers.clone()).classify(by_scope).layer(mock);
    let error = service.clone().oneshot(7).await.unwrap_err();
    assert_eq!(error.to_string(), "circuit breaker `E2B/region 7` is open: an operator forced it",);
    assert!(find::<sandtower_core::Rejection>(&*error).is_some());
    service.oneshot(8).await.unwrap();
    let names: Vec<_> = breakers.snapshots().into_iter().map(|kept| kept.breaker.name).collect();
    assert_eq!(names, ["E2B/region 7", "E2B/others"]);
}

#[tokio::test(start_paused = true)]
async fn the_name_function_may_ask_the_breakers() {
    let asked = std::sync::Arc::new(std::sync::OnceLock::<CircuitBreakers>::new());
    let known = std::sync::Arc::clone(&asked);
    let scopes = Scopes::new(10)
        .named(move |scope| format!("{} of {}", scope.id(), known.get().map_or(0, |it| it.len())));
    let breakers = CircuitBreakers::new(Config::classic("E2B"), scopes).unwrap();
    asked.set(breakers.clone()).unwrap();
    call(&breakers, 3, Verdict::success());
    assert_eq!(breakers.of(Scope::new(3)).name(), "E2B/3 of 0");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_fills_while_a_scope_gets_its_name_does_not_grow_beyond_the_most() {
    let asked = std::sync::Arc::new(std::sync::OnceLock::<CircuitBreakers>::new());
    let known = std::sync::Arc::clone(&asked);
    let scopes = Scopes::new(1).named(move |scope| {
        if scope.id() == 1 {
            // As another thread may do at this moment.
            trip(known.get().unwrap(), 2);
        }
        scope.id().to_string()
    });
    let breakers = CircuitBreakers::new(Config::classic("E2B"), scopes).unwrap();
    asked.set(breakers.clone()).unwrap();
    assert_eq!(breakers.of(Scope::new(1)).name(), "E2B/others");
    assert_eq!((breakers.len(), state(&breakers, 2)), (1, State::Open));
}
