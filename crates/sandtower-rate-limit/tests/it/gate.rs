//! The rate limit as a gate, on a clock of numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{
    Allowance, Change, Completion, Deferred, Gate, No, Now, Operation, Reason, RequestInfo, Scope,
    Subscriber, Tick, Verdict,
};
use sandtower_rate_limit::{Config, Pace, RateLimit};

use crate::support::{CREATE, LIST, at, give_back, limit, opens, record, seconds, send, take};

const HOUR: u64 = 3600;

fn enforced() -> Config {
    Config::new("E2B")
}

#[test]
fn the_classic_preset_counts_to_a_hundred_an_hour_and_lets_everything_through() {
    let gate = RateLimit::classic();
    for second in 0..150 {
        send(&gate, CREATE, at(second), Verdict::success());
    }
    let status = gate.status_at(CREATE, at(150));
    assert_eq!((status.count, status.limit), (150, Some(100)));
    assert_eq!((status.exceeded, status.remaining), (true, Some(0)));
    assert!(status.resets_in > seconds(HOUR - 150) && status.resets_in <= seconds(HOUR + 57));
    assert_eq!(gate.status_at(LIST, at(150)).remaining, Some(100));
}

#[test]
fn statistics_tell_operations_apart_and_forget_what_left_the_window() {
    let gate = limit(Config::new("E2B").shadow(true).limit(CREATE, 2));
    for second in [0, 10, 2000] {
        send(&gate, CREATE, at(second), Verdict::success());
    }
    send(&gate, LIST, at(2000), Verdict::success());
    let seen = |now| {
        let stats = gate.snapshot_at(now);
        let by = stats.by_operation.iter().map(|by| (by.operation, by.count)).collect::<Vec<_>>();
        (stats.total, by)
    };
    assert_eq!(seen(at(2000)), (4, vec![("sandbox_create", 3), ("sandbox_list", 1)]));
    assert_eq!(seen(at(2000 + 1900)), (2, vec![("sandbox_create", 1), ("sandbox_list", 1)]));
    assert_eq!(seen(at(3 * HOUR)), (0, vec![("sandbox_create", 0), ("sandbox_list", 0)]));
}

#[test]
fn over_its_limit_it_says_why_and_when_and_keeps_its_word() {
    let gate = limit(enforced().limit(CREATE, 2));
    send(&gate, CREATE, at(0), Verdict::success());
    send(&gate, CREATE, at(100), Verdict::success());
    let (when, rejection) = take(&gate, CREATE, at(200)).unwrap_err();
    assert_eq!(rejection.reason(), Reason::OverLimit { count: 2, limit: 2 });
    assert_eq!(rejection.retry_after(), Some(when.since(at(200))));
    assert_eq!(gate.status_at(CREATE, at(200)).available_in, when.since(at(200)));
    assert!(take(&gate, CREATE, Tick::from_nanos(when.as_nanos() - 1)).is_err());
    assert!(take(&gate, CREATE, when).is_ok());
}

#[test]
fn operations_do_not_use_up_each_others_limits() {
    let gate = limit(enforced().limit_each(1));
    send(&gate, CREATE, at(0), Verdict::success());
    assert!(take(&gate, CREATE, at(0)).is_err());
    assert!(take(&gate, LIST, at(0)).is_ok());
}

#[test]
fn a_permit_that_was_never_sent_comes_back() {
    let pace = Pace::every(seconds(1));
    let gate = limit(enforced().limit(CREATE, 1).pace(CREATE, pace));
    for _ in 0..1000 {
        let permit = take(&gate, CREATE, at(5)).unwrap();
        give_back(&gate, CREATE, permit, at(5));
    }
    assert_eq!(gate.status_at(CREATE, at(5)).count, 0);
    assert!(take(&gate, CREATE, at(5)).is_ok());
}

#[test]
fn no_edge_of_a_window_lets_twice_the_limit_through() {
    let gate = limit(enforced().limit(CREATE, 100));
    // All at the end of what would be a fixed hour, and again at the beginning of the next.
    for _ in 0..100 {
        send(&gate, CREATE, at(HOUR - 1), Verdict::success());
    }
    for second in 0..HOUR {
        assert!(take(&gate, CREATE, at(HOUR + second - 1)).is_err());
    }
    assert!(take(&gate, CREATE, at(2 * HOUR + HOUR / 50)).is_ok());
}

