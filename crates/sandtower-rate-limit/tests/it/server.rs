//! What a server says of its own limit, and what the rate limit makes of it.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{Allowance, Completion, Reason, RequestInfo, Rng, Scope, Seed, Tick, Verdict};
use sandtower_rate_limit::{Config, RateLimit};

use crate::clients::Server;
use crate::support::{CREATE, LIST, acquire, at, limit, opens, record, seconds, send, take};

fn seeded(seed: u64) -> RateLimit {
    limit(Config::new("E2B").seed(Seed::fixed(seed)))
}

/// When the next attempt may go after one that got `verdict` at `now`.
fn opens_after(gate: &RateLimit, now: Tick, verdict: Verdict) -> Tick {
    send(gate, CREATE, now, verdict);
    opens(gate, CREATE, now)
}

#[test]
fn no_hold_while_much_is_left_of_a_fixed_window() {
    // 5,000 an hour, of which 4,990 are left.
    for left in [4_990, 2_500, 60] {
        let (gate, mut now) = (seeded(1), at(0));
        for call in 0..50 {
            now = match take(&gate, CREATE, now) {
                Ok(permit) => {
                    let (sent, answered) = (now, now + Duration::from_millis(100));
                    let reset = Duration::from_secs(3_590).saturating_sub(now.since(at(0)));
                    let reset = seconds(reset.as_secs() + 1);
                    let said = Allowance::new(5_000, left - call - 1, reset);
                    let verdict = Verdict::success().allowance(said);
                    let done = Completion::new(verdict, sent, answered);
                    record(&gate, &RequestInfo::new(CREATE), permit, &done);
                    answered
                }
                Err((when, why)) => panic!("held until {when:?}: {why}"),
            };
        }
        assert!(now < at(10), "{now:?}");
    }
}

#[test]
fn one_success_with_much_left_holds_nothing() {
    for (limit, left, reset) in [(5_000, 4_989, 3_600), (5_000, 1, 3_600), (10, 9, 1), (2, 1, 60)] {
        let said = Allowance::new(limit, left, seconds(reset));
        let opens = opens_after(&seeded(1), at(5), Verdict::success().allowance(said));
        assert_eq!(opens, at(5), "{said:?}");
    }
}

#[test]
fn retry_after_is_a_floor_whatever_other_fields_are_there() {
    let said = |limit, left, reset| Some(Allowance::new(limit, left, seconds(reset)));
    let fields = [
        None,
        said(100, 0, 30),
        said(100, 0, 59),
        said(100, 0, 1),
        said(100, 0, 0),
        said(100, 99, 1),
        said(100, 50, 30),
        said(1, 0, 1),
        said(10, 0, 2),
        said(0, 0, 0),
        said(u64::MAX, 0, u64::MAX),
    ];
    // What was heard before matters as little.
    let histories: [&[_]; 4] = [
        &[],
        &[said(10, 9, 1), said(10, 4, 2), said(10, 0, 2)],
        &[said(100, 50, 30), said(100, 20, 29)],
        &[said(1, 0, 1)],
    ];
    for history in histories {
        for (seed, allowance) in fields.into_iter().enumerate() {
            let gate = seeded(seed as u64);
            let request = RequestInfo::new(CREATE);
            let permits: Vec<_> =
                history.iter().map(|_| take(&gate, CREATE, at(0)).unwrap()).collect();
            let mut throttled = Verdict::throttled().retry_after(seconds(30));
            throttled.allowance = allowance;
            let permit = take(&gate, CREATE, at(0)).unwrap();
            for (permit, said) in permits.into_iter().zip(history) {
                let verdict = Verdict::success().allowance(said.unwrap());
                record(&gate, &request, permit, &Completion::new(verdict, at(0), at(0)));
            }
            record(&gate, &request, permit, &Completion::new(throttled, at(0), at(0)));
            let (opens, why) = take(&gate, CREATE, at(0)).unwrap_err();
            assert!(opens >= at(30), "{allowance:?} after {history:?}: {opens:?}");
            assert_eq!(why.reason(), Reason::Throttled);
            let alone = allowance.is_none_or(|said| said.reset <= seconds(30));
            assert!(opens <= if alone { at(31) } else { at(60) }, "{allowance:?}: {opens:?}");
        }
    }
}

