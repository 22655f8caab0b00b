//! Failover, on a paused clock.

use std::time::Duration;

use sandtower_core::{
    ByResult, ClassifiedError, Effect, Outcome, Replay, RequestInfo, Tick, Verdict, find,
};
use sandtower_fallback::{
    AlternativeFailed, Failover, FailoverConfig, FailoverConfigError, FailoverHandle, When,
};
use sandtower_testkit::{Contract, Handle, Mock, Readiness, Reply, cancel_at_every_poll};
use tower::{Service, ServiceExt};

const RETURN: Duration = Duration::from_secs(60);

fn config() -> FailoverConfig {
    FailoverConfig::new("regions").return_after(RETURN).lease(Duration::from_secs(10))
}

fn with_verdict(verdict: Verdict) -> Reply<u64> {
    Reply::err(ClassifiedError::new(verdict, "down"))
}

fn dead() -> Reply<u64> {
    with_verdict(Verdict::transient(Effect::None))
}

/// Places `0` and `1`, each responding with its number, with their handles.
fn two() -> (Failover<Mock, ByResult>, [Handle; 2], FailoverHandle) {
    let (first, first_handle) = Mock::<u64, u64>::always(0);
    let (second, second_handle) = Mock::<u64, u64>::always(1);
    let places =
        Failover::new(config(), [("0", first), ("1", second)], ByResult::default()).unwrap();
    let handle = places.handle().clone();
    (places, [first_handle, second_handle], handle)
}

async fn call(places: &mut Failover<Mock, ByResult>) -> u64 {
    places.ready().await.unwrap().call(1).await.unwrap()
}

