//! Shadow mode: it counts, learns and reports, and lets every attempt through.

use std::time::Duration;

use sandtower_core::{Completion, Gate, Now, Operation, RequestInfo, Verdict};
use sandtower_rate_limit::{Config, OperationSnapshot, Pace, RateLimit};

use crate::gate::Subscribed;
use crate::support::{CREATE, LIST, at, give_back, limit, opens, record, seconds, send, take};
use crate::told::told;

fn shadow() -> Config {
    Config::new("E2B").shadow(true)
}

fn stats(gate: &RateLimit, operation: Operation) -> OperationSnapshot {
    let all = gate.snapshot_at(at(0)).by_operation;
    *all.iter().find(|stats| stats.operation == operation.name()).unwrap()
}

#[test]
fn it_rejects_nothing_and_counts_what_it_would_have_rejected() {
    let gate = limit(shadow().limit(CREATE, 1).pace(CREATE, Pace::every(seconds(1))));
    for _ in 0..10 {
        assert_eq!(gate.check(Some(&RequestInfo::new(CREATE)), &Now::at(at(0))), None);
        send(&gate, CREATE, at(0), Verdict::throttled());
    }
    let stats = stats(&gate, CREATE);
    assert_eq!((stats.count, stats.over, stats.would_reject), (10, 9, 9));
    let status = gate.status_at(CREATE, at(0));
    assert!(status.available_in > seconds(3_600) && !status.enforced);
}

#[test]
fn what_was_not_sent_would_not_have_been_rejected_and_no_more_would_an_exempt_operation() {
    let gate = limit(shadow().limit_each(1).exempt(LIST));
    send(&gate, CREATE, at(0), Verdict::success());
    let never_sent = take(&gate, CREATE, at(0)).unwrap();
    assert_eq!(stats(&gate, CREATE).would_reject, 1);
    give_back(&gate, CREATE, never_sent, at(0));
    assert_eq!(stats(&gate, CREATE).would_reject, 0);
    (0..3).for_each(|_| send(&gate, LIST, at(0), Verdict::success()));
    let list = stats(&gate, LIST);
    assert_eq!((list.over, list.would_reject), (2, 0));
}

#[test]
fn the_mode_changes_at_run_time_and_callers_that_wait_are_woken() {
    let gate = limit(Config::new("E2B").limit(CREATE, 1));
    let woken = Subscribed::to(&gate);
    send(&gate, CREATE, at(0), Verdict::success());
    assert!(take(&gate, CREATE, at(0)).is_err() && woken.times() == 0);
    gate.set_shadow(true);
    assert_eq!(woken.times(), 1);
    assert_eq!(opens(&gate, CREATE, at(0)), at(0));
    send(&gate, CREATE, at(0), Verdict::success());
    assert!(gate.is_shadow() && !gate.snapshot_at(at(0)).enforced);
    assert!(!gate.status_at(LIST, at(0)).enforced, "and of an operation that was never sent");
    gate.set_shadow(false);
    assert!(take(&gate, CREATE, at(0)).is_err(), "what was counted meanwhile stands");
    let stats = stats(&gate, CREATE);
    assert_eq!((stats.count, stats.over, stats.would_reject), (2, 3, 1));
    assert!(stats.enforced);
}

#[test]
fn a_reset_keeps_the_mode_and_the_count() {
    let gate = limit(Config::new("E2B").limit(CREATE, 1));
    gate.set_shadow(true);
    (0..3).for_each(|_| send(&gate, CREATE, at(0), Verdict::success()));
    gate.reset(CREATE);
    assert_eq!((stats(&gate, CREATE).count, stats(&gate, CREATE).would_reject), (0, 2));
    (0..2).for_each(|_| send(&gate, CREATE, at(0), Verdict::success()));
    assert_eq!(stats(&gate, CREATE).would_reject, 3);
}

#[test]
fn it_is_logged_once_in_ten_seconds_for_each_operation_with_the_count() {
    let fields = ["level", "name", "operation", "reason", "count", "message"];
    let told = told(fields, || {
        let gate = limit(shadow().limit_each(1).warn_at([]));
        for second in 0..15 {
            let request = RequestInfo::new(CREATE);
            let permit = take(&gate, CREATE, at(second)).unwrap();
            let done = Completion::new(Verdict::success(), at(second), at(second));
            record(&gate, &request, permit, &done);
        }
        (0..2).for_each(|_| send(&gate, LIST, at(15), Verdict::success()));
    });
    let row = |operation, count| {
        let message = "rate limit would have rejected attempts";
        ["INFO", "E2B", operation, "over_limit", count, message]
    };
    let list = row("sandbox_list", "1");
    assert_eq!(told, [row("sandbox_create", "1"), row("sandbox_create", "10"), list]);
}

#[test]
fn a_server_that_asks_for_a_pause_is_ignored_and_learned_of() {
    let gate = limit(shadow());
    send(&gate, CREATE, at(0), Verdict::throttled().retry_after(seconds(30)));
    assert_eq!(opens(&gate, CREATE, at(1)), at(1));
    let available = gate.status_at(CREATE, at(1)).available_in;
    assert!(available >= seconds(29) && available < Duration::from_secs(31));
    gate.set_shadow(false);
    assert!(opens(&gate, CREATE, at(1)) >= at(30), "left, it obeys");
}
