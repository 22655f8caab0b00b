//! Fallbacks, on a paused clock.

use std::time::Duration;

use sandtower_core::{
    BoxError, ByResult, ClassifiedError, Effect, Outcome, Reason, Rejection, Replay, RequestInfo,
    SendOnce, Tick, Verdict, classify_fn, find,
};
use sandtower_fallback::{AlternativeFailed, Failed, FallbackLayer, When};
use sandtower_testkit::{Contract, Mock, Readiness, Reply, Scenario, cancel_at_every_poll};
use tower::{Layer, Service, ServiceExt, service_fn};

fn safe() -> RequestInfo {
    RequestInfo::default().replay(Replay::Safe)
}

/// An error with this verdict.
fn with_verdict<Res>(verdict: Verdict) -> Reply<Res> {
    Reply::err(ClassifiedError::new(verdict, "down"))
}

fn dead<Res>() -> Reply<Res> {
    with_verdict(Verdict::transient(Effect::None))
}

#[test]
fn keep_the_tower_contract() {
    let dead = service_fn(|_: u64| async { Err::<u64, BoxError>("down".into()) });
    let plain = ByResult::default();
    Contract::of(move |inner| FallbackLayer::to("dead", dead, plain).layer(inner)).run();
    let none = |_: &Failed<'_, u64>| None;
    Contract::of(move |inner| FallbackLayer::respond("none", none, plain).layer(inner)).run();
    let safe = ByResult::new(safe());
    Contract::of(move |inner| {
        let again = |request: u64, _: &Failed<'_, u64>| Some(request + 1);
        FallbackLayer::rewrite("another", again, safe).layer(inner)
    })
    .run();
    Contract::of(move |inner| {
        let spare = inner.clone();
        FallbackLayer::to("spare", spare, safe).layer(inner)
    })
    .skip(Scenario::ResponsesPassThrough, "the alternative responds to a failed call")
    .run();
}

#[test]
fn dropped_at_any_point_both_services_are_released() {
    cancel_at_every_poll(
        || {
            let slow = || Mock::<u64, u64>::new(|_, _| Reply::ok(7).after(Duration::from_secs(1)));
            let (first, first_handle) = Mock::<u64, u64>::new(|_, _| {
                with_verdict(Verdict::transient(Effect::None)).after(Duration::from_secs(1))
            });
            let (second, second_handle) = slow();
            second_handle.set_readiness(|_| Readiness::After(Duration::from_secs(1)));
            let service = FallbackLayer::to("second", second, ByResult::default()).layer(first);
            (service.oneshot(1), (first_handle, second_handle))
        },
        async |cancelled, (first, second)| {
            for handle in [first, second] {
                let counts = handle.counts();
                assert_eq!(counts.in_flight, 0, "{cancelled}");
                assert_eq!(counts.reservations_held, 0, "{cancelled}");
            }
        },
    );
}

#[tokio::test(start_paused = true)]
async fn a_quick_failure_goes_to_the_alternative_at_once() {
    let (first, _) = Mock::<u64, u64>::new(|_, _| dead());
    let (second, _) = Mock::always(7);
    let start = Tick::now();
    let layer = FallbackLayer::to("second", second, ByResult::default());
    assert_eq!(layer.layer(first).oneshot(1).await.unwrap(), 7);
    assert_eq!(Tick::now(), start);
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.used, snapshot.cured), (1, 1));
}

/// Can be cloned neither as a request nor as a response.
struct Only(u64);