#[test]
fn keeps_the_tower_contract() {
    let safe = ByResult::new(RequestInfo::default().replay(Replay::Safe));
    let one = |inner| Failover::new(config(), [("one", inner)], ByResult::default()).unwrap();
    Contract::of(one).run();
    Contract::of(move |inner: Mock| {
        let places = [("a", inner.clone()), ("b", inner.clone()), ("c", inner)];
        Failover::new(config(), places, safe).unwrap()
    })
    .skip(
        sandtower_testkit::Scenario::ResponsesPassThrough,
        "another place responds to a failed call",
    )
    .run();
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_place_that_worked_is_preferred() {
    let (mut places, [first, second], handle) = two();
    first.set_replies(|_, _| dead());
    let start = Tick::now();
    assert_eq!(call(&mut places).await, 1);
    assert_eq!(Tick::now(), start, "a quick failure is hidden behind a delay");
    assert_eq!(handle.current(), "1");
    assert_eq!(call(&mut places).await, 1);
    assert_eq!((first.counts().calls, second.counts().calls), (1, 2));
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.moves, snapshot.probes), (1, 0));
    assert_eq!((snapshot.places[0].failures, snapshot.places[1].took_over), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_single_call_probes_the_first_place() {
    let (mut places, [first, second], handle) = two();
    first.set_replies(|_, _| dead());
    call(&mut places).await;
    tokio::time::advance(RETURN).await;
    first.set_replies(|_, _| Reply::ok(0).after(Duration::from_secs(1)));
    let mut looking = places.clone();
    let (looked, others) = tokio::join!(call(&mut looking), async {
        let mut places_used = Vec::new();
        for _ in 0..10 {
            places_used.push(call(&mut places).await);
        }
        places_used
    });
    assert_eq!((looked, others), (0, vec![1; 10]));
    assert_eq!((first.counts().calls, second.counts().calls), (2, 11));
    assert_eq!(handle.current(), "0");
    assert_eq!(handle.snapshot().probes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_costs_its_caller_only_the_attempt() {
    let (mut places, [first, _], handle) = two();
    first.set_replies(|_, _| dead());
    call(&mut places).await;
    tokio::time::advance(RETURN).await;
    for _ in 0..10 {
        assert_eq!(call(&mut places).await, 1);
    }
    assert_eq!(first.counts().calls, 2, "more than one call probed");
    assert_eq!(handle.current(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_does_not_block_the_way_back() {
    let (mut places, [first, _], handle) = two();
    first.set_replies(|_, _| dead());
    call(&mut places).await;
    tokio::time::advance(RETURN).await;
    first.set_replies(|_, call| if call == 1 { Reply::Hang } else { Reply::ok(0) });
    let mut looking = places.clone();
    let hung = tokio::spawn(async move { call(&mut looking).await });
    tokio::task::yield_now().await;
    assert_eq!(call(&mut places).await, 1);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(call(&mut places).await, 0, "the lease outlived its time");
    assert_eq!(handle.current(), "0");
    hung.abort();
}

#[test]
fn a_probe_dropped_at_any_point_leaves_no_lease_behind() {
    cancel_at_every_poll(
        || {
            let (mut places, [first, second], handle) = two();
            first.set_replies(|_, call| match call {
                0 => dead(),
                _ => dead().after(Duration::from_secs(1)),
            });
            second.set_replies(|_, _| Reply::ok(1).after(Duration::from_secs(1)));
            let again = places.clone();
            let looking = async move {
                call(&mut places).await;
                tokio::time::advance(RETURN).await;
                call(&mut places).await
            };
            (looking, (again, handle, [first, second]))
        },
        async |cancelled, (mut places, handle, mocks)| {
            for mock in &mocks {
                assert_eq!(mock.counts().in_flight, 0, "{cancelled}");
            }
            mocks[0].set_replies(|_, _| Reply::ok(0));
            tokio::time::advance(RETURN).await;
            assert_eq!(call(&mut places).await, 0, "{cancelled}");
            assert_eq!(handle.current(), "0", "{cancelled}");
        },
    );
}

#[tokio::test(start_paused = true)]
async fn a_place_that_fails_to_become_ready_is_left() {
    let (mut places, [first, _], handle) = two();
    first.set_readiness(|_| Readiness::Err("broken pipe".into()));
    assert_eq!(call(&mut places).await, 1);
    assert_eq!(handle.current(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_may_have_had_an_effect_stays_but_the_next_call_starts_elsewhere() {
    let (places, [first, second], handle) = two();
    first.set_replies(|_, _| with_verdict(Verdict::transient(Effect::Maybe)));
    assert!(places.clone().oneshot(1).await.is_err());
    assert_eq!(second.counts().calls, 0);
    assert_eq!(handle.current(), "1");
}

#[tokio::test(start_paused = true)]
async fn a_place_with_permanent_errors_is_not_left() {
    for verdict in [Verdict::permanent(), Verdict::throttled(), Verdict::exhausted()] {
        let (places, [first, second], handle) = two();
        first.set_replies(move |_, _| with_verdict(verdict));
        assert!(places.oneshot(1).await.is_err());
        assert_eq!((second.counts().calls, handle.current()), (0, "0"), "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_goes_elsewhere_if_so_configured() {
    let (first, _) = Mock::<u64, u64>::new(|_, _| with_verdict(Verdict::throttled()));
    let (second, _) = Mock::always(1);
    let config = config().when(When::recommended().on(Outcome::Throttled));
    let places = Failover::new(config, [("0", first), ("1", second)], ByResult::default()).unwrap();
    assert_eq!(places.oneshot(1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_last_error_names_the_one_before() {
    let (places, mocks, handle) = two();
    mocks.iter().for_each(|mock| mock.set_replies(|_, _| dead()));
    let error = places.oneshot(1).await.unwrap_err();
    let failed = find::<AlternativeFailed>(&*error).unwrap();
    assert_eq!((failed.name(), failed.first()), ("1", Outcome::Transient));
    assert_eq!(handle.current(), "0", "it moved to one that does not work either");
}

#[tokio::test(start_paused = true)]
async fn an_operator_resets_it_to_the_first_place() {
    let (mut places, [first, _], handle) = two();
    first.set_replies(|_, _| dead());
    call(&mut places).await;
    first.set_replies(|_, _| Reply::ok(0));
    handle.reset();
    assert_eq!(call(&mut places).await, 0);
}

#[test]
fn an_invalid_config_is_rejected_with_what_would_be_valid() {
    let rejected = |config: FailoverConfig, places: usize| {
        let (mock, _) = Mock::<u64, u64>::always(0);
        let places = std::iter::repeat_with(move || ("a", mock.clone())).take(places);
        Failover::new(config, places, ByResult::default()).map(drop).unwrap_err()
    };
    assert_eq!(rejected(config(), 0), FailoverConfigError::NoPlaces);
    assert_eq!(
        rejected(config(), 257).to_string(),
        "`places` has 257 places; it must have 1 to 256"
    );
    assert_eq!(
        rejected(config().lease(Duration::ZERO), 1).to_string(),
        "`lease` must be greater than zero"
    );
}