#[test]
fn a_reset_of_zero_without_retry_after_is_met_by_a_backoff_that_grows() {
    for allowance in [None, Some(Allowance::new(100, 0, Duration::ZERO))] {
        let (gate, mut now, mut waits) = (seeded(2), at(0), Vec::new());
        for _ in 0..8 {
            let mut verdict = Verdict::throttled();
            verdict.allowance = allowance;
            let opens = opens_after(&gate, now, verdict);
            waits.push(opens.since(now).as_secs_f64());
            now = opens;
        }
        // Half of 1, 2, 4 .. 30 s at least, and up to a second more than it.
        for (wait, bound) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
            assert!((bound / 2.0..=bound + 1.0).contains(wait), "{waits:?}");
        }
    }
}

#[test]
fn clients_that_were_throttled_together_do_not_come_back_together() {
    for verdict in [Verdict::throttled(), Verdict::throttled().retry_after(seconds(5))] {
        let mut opens: Vec<_> =
            (0..1_000).map(|seed| opens_after(&seeded(seed), at(100), verdict)).collect();
        opens.sort_unstable();
        opens.dedup();
        assert!(opens.len() > 990);
        assert!(opens[opens.len() - 1].since(opens[0]) > Duration::from_millis(400));
    }
}

#[test]
fn nothing_left_of_a_window_is_waited_for_until_the_reset_and_no_longer_than_allowed() {
    for (reset, expected) in [(0, 0), (1, 1), (30, 30), (59, 59), (61, 60), (u64::MAX, 60)] {
        for limit in [2, 100] {
            let said = Allowance::new(limit, 0, seconds(reset));
            let opens = opens_after(&seeded(1), at(7), Verdict::success().allowance(said));
            assert_eq!(opens, at(7 + expected), "{said:?}");
        }
    }
}

#[test]
fn nothing_left_of_e2bs_form_is_waited_for_until_one_is_back() {
    let gate = seeded(1);
    for (left, reset) in [(9, 1), (4, 2)] {
        let said = Allowance::new(10, left, seconds(reset));
        assert_eq!(opens_after(&gate, at(0), Verdict::success().allowance(said)), at(0));
    }
    let said = Allowance::new(10, 0, seconds(2));
    let wait = opens_after(&gate, at(0), Verdict::success().allowance(said)).since(at(0));
    // One in 200 ms, as far as whole seconds tell.
    assert!(wait >= Duration::from_millis(200) && wait <= Duration::from_millis(250), "{wait:?}");
}

#[test]
fn the_longest_hold_bounds_every_hold() {
    for longest in [seconds(1), seconds(10), seconds(3_600)] {
        for after in [seconds(9), seconds(3_599), seconds(86_400), Duration::MAX] {
            let gate = limit(Config::new("E2B").longest_hold(longest));
            let verdict = Verdict::throttled().retry_after(after);
            let opens = opens_after(&gate, at(0), verdict);
            assert!(opens <= at(0) + longest, "{opens:?} of {longest:?}");
            assert!(opens >= at(0) + longest.min(after), "{opens:?} of {longest:?}");
        }
    }
}

#[test]
fn a_hold_stands_until_its_end_and_a_pace_is_forgotten_when_nothing_more_is_heard() {
    let config = Config::new("E2B").longest_hold(seconds(3_600)).believed_for(seconds(60));
    let gate = limit(config);
    send(&gate, CREATE, at(0), Verdict::throttled().retry_after(seconds(3_600)));
    assert!(take(&gate, CREATE, at(3_599)).is_err());
    // It was paced at one an hour.
    assert!((0..9).all(|_| take(&gate, CREATE, at(3_601)).is_ok()));
}

