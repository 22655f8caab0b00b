//! The rate limit as a gate, on a clock of numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sandtower_core::{
    Allowance, Completion, Gate, Operation, Reason, Rejection, RequestInfo, Scope, Subscriber,
    Take, Tick, Verdict,
};
use sandtower_rate_limit::{Config, Mode, Pace, RateLimit, Token};

const CREATE: Operation = Operation::new(1, "sandbox_create");
const LIST: Operation = Operation::new(2, "sandbox_list");
const HOUR: u64 = 3600;

fn at(seconds: u64) -> Tick {
    Tick::ZERO + Duration::from_secs(seconds)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn limit(config: Config) -> RateLimit {
    RateLimit::new(config).unwrap()
}

fn enforced() -> Config {
    Config::new("E2B").mode(Mode::Enforce)
}

fn take(gate: &RateLimit, operation: Operation, now: Tick) -> Result<Token, (Tick, Rejection)> {
    match gate.take(&RequestInfo::new(operation), now) {
        Take::Open(token) => Ok(token),
        Take::NotBefore(when, rejection) => Err((when, rejection)),
        Take::Reject(rejection) => panic!("a rate limit always says when: {rejection}"),
    }
}

/// Sends one at `now` that is answered `verdict` at once.
fn send(gate: &RateLimit, operation: Operation, now: Tick, verdict: Verdict) {
    let token = take(gate, operation, now).unwrap();
    gate.settle(&RequestInfo::new(operation), token, &Completion::new(verdict, now, now));
}

#[test]
fn the_original_counts_to_a_hundred_an_hour_and_lets_everything_through() {
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
    let gate = limit(Config::new("E2B").limit(CREATE, 2));
    for second in [0, 10, 2000] {
        send(&gate, CREATE, at(second), Verdict::success());
    }
    send(&gate, LIST, at(2000), Verdict::success());
    let seen = |now| {
        let stats = gate.stats_at(now);
        let by = stats.by_operation.iter().map(|by| (by.operation, by.count)).collect::<Vec<_>>();
        (stats.total, by)
    };
    assert_eq!(seen(at(2000)), (4, vec![("sandbox_create", 3), ("sandbox_list", 1)]));
    assert_eq!(seen(at(2000 + 1900)), (2, vec![("sandbox_create", 1), ("sandbox_list", 1)]));
    assert_eq!(seen(at(3 * HOUR)), (0, vec![("sandbox_create", 0), ("sandbox_list", 0)]));
}

#[test]
fn a_snapshot_can_be_serialized() {
    let gate = RateLimit::classic();
    send(&gate, CREATE, at(1), Verdict::success());
    let json = serde_json::to_value(gate.stats_at(at(1))).unwrap();
    assert_eq!(json["total"], 1);
    assert_eq!(json["by_operation"][0]["operation"], "sandbox_create");
    let json = serde_json::to_value(gate.status_at(CREATE, at(1))).unwrap();
    assert_eq!(json["remaining"], 99);
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
fn museum_21_a_token_that_was_never_sent_comes_back() {
    let pace = Pace::every(seconds(1));
    let gate = limit(enforced().limit(CREATE, 1).pace(CREATE, pace));
    for _ in 0..1000 {
        let token = take(&gate, CREATE, at(5)).unwrap();
        gate.give_back(&RequestInfo::new(CREATE), token);
    }
    assert_eq!(gate.status_at(CREATE, at(5)).count, 0);
    assert!(take(&gate, CREATE, at(5)).is_ok());
}

#[test]
fn museum_22_no_edge_of_a_window_lets_twice_the_limit_through() {
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
fn museum_22_huge_limits_and_periods_neither_panic_nor_allocate_up_front() {
    let pace = Pace::every(Duration::MAX).burst(u32::MAX);
    let config = enforced().window(Duration::MAX).limit(CREATE, u64::MAX).pace(CREATE, pace);
    let gate = limit(config);
    for now in [Tick::ZERO, at(1), Tick::MAX] {
        let token = take(&gate, CREATE, now).unwrap();
        gate.give_back(&RequestInfo::new(CREATE), token);
        let status = gate.status_at(CREATE, now);
        assert_eq!(status.remaining, Some(u64::MAX));
    }
}

#[test]
fn museum_24_no_traffic_makes_it_grow_beyond_256_operations() {
    let gate = limit(enforced());
    for index in 0..=u8::MAX {
        send(&gate, Operation::new(index, "any"), at(0), Verdict::success());
        send(&gate, Operation::new(index, "other"), at(0), Verdict::success());
    }
    assert_eq!(gate.stats_at(at(0)).by_operation.len(), 256);
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
fn the_last_reason_to_pass_is_the_one_that_is_told() {
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
    assert_eq!(gate.stats_at(at(1)).by_operation[0].over, 100);
}

#[test]
fn observing_it_never_says_no_and_counts_how_often_it_would_have() {
    let config = Config::new("E2B").limit(CREATE, 1).pace(CREATE, Pace::every(seconds(1)));
    let gate = limit(config);
    for _ in 0..10 {
        send(&gate, CREATE, at(0), Verdict::throttled());
    }
    let stats = gate.stats_at(at(0)).by_operation[0];
    assert_eq!((stats.count, stats.over), (10, 9));
    assert!(gate.status_at(CREATE, at(0)).available_in > seconds(HOUR));
}

#[test]
fn a_server_that_throttles_is_left_alone_in_that_operation_only() {
    let gate = limit(enforced());
    send(&gate, CREATE, at(0), Verdict::throttled().retry_after(seconds(3)));
    let (when, rejection) = take(&gate, CREATE, at(1)).unwrap_err();
    assert_eq!(when, at(4));
    assert_eq!(rejection.retry_after(), Some(seconds(3)));
    assert!(take(&gate, LIST, at(1)).is_ok());
    assert!(take(&gate, CREATE, at(4)).is_ok());
}

#[test]
fn a_used_up_allowance_on_a_success_holds_until_one_is_back() {
    let gate = limit(enforced());
    for _ in 0..4 {
        send(&gate, CREATE, at(0), Verdict::success());
    }
    let allowance = Allowance::new(5, 0, seconds(10));
    send(&gate, CREATE, at(0), Verdict::success().allowance(allowance));
    let (when, rejection) = take(&gate, CREATE, at(0)).unwrap_err();
    // All of it takes more than 9 s: one takes at least 1.8 s, and at most a fourth of the 10.
    assert_eq!(when, at(0) + Duration::from_millis(2_500));
    assert_eq!(rejection.reason(), Reason::OverLimit { count: 5, limit: 5 });
}

#[test]
fn learning_can_be_turned_off() {
    let gate = limit(enforced().longest_hold(Duration::ZERO));
    send(&gate, CREATE, at(0), Verdict::throttled().retry_after(seconds(30)));
    assert!(take(&gate, CREATE, at(0)).is_ok());
}

#[test]
fn an_attempt_from_before_a_reset_changes_nothing_after_it() {
    let gate = limit(enforced().limit(CREATE, 2).pace(CREATE, Pace::every(seconds(1)).burst(2)));
    let never_sent = take(&gate, CREATE, at(0)).unwrap();
    let throttled = take(&gate, CREATE, at(0)).unwrap();
    gate.reset(CREATE);
    send(&gate, CREATE, at(0), Verdict::success());
    gate.give_back(&RequestInfo::new(CREATE), never_sent);
    let verdict = Verdict::throttled().retry_after(seconds(30));
    gate.settle(&RequestInfo::new(CREATE), throttled, &Completion::new(verdict, at(0), at(0)));
    let status = gate.status_at(CREATE, at(0));
    assert_eq!((status.count, status.remaining), (1, Some(1)));
    assert_eq!(status.available_in, Duration::ZERO);
}

#[test]
fn who_waits_is_told_when_an_operator_raises_the_limit_or_resets() {
    #[derive(Default)]
    struct Told(AtomicU32);
    impl Subscriber for Told {
        fn changed(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let gate = limit(enforced().limit(CREATE, 1));
    let told = Arc::new(Told::default());
    let weak = Arc::downgrade(&told);
    gate.watch(weak);
    send(&gate, CREATE, at(0), Verdict::success());
    assert!(take(&gate, CREATE, at(0)).is_err());
    gate.set_limit(CREATE, Some(2)).unwrap();
    assert!(take(&gate, CREATE, at(0)).is_ok());
    gate.reset(CREATE);
    assert_eq!(told.0.load(Ordering::Relaxed), 2);
    assert!(gate.set_limit(CREATE, Some(0)).is_err());
    gate.set_limit(CREATE, None).unwrap();
    assert_eq!(gate.status_at(CREATE, at(0)).limit, None);
}

#[test]
fn what_was_learned_long_ago_is_forgotten() {
    let gate = limit(enforced().longest_hold(seconds(HOUR)).believed_for(seconds(60)));
    let told = Allowance::new(5, 0, seconds(HOUR));
    send(&gate, CREATE, at(0), Verdict::throttled().allowance(told).retry_after(seconds(HOUR)));
    assert!(take(&gate, CREATE, at(60)).is_err());
    assert!(take(&gate, CREATE, at(61)).is_ok());
}

#[test]
fn scopes_of_one_operation_are_held_back_apart() {
    let gate = limit(enforced());
    let info = |id| RequestInfo::new(CREATE).scope(Scope::new(id));
    let Take::Open(token) = gate.take(&info(1), at(0)) else { panic!("nothing is known yet") };
    let verdict = Verdict::throttled().retry_after(seconds(9));
    gate.settle(&info(1), token, &Completion::new(verdict, at(0), at(0)));
    assert!(matches!(gate.take(&info(1), at(1)), Take::NotBefore(..)));
    assert!(matches!(gate.take(&info(2), at(1)), Take::Open(_)));
}
