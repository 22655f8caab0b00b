//! What is learned of a server's limit against a server with that limit, and E2B's roundings.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{Allowance, Completion, Tick, Verdict};
use sandtower_rate_limit::{Pace, Shadow};

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;

/// The server's GCRA. It floors `Retry-After` and rounds up the time to a full allowance.
#[derive(Debug)]
struct Server {
    interval: u64,
    burst: u64,
    full: u64,
}

impl Server {
    fn classify(&mut self, now: u64) -> Verdict {
        let depth = self.interval * self.burst;
        let owed = self.full.saturating_sub(now);
        let told = |remaining, owed: u64| {
            Allowance::new(self.burst, remaining, Duration::from_secs(owed.div_ceil(SECOND)))
        };
        if owed + self.interval > depth {
            let wait = (owed + self.interval - depth) / SECOND;
            let verdict = Verdict::throttled().retry_after(Duration::from_secs(wait));
            return verdict.allowance(told(0, owed));
        }
        let owed = owed + self.interval;
        self.full = now + owed;
        Verdict::success().allowance(told((depth - owed) / self.interval, owed))
    }
}

fn tick(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

fn server() -> impl Strategy<Value = Server> {
    let interval = prop_oneof![Just(1_000), Just(200), 20..5_000_u64];
    (interval, 1..20_u64).prop_map(|(millis, burst)| Server {
        interval: millis * MILLI,
        burst,
        full: 0,
    })
}

proptest! {
    #[test]
    fn the_interval_is_never_lost_whatever_others_do(
        mut server in server(),
        steps in prop::collection::vec((0..3_000_u64, 0..200_u64, 0..200_u64, 0..4_u32), 1..100),
    ) {
        let (mut shadow, interval) = (Shadow::new(1), server.interval);
        let mut now = SECOND;
        for (wait, there, back, others) in steps {
            now += wait * MILLI;
            let attempt = shadow.took(tick(now));
            let arrives = now + there * MILLI;
            for _ in 0..others {
                server.classify(arrives);
            }
            let verdict = server.classify(arrives);
            let answered = arrives + back * MILLI;
            shadow.learn(attempt, &Completion::new(verdict, tick(now), tick(answered)));
            now = answered;
            let learned = shadow.learned().unwrap();
            prop_assert!(learned.interval_low <= Duration::from_nanos(interval));
            prop_assert!(learned.interval_high.is_none_or(|high| high >= Duration::from_nanos(interval)));
        }
    }

    #[test]
    fn alone_one_who_comes_when_it_says_is_never_throttled(
        mut server in server(),
        waits in prop::collection::vec(0..3_000_u64, 1..100),
        known in any::<bool>(),
        way in 0..100_u64,
    ) {
        let mut shadow = Shadow::new(1);
        if known {
            shadow = shadow.knowing(Pace::every(Duration::from_nanos(server.interval)));
        }
        let mut now = SECOND;
        for wait in waits {
            now = (now + wait * MILLI).max(shadow.opens(tick(now)).as_nanos());
            let attempt = shadow.took(tick(now));
            let verdict = server.classify(now + way * MILLI);
            prop_assert!(verdict.is_success());
            now += 2 * way * MILLI;
            shadow.learn(attempt, &Completion::new(verdict, tick(now - 2 * way * MILLI), tick(now)));
        }
    }

    #[test]
    fn alone_no_jitter_of_the_network_is_taken_for_others(
        mut server in server(),
        ways in prop::collection::vec(0..20_u64, 300),
    ) {
        let (mut shadow, mut now, mut throttled) = (Shadow::new(1), SECOND, 0);
        // Less than the slack, whatever the interval.
        let share = server.interval.min(400 * MILLI) / (400 * MILLI / 20) / 4;
        for way in ways {
            now = shadow.opens(tick(now)).as_nanos().max(now);
            let attempt = shadow.took(tick(now));
            let there = way * share;
            let verdict = server.classify(now + there);
            throttled += u64::from(!verdict.is_success());
            shadow.learn(attempt, &Completion::new(verdict, tick(now), tick(now + 2 * there)));
            prop_assert!(!shadow.learned().unwrap().shared);
            now += 2 * there;
        }
        prop_assert!(throttled < 150, "{throttled}");
    }

    #[test]
    fn alone_and_with_the_interval_known_none_of_the_limit_is_lost_but_the_way(
        millis in 20..2_000_u64,
        burst in 1..20_u64,
    ) {
        let mut server = Server { interval: millis * MILLI, burst, full: 0 };
        let mut shadow = Shadow::new(1).knowing(Pace::every(Duration::from_millis(millis)));
        let mut now = SECOND;
        for _ in 0..100 {
            now = shadow.opens(tick(now)).as_nanos().max(now);
            let attempt = shadow.took(tick(now));
            let verdict = server.classify(now);
            shadow.learn(attempt, &Completion::new(verdict, tick(now), tick(now)));
        }
        prop_assert!(now - SECOND <= (100 - burst.min(100)) * millis * MILLI + millis * MILLI);
    }

    #[test]
    fn nothing_that_a_server_says_panics_or_holds_for_ever(
        said in prop::collection::vec(
            (any::<u64>(), any::<u64>(), any::<u64>(), any::<Option<u64>>(), any::<bool>()),
            1..50,
        ),
        start in any::<u64>(),
    ) {
        let mut shadow = Shadow::new(1).longest_hold(Duration::from_secs(60));
        for (limit, remaining, reset, wait, throttled) in said {
            let told = Allowance::new(limit, remaining, Duration::from_secs(reset));
            let verdict = if throttled { Verdict::throttled() } else { Verdict::success() };
            let mut verdict = verdict.allowance(told);
            if let Some(wait) = wait {
                verdict = verdict.retry_after(Duration::from_secs(wait));
            }
            let attempt = shadow.took(tick(start));
            shadow.learn(attempt, &Completion::new(verdict, tick(start), tick(start)));
            let _ = shadow.opens(tick(start));
            shadow.give_back(attempt);
        }
    }
}

/// One attempt sent at `sent` and answered at `now`, both in milliseconds.
fn learn(shadow: &mut Shadow, sent: u64, now: u64, verdict: Verdict) {
    let attempt = shadow.took(tick(sent * MILLI));
    shadow.learn(attempt, &Completion::new(verdict, tick(sent * MILLI), tick(now * MILLI)));
}

#[test]
fn a_long_answer_costs_no_time_since_the_server_counted_when_it_arrived() {
    let mut shadow = Shadow::new(1);
    let told = |seconds| Allowance::new(1, 0, Duration::from_secs(seconds));
    learn(&mut shadow, 0, 20, Verdict::success().allowance(told(1)));
    learn(&mut shadow, 2_000, 5_000, Verdict::success().allowance(told(1)));
    assert_eq!(shadow.opens(tick(5_000 * MILLI)), tick(3_020 * MILLI));
}

#[test]
fn others_are_seen_by_what_they_took() {
    let mut shadow = Shadow::new(1);
    let told = |remaining| Allowance::new(10, remaining, Duration::from_secs(2));
    learn(&mut shadow, 0, 20, Verdict::success().allowance(told(9)));
    assert!(!shadow.learned().unwrap().shared);
    learn(&mut shadow, 100, 120, Verdict::success().allowance(told(3)));
    assert!(shadow.learned().unwrap().shared);
}