#[tokio::test(start_paused = true)]
async fn a_response_needs_no_clone_of_requests_or_responses() {
    let (first, _) = Mock::<Only, Only>::new(|_, _| with_verdict(Verdict::unknown()));
    let respond = |_: &Failed<'_, Only>| Some(Only(7));
    let layer = FallbackLayer::respond("a guess", respond, ByResult::default());
    let response = layer.layer(first).oneshot(Only(1)).await.unwrap();
    assert_eq!(
        response.0, 7,
        "it repeats nothing, so it applies to failures that may have had an effect too"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_sent_once_needs_no_clone_of_requests() {
    let (first, _) = Mock::<Only, Only>::new(|_, _| with_verdict(Verdict::transient(Effect::None)));
    let (second, second_handle) = Mock::<Only, Only>::new(|_, _| Reply::ok(Only(7)));
    let layer = FallbackLayer::to("second", second, ByResult::default()).resend(SendOnce);
    assert!(layer.layer(first).oneshot(Only(1)).await.is_err());
    assert_eq!(second_handle.counts().calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_is_a_failure_like_any_other() {
    let (first, first_handle) = Mock::<u64, u64>::always(1);
    first_handle.set_readiness(|_| Readiness::Err("broken pipe".into()));
    let (second, _) = Mock::always(7);
    // Not safe to replay: but nothing was sent.
    let mut service = FallbackLayer::to("second", second, ByResult::default()).layer(first);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 7);
    first_handle.set_readiness(|_| Readiness::Ready);
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 1, "it came back unseen");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_without_an_alternative_reaches_the_caller() {
    let (first, first_handle) = Mock::<u64, u64>::always(1);
    first_handle.set_readiness(|_| Readiness::Err("broken pipe".into()));
    let (second, _) = Mock::always(7);
    let service =
        FallbackLayer::to("second", second, ByResult::default()).when(When::never()).layer(first);
    let error = service.oneshot(1).await.unwrap_err();
    assert_eq!(error.to_string(), "broken pipe");
}

#[tokio::test(start_paused = true)]
async fn the_alternative_is_made_ready_before_it_is_called() {
    let (first, first_handle) = Mock::<u64, u64>::new(|_, _| dead());
    let (second, second_handle) = Mock::always(7);
    second_handle.set_readiness(|_| Readiness::After(Duration::from_secs(3)));
    let start = Tick::now();
    let mut call =
        Box::pin(FallbackLayer::to("second", second, ByResult::default()).layer(first).oneshot(1));
    tokio::select! {
        biased;
        _ = &mut call => panic!("it did not wait for the second to become ready"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(first_handle.counts().in_flight, 0, "a waiting call holds something");
    assert_eq!(call.await.unwrap(), 7);
    assert_eq!(Tick::now().since(start), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_had_an_effect_is_sent_elsewhere_only_if_safe() {
    for (info, served) in [(RequestInfo::default(), false), (safe(), true)] {
        let (first, _) =
            Mock::<u64, u64>::new(|_, _| with_verdict(Verdict::transient(Effect::Maybe)));
        let (second, handle) = Mock::always(7);
        let layer = FallbackLayer::to("second", second, ByResult::new(info));
        assert_eq!(layer.layer(first).oneshot(1).await.is_ok(), served);
        assert_eq!(handle.counts().calls, u64::from(served));
        assert_eq!(layer.handle().snapshot().unsafe_to_replay, u64::from(!served));
    }
}

#[tokio::test(start_paused = true)]
async fn each_outcome_goes_to_the_alternative_as_configured() {
    let all = [
        (Verdict::transient(Effect::None), true),
        (Verdict::unknown().effect(Effect::None), true),
        (Verdict::permanent(), false),
        (Verdict::throttled(), false),
        (Verdict::exhausted(), false),
    ];
    for (verdict, by_default) in all {
        let serves = async |when: When| {
            let (first, _) = Mock::<u64, u64>::new(move |_, _| with_verdict(verdict));
            let (second, _) = Mock::always(7);
            FallbackLayer::to("second", second, ByResult::default())
                .when(when)
                .layer(first)
                .oneshot(1)
                .await
                .is_ok()
        };
        let outcome = verdict.outcome;
        assert_eq!(serves(When::recommended()).await, by_default, "{outcome}");
        assert!(serves(When::never().on(outcome)).await, "{outcome}");
        assert!(!serves(When::recommended().not_on(outcome)).await, "{outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejection_of_a_layer_below_goes_to_the_alternative() {
    let open = || Rejection::new("circuit breaker", "E2B", Reason::Open { failed: 7, of: 7 });
    let (first, _) = Mock::<u64, u64>::new(move |_, _| Reply::err(open()));
    let (second, _) = Mock::always(7);
    assert_eq!(
        FallbackLayer::to("second", second, ByResult::default())
            .layer(first)
            .oneshot(1)
            .await
            .unwrap(),
        7
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_nothing_is_sent_any_more() {
    let now = Tick::now();
    let info = safe().deadline(Some(now + Duration::from_secs(1)));
    let (first, _) = Mock::<u64, u64>::new(|_, _| {
        with_verdict(Verdict::transient(Effect::None)).after(Duration::from_secs(1))
    });
    let (second, second_handle) = Mock::always(7);
    let layer = FallbackLayer::to("second", second, ByResult::new(info));
    assert!(layer.layer(first).oneshot(1).await.is_err());
    assert_eq!(second_handle.counts().calls, 0);
    assert_eq!(layer.handle().snapshot().out_of_time, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_rewritten_by_its_failure() {
    let classify = classify_fn(
        |_: &&str| RequestInfo::default(),
        |result: Result<&u16, &BoxError>| match result {
            Ok(404) => Verdict::permanent(),
            _ => Verdict::success(),
        },
    );
    let (service, handle) = Mock::new(|request: &str, _| match request {
        "base" => Reply::ok(201),
        _ => Reply::ok(404),
    });
    let base = |request: &'static str, failed: &Failed<'_, u16>| {
        (request != "base" && matches!(failed.result, Ok(404))).then_some("base")
    };
    let layer =
        FallbackLayer::rewrite("base", base, classify).when(When::never().on(Outcome::Permanent));
    assert_eq!(layer.layer(service).oneshot("mine").await.unwrap(), 201);
    assert_eq!(handle.counts().calls, 2);
}

#[tokio::test(start_paused = true)]
async fn when_the_alternative_fails_the_error_names_both_failures() {
    let (first, _) = Mock::<u64, u64>::new(|_, _| dead());
    let rejection = || Rejection::new("admission", "E2B", Reason::Draining);
    let (second, _) = Mock::<u64, u64>::new(move |_, _| Reply::err(rejection()));
    let layer = FallbackLayer::to("second", second, ByResult::default());
    let error = layer.layer(first).oneshot(1).await.unwrap_err();
    assert_eq!(find::<Rejection>(&*error), Some(&rejection()));
    let failed = find::<AlternativeFailed>(&*error).unwrap();
    assert_eq!((failed.name(), failed.first()), ("second", Outcome::Transient));
    assert_eq!(
        failed.to_string(),
        "the alternative `second` failed too: admission `E2B` is shutting down; before it: down"
    );
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.used, snapshot.cured), (1, 0));
}