#[test]
fn huge_limits_and_periods_neither_panic_nor_allocate_up_front() {
    let pace = Pace::every(Duration::MAX).burst(u32::MAX);
    let config = enforced().window(Duration::MAX).limit(CREATE, u64::MAX).pace(CREATE, pace);
    let gate = limit(config);
    for now in [Tick::ZERO, at(1), Tick::MAX] {
        let permit = take(&gate, CREATE, now).unwrap();
        give_back(&gate, CREATE, permit, now);
        let status = gate.status_at(CREATE, now);
        assert_eq!(status.remaining, Some(u64::MAX));
    }
}

#[test]
fn no_traffic_makes_it_grow_beyond_256_operations() {
    let gate = limit(enforced());
    for index in 0..=u8::MAX {
        send(&gate, Operation::new(index, "any"), at(0), Verdict::success());
        send(&gate, Operation::new(index, "other"), at(0), Verdict::success());
    }
    assert_eq!(gate.snapshot_at(at(0)).by_operation.len(), 256);
}

#[test]
fn a_pace_of_one_a_second_gives_each_caller_its_second() {
    let gate = limit(enforced().pace(CREATE, Pace::every(seconds(1))));
    send(&gate, CREATE, at(10), Verdict::success());
    let (when, rejection) = take(&gate, CREATE, at(10)).unwrap_err();
    assert_eq!(when, at(11));
    assert_eq!(rejection.reason(), Reason::OverLimit { count: 1, limit: 1 });
    assert!(take(&gate, CREATE, at(11)).is_ok());
}

#[test]
fn the_last_reason_to_pass_is_the_one_that_is_given() {
    let gate = limit(enforced().limit(CREATE, 1).pace(CREATE, Pace::every(seconds(1))));
    send(&gate, CREATE, at(0), Verdict::success());
    let (when, _) = take(&gate, CREATE, at(0)).unwrap_err();
    assert!(when > at(HOUR));
}

#[test]
fn a_no_takes_nothing() {
    let gate = limit(enforced().limit(CREATE, 1).pace(CREATE, Pace::every(seconds(1)).burst(9)));
    send(&gate, CREATE, at(0), Verdict::success());
    let before = gate.status_at(CREATE, at(1));
    for _ in 0..100 {
        assert!(take(&gate, CREATE, at(1)).is_err());
    }
    assert_eq!(gate.status_at(CREATE, at(1)), before);
    assert_eq!(gate.snapshot_at(at(1)).by_operation[0].over, 100);
}

#[test]
fn an_attempt_from_before_a_reset_changes_nothing_after_it() {
    let gate = limit(enforced().limit(CREATE, 2).pace(CREATE, Pace::every(seconds(1)).burst(2)));
    let never_sent = take(&gate, CREATE, at(0)).unwrap();
    let throttled = take(&gate, CREATE, at(0)).unwrap();
    gate.reset(CREATE);
    send(&gate, CREATE, at(0), Verdict::success());
    give_back(&gate, CREATE, never_sent, at(0));
    let verdict = Verdict::throttled().retry_after(seconds(30));
    record(&gate, &RequestInfo::new(CREATE), throttled, &Completion::new(verdict, at(0), at(0)));
    let status = gate.status_at(CREATE, at(0));
    assert_eq!((status.count, status.remaining), (1, Some(1)));
    assert_eq!(status.available_in, Duration::ZERO);
}

#[test]
fn an_exempt_operation_is_counted_and_never_held_back() {
    let paced = enforced().limit_each(2).pace(LIST, Pace::every(seconds(9)));
    let gate = limit(paced.exempt(LIST));
    for _ in 0..20 {
        send(&gate, LIST, at(0), Verdict::throttled().retry_after(seconds(30)));
        assert_eq!(gate.check(Some(&RequestInfo::new(LIST)), &Now::at(at(0))), None);
    }
    let status = gate.status_at(LIST, at(0));
    assert_eq!((status.count, status.enforced, status.exceeded), (20, false, true));
    let by_operation = gate.snapshot_at(at(0)).by_operation;
    assert!(gate.snapshot_at(at(0)).enforced && !by_operation[0].enforced);
    send(&gate, CREATE, at(0), Verdict::success());
    send(&gate, CREATE, at(0), Verdict::success());
    assert!(take(&gate, CREATE, at(0)).is_err());
}

#[test]
fn learning_can_be_turned_off() {
    let gate = limit(enforced().longest_hold(Duration::ZERO));
    send(&gate, CREATE, at(0), Verdict::throttled().retry_after(seconds(30)));
    send(&gate, CREATE, at(0), Verdict::success().allowance(Allowance::new(5, 0, seconds(9))));
    assert!(take(&gate, CREATE, at(0)).is_ok());
}