#[test]
fn a_pace_falls_by_a_factor_at_a_429_and_rises_slowly_with_successes() {
    let gate = seeded(3);
    let paced = || gate.server_limit(CREATE, Scope::ALL).unwrap().paced_every.unwrap();
    let mut now = Tick::now();
    let mut hear = |verdict| {
        now = opens_after(&gate, now, verdict).max(now + Duration::from_millis(1));
        paced()
    };
    let throttled = Verdict::throttled().retry_after(seconds(1));
    assert_eq!(hear(throttled), seconds(1), "one in the time that the first 429 asked for");
    let doubled: Vec<_> = (0..3).map(|_| hear(Verdict::success()).as_millis()).collect();
    assert_eq!(doubled, [500, 250, 125]);
    let cut = hear(throttled).as_secs_f64();
    assert!((cut - 0.125 / 0.7).abs() < 0.001, "{cut}");
    let after_ten = (0..10).map(|_| hear(Verdict::success())).last().unwrap().as_secs_f64();
    assert!(after_ten < cut && after_ten > 0.125, "{after_ten}");
    let after_thirty = (0..20).map(|_| hear(Verdict::success())).last().unwrap().as_secs_f64();
    assert!((after_thirty - 0.125).abs() < 0.005, "{after_thirty}");
}