#[test]
fn times_of_a_snapshot_are_milliseconds_and_it_says_whether_it_is_enforced() {
    for (gate, enforced) in [(RateLimit::classic(), false), (limit(enforced()), true)] {
        send(&gate, CREATE, at(1), Verdict::throttled().retry_after(seconds(3)));
        let json = serde_json::to_value(gate.snapshot_at(at(1))).unwrap();
        assert_eq!((&json["total"], &json["window_ms"]), (&1.into(), &3_600_000.into()));
        assert_eq!(json["by_operation"][0]["operation"], "sandbox_create");
        assert_eq!(json["enforced"], enforced);
        let json = serde_json::to_value(gate.status_at(CREATE, at(1))).unwrap();
        assert_eq!(json["enforced"], enforced);
        let whole = |key| json[key].as_u64().unwrap_or_else(|| panic!("{key} in {json}"));
        assert!((3_600_000..3_700_000).contains(&whole("resets_in_ms")));
        assert!((3_000..=4_000).contains(&whole("available_in_ms")));
        assert!(!json.to_string().contains("nanos"), "{json}");
    }
}

#[derive(Default)]
pub(crate) struct Subscribed(AtomicU32);

impl Subscriber for Subscribed {
    fn changed(&self, change: Change) {
        assert_eq!(change, Change::Opened, "a rate limit never closes");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Subscribed {
    pub(crate) fn to(gate: &impl Gate) -> Arc<Self> {
        let subscribed = Arc::new(Self::default());
        let weak: std::sync::Weak<Self> = Arc::downgrade(&subscribed);
        gate.subscribe(weak);
        subscribed
    }

    pub(crate) fn times(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn an_operator_who_raises_the_limit_or_resets_lets_waiting_callers_ask_again() {
    let gate = limit(enforced().limit(CREATE, 1));
    let told = Subscribed::to(&gate);
    send(&gate, CREATE, at(0), Verdict::success());
    assert!(take(&gate, CREATE, at(0)).is_err());
    gate.set_limit(CREATE, Some(2)).unwrap();
    assert_eq!(told.times(), 1);
    assert!(take(&gate, CREATE, at(0)).is_ok());
    gate.reset(CREATE);
    assert_eq!(told.times(), 1);
    assert!(gate.set_limit(CREATE, Some(0)).is_err());
    gate.set_limit(CREATE, None).unwrap();
    assert_eq!(gate.status_at(CREATE, at(0)).limit, None);
}

#[test]
fn a_permit_that_comes_back_notifies_if_a_call_was_turned_away_meanwhile_and_only_then() {
    for config in [enforced().limit(CREATE, 1), enforced().pace(CREATE, Pace::every(seconds(9)))] {
        let gate = limit(config);
        let told = Subscribed::to(&gate);
        for _ in 0..3 {
            let permit = take(&gate, CREATE, at(0)).unwrap();
            give_back(&gate, CREATE, permit, at(0));
        }
        assert_eq!(told.times(), 0, "no call was turned away");
        let permit = take(&gate, CREATE, at(0)).unwrap();
        assert!(take(&gate, CREATE, at(0)).is_err());
        give_back(&gate, CREATE, permit, at(0));
        assert_eq!(told.times(), 1);
        let permit = take(&gate, CREATE, at(0)).unwrap();
        let check = gate.check(Some(&RequestInfo::new(CREATE)), &Now::at(at(0)));
        assert!(matches!(check, Some(No::Wait { .. })));
        give_back(&gate, CREATE, permit, at(0));
        assert_eq!(told.times(), 1, "a check turns a call away as well");
        // A pair whose other gate says no: as often as it likes.
        for _ in 0..3 {
            let permit = take(&gate, CREATE, at(0)).unwrap();
            give_back(&gate, CREATE, permit, at(0));
        }
        assert_eq!(told.times(), 0, "it would wake its own queue");
    }
}

#[test]
fn a_pace_that_quickens_notifies_and_the_call_that_was_turned_away_gets_through_sooner() {
    let gate = limit(enforced());
    let told = Subscribed::to(&gate);
    let request = RequestInfo::new(CREATE);
    let left = |remaining, reset| Allowance::new(10, remaining, seconds(reset));
    let permits: Vec<_> = (0..3).map(|_| take(&gate, CREATE, at(100)).unwrap()).collect();
    // The form of E2B, and then a 429: a pace.
    let throttled = Verdict::throttled().retry_after(seconds(8));
    let said = [Verdict::success().allowance(left(9, 1)), Verdict::success().allowance(left(4, 2))];
    for (permit, verdict) in permits.into_iter().zip(said.into_iter().chain([throttled])) {
        record(&gate, &request, permit, &Completion::new(verdict, at(100), at(100)));
    }
    let open = take(&gate, CREATE, at(100)).unwrap_err().0;
    let permit = take(&gate, CREATE, open).unwrap();
    let (before, _) = take(&gate, CREATE, open).unwrap_err();
    let verdict = Verdict::success().allowance(left(9, 1));
    record(&gate, &request, permit, &Completion::new(verdict, open, open));
    assert_eq!(told.times(), 1);
    let after = opens(&gate, CREATE, open);
    assert!(after < before, "{after:?} {before:?}");
}

#[test]
fn a_check_says_what_an_acquire_would_and_counts_nothing() {
    let gate = limit(enforced().limit(CREATE, 1));
    let check = |request: Option<&RequestInfo>| gate.check(request, &Now::at(at(1)));
    let request = RequestInfo::new(CREATE);
    assert_eq!(check(Some(&request)), None);
    assert_eq!(gate.status_at(CREATE, at(1)).count, 0);
    send(&gate, CREATE, at(1), Verdict::success());
    let acquired = gate.try_acquire(&request, &Now::at(at(1)), &mut Deferred::new());
    assert_eq!(check(Some(&request)), acquired.err());
    assert_eq!(check(None), None, "another operation may go");
    assert_eq!(gate.snapshot_at(at(1)).by_operation[0].over, 1);
    let watched = RateLimit::classic();
    watched.set_limit(CREATE, Some(1)).unwrap();
    (0..9).for_each(|_| send(&watched, CREATE, at(1), Verdict::success()));
    assert_eq!(watched.check(Some(&request), &Now::at(at(1))), None);
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX),
        Just(Duration::from_nanos(u64::MAX)),
        Just(Duration::from_secs(u64::MAX)),
        any::<u64>().prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

fn instant() -> impl Strategy<Value = Tick> {
    prop_oneof![Just(Tick::ZERO), Just(Tick::MAX), any::<u64>().prop_map(Tick::from_nanos)]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let number = || prop_oneof![Just(0), Just(1), Just(u64::MAX), 0..20_u64, any::<u64>()];
    let told = prop::option::of((number(), number(), duration()));
    (any::<bool>(), prop::option::of(duration()), told).prop_map(|(throttled, after, told)| {
        let mut verdict = if throttled { Verdict::throttled() } else { Verdict::success() };
        verdict.retry_after = after;
        verdict.allowance = told.map(|(limit, left, reset)| Allowance::new(limit, left, reset));
        verdict
    })
}

proptest! {
    #[test]
    fn no_setting_and_no_response_panics_or_holds_for_longer_than_the_longest_hold(
        (window, longest, believed, interval) in (duration(), duration(), duration(), duration()),
        burst in prop_oneof![Just(1), Just(u32::MAX), any::<u32>()],
        shadow in any::<bool>(),
        steps in prop::collection::vec((instant(), instant(), verdict(), 0..3_u64), 1..40),
    ) {
        let config = Config::new("any").shadow(shadow).longest_hold(longest).believed_for(believed);
        let extreme = config.clone().window(window).limit(CREATE, u64::MAX);
        if let Ok(gate) = RateLimit::new(extreme.pace(CREATE, Pace::every(interval).burst(burst))) {
            for (sent, now, verdict, scope) in steps.clone() {
                step(&gate, sent, now, verdict, scope);
                let _ = (gate.status_at(CREATE, now), gate.snapshot_at(now));
            }
        }
        let gate = RateLimit::new(config).unwrap();
        let mut latest = Tick::ZERO;
        for (sent, now, verdict, scope) in steps {
            step(&gate, sent, now, verdict, scope);
            latest = latest.max(now).max(sent);
            let opens = gate.status_at(CREATE, latest).available_in;
            prop_assert!(opens <= longest, "{:?} of {:?}", opens, longest);
        }
    }
}

fn step(gate: &RateLimit, sent: Tick, now: Tick, verdict: Verdict, scope: u64) {
    let request = RequestInfo::new(CREATE).scope(Scope::new(scope));
    let acquired = gate.try_acquire(&request, &Now::at(sent), &mut Deferred::new());
    if let Ok(permit) = acquired {
        record(gate, &request, permit, &Completion::new(verdict, sent, now));
    }
    if let Ok(permit) = gate.try_acquire(&request, &Now::at(now), &mut Deferred::new()) {
        record(gate, &request, permit, &Completion::not_sent(now));
    }
}