#[test]
fn a_backoff_is_drawn_at_random_and_begins_anew_after_a_success() {
    let wait = |seed, before: &[Verdict]| {
        let (gate, mut now) = (seeded(seed), at(100));
        for verdict in before {
            now = opens_after(&gate, now, *verdict);
        }
        opens_after(&gate, now, Verdict::throttled()).since(now)
    };
    let (throttled, success) = (Verdict::throttled(), Verdict::success());
    let waits = |before: &[Verdict]| {
        let waits: Vec<_> = (0..200).map(|seed| wait(seed, before)).collect();
        (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
    };
    // Half of a second, up to half of one more, and up to one for what servers cut off.
    let (least, most) = waits(&[]);
    assert!(least >= seconds(1) / 2 && least < seconds(4) / 5, "{least:?}");
    assert!(most <= seconds(2) && most > seconds(3) / 2, "{most:?}");
    // A fourth in a row waits for 4 s at least; the pace of three is 2 s.
    assert!(waits(&[throttled, throttled, throttled]).0 >= seconds(4));
    assert!(waits(&[throttled, throttled, throttled, success]).1 < seconds(4));
}

#[test]
fn successes_of_attempts_that_were_sent_before_a_429_do_not_quicken_the_pace() {
    let gate = seeded(3);
    let request = RequestInfo::new(CREATE);
    let start = Tick::now();
    let permits: Vec<_> = (0..50).map(|_| take(&gate, CREATE, start).unwrap()).collect();
    for (number, permit) in permits.into_iter().enumerate() {
        let now = start + seconds(if number < 25 { 1 } else { 3 });
        let verdict = if number < 25 { Verdict::throttled() } else { Verdict::success() };
        record(&gate, &request, permit, &Completion::new(verdict, start, now));
    }
    let paced = gate.server_limit(CREATE, Scope::ALL).unwrap().paced_every;
    assert!(paced.unwrap() >= seconds(1), "{paced:?}");
}

#[test]
fn many_429s_of_attempts_that_were_sent_together_count_once() {
    let gate = seeded(3);
    let request = RequestInfo::new(CREATE);
    let start = Tick::now();
    let permits: Vec<_> = (0..50).map(|_| take(&gate, CREATE, start).unwrap()).collect();
    for (late, permit) in (0..).zip(permits) {
        let now = start + Duration::from_millis(late);
        let verdict = Verdict::throttled();
        record(&gate, &request, permit, &Completion::new(verdict, start, now));
    }
    let opens = opens(&gate, CREATE, start + seconds(1) / 10);
    assert!(opens.since(start) <= Duration::from_millis(2_050), "{opens:?}: one backoff of 1 s");
    let paced = gate.server_limit(CREATE, Scope::ALL).unwrap().paced_every.unwrap();
    assert!(paced <= seconds(1), "{paced:?}");
}

#[test]
fn a_success_of_an_attempt_that_was_sent_before_does_not_lift_a_hold() {
    let gate = seeded(3);
    let request = RequestInfo::new(CREATE);
    let before = take(&gate, CREATE, at(0)).unwrap();
    send(&gate, CREATE, at(0), Verdict::throttled().retry_after(seconds(30)));
    let said = Allowance::new(10, 9, seconds(1));
    let verdict = Verdict::success().allowance(said);
    record(&gate, &request, before, &Completion::new(verdict, at(0), at(1)));
    assert!(take(&gate, CREATE, at(29)).is_err());
}

#[test]
fn operations_and_scopes_are_held_apart() {
    let gate = seeded(1);
    let scoped = |id| RequestInfo::new(CREATE).scope(Scope::new(id));
    let permit = acquire(&gate, &scoped(1), at(0)).unwrap();
    let verdict = Verdict::throttled().retry_after(seconds(9));
    record(&gate, &scoped(1), permit, &Completion::new(verdict, at(0), at(0)));
    assert!(acquire(&gate, &scoped(1), at(1)).is_err());
    assert!(acquire(&gate, &scoped(2), at(1)).is_ok());
    assert!(take(&gate, LIST, at(1)).is_ok());
}

#[test]
fn a_scope_that_is_held_is_not_forgotten_when_many_others_are_heard_of() {
    for throttled in [false, true] {
        let gate = seeded(1);
        let scoped = |id| RequestInfo::new(CREATE).scope(Scope::new(id));
        for id in 0..500 {
            let Ok(permit) = acquire(&gate, &scoped(id), at(0)) else {
                // All of those without a row of their own share a hold.
                assert!(throttled && id > 64, "{id}");
                continue;
            };
            let verdict = match id == 0 || throttled {
                true => Verdict::throttled().retry_after(seconds(30)),
                false => Verdict::success().allowance(Allowance::new(10, 9, seconds(1))),
            };
            let done = Completion::new(verdict, at(0), at(0));
            record(&gate, &scoped(id), permit, &done);
        }
        assert!(acquire(&gate, &scoped(0), at(29)).is_err());
    }
}

#[test]
fn a_client_alone_uses_the_whole_burst_at_once() {
    for seed in 0..20 {
        let (gate, mut server) = (seeded(seed), Server::new(200_000_000, 10));
        let mut now = at(10);
        for _ in 0..10 {
            let verdict = server.respond(now.as_nanos());
            assert!(verdict.is_success());
            send(&gate, CREATE, now, verdict);
            now += Duration::from_millis(1);
        }
        assert!(take(&gate, CREATE, now).is_err(), "nothing is left");
    }
}

proptest! {
    #[test]
    fn the_emission_interval_is_never_lost_whatever_others_do(
        millis in prop_oneof![Just(1_000), Just(200), 20..5_000_u64],
        burst in 2..20_u64,
        steps in prop::collection::vec((0..3_000_u64, 0..4_u32), 2..100),
    ) {
        let (gate, mut server) = (seeded(1), Server::new(millis * 1_000_000, burst));
        let (mut now, mut was_known) = (Tick::now(), false);
        for (wait, others) in steps {
            now += Duration::from_millis(wait);
            for _ in 0..others {
                let _ = server.respond(now.as_nanos());
            }
            now = opens(&gate, CREATE, now);
            send(&gate, CREATE, now, server.respond(now.as_nanos()));
            let known = gate.server_limit(CREATE, Scope::ALL).unwrap();
            prop_assert!(known.emission_interval.is_none_or(|t| t >= Duration::from_millis(millis)));
            prop_assert!(!was_known || known.emission_interval.is_some(), "taken for a window");
            was_known = known.emission_interval.is_some();
        }
    }

    #[test]
    fn whatever_a_server_says_no_attempt_goes_before_its_retry_after(
        seed in any::<u64>(),
        said in prop::collection::vec((0..50_u64, 0..12_u64, 0..60_u64, any::<bool>(), 0..40_u64), 1..60),
    ) {
        let (gate, mut now, mut rng) = (seeded(seed), at(0), Rng::with_seed(seed));
        let mut floor = at(0);
        for (limit, left, reset, throttled, after) in said {
            now += Duration::from_millis(rng.u64(0..20_000));
            match take(&gate, CREATE, now) {
                Ok(permit) => {
                    prop_assert!(now >= floor);
                    let said = Allowance::new(limit, left, seconds(reset));
                    let verdict = match throttled {
                        true => Verdict::throttled().retry_after(seconds(after)),
                        false => Verdict::success(),
                    };
                    let done = Completion::new(verdict.allowance(said), now, now);
                    record(&gate, &RequestInfo::new(CREATE), permit, &done);
                    floor = if throttled { now + seconds(after) } else { floor };
                }
                Err((when, _)) => prop_assert!(when > now && when <= now + seconds(121)),
            }
        }
    }
}
