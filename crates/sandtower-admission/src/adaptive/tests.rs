use proptest::prelude::*;
use sandtower_core::Verdict;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A simulated service that completes one round after another, on its own clock.
struct Service {
    learner: Learner,
    now: Tick,
}

impl Service {
    fn new(terms: Adaptive) -> Self {
        Self { learner: Learner::new(terms), now: Tick::ZERO + SECOND }
    }

    fn limit(&self) -> u32 {
        self.learner.limit()
    }

    /// Sends as many attempts as the limit allows; all take `took` and end with `verdict`.
    fn round(&mut self, took: Duration, verdict: Verdict) {
        let (sent, in_flight) = (self.now, self.limit());
        self.now += took;
        self.learner.used_up();
        for _ in 0..in_flight.max(SHORTEST_ROUND) {
            self.learner.learn(&Completion::new(verdict, sent, self.now), in_flight);
        }
    }

    fn rounds(&mut self, rounds: u32, took: Duration, verdict: Verdict) {
        (0..rounds).for_each(|_| self.round(took, verdict));
    }
}

#[test]
fn the_limit_starts_low_and_doubles_while_latency_is_stable() {
    let mut service = Service::new(Adaptive::recommended());
    let mut limits = vec![service.limit()];
    for _ in 0..4 {
        service.round(SECOND, Verdict::success());
        limits.push(service.limit());
    }
    assert_eq!(limits, [2, 4, 8, 16, 32]);
}

#[test]
fn the_limit_grows_only_if_it_was_in_use() {
    let mut service = Service::new(Adaptive::recommended());
    for _ in 0..100 {
        let done = Completion::new(Verdict::success(), service.now, service.now + SECOND);
        service.learner.learn(&done, 1);
    }
    assert_eq!(service.limit(), 2);
}

#[test]
fn latency_that_rises_with_the_queue_lowers_the_limit_to_the_capacity() {
    let mut service = Service::new(Adaptive::recommended());
    // Ten at a time take a second; more of them wait for each other.
    for _ in 0..200 {
        let took = SECOND.mul_f64(f64::from(service.limit().max(10)) / 10.0);
        service.round(took, Verdict::success());
    }
    assert!((10..=25).contains(&service.limit()), "{}", service.limit());
}

#[test]
fn a_whole_queue_that_times_out_lowers_the_limit_once() {
    let mut service = Service::new(Adaptive::recommended().initial(40));
    service.round(SECOND, Verdict::success());
    let before = service.limit();
    let (sent, timeout) = (service.now, Verdict::transient(Effect::Maybe));
    for late in 0..before {
        let now = sent + 5 * SECOND + SECOND * late / 100;
        service.learner.learn(&Completion::new(timeout, sent, now), before);
    }
    assert_eq!(service.limit(), before / 2);
}

#[test]
fn timeouts_never_move_the_baseline() {
    let mut service = Service::new(Adaptive::recommended());
    service.rounds(5, SECOND, Verdict::success());
    let baseline = service.learner.baseline().unwrap();
    service.rounds(100, 5 * SECOND, Verdict::transient(Effect::Maybe));
    assert_eq!(service.learner.baseline().unwrap(), baseline);
    assert_eq!(service.limit(), 1);
}

#[test]
fn a_service_that_is_permanently_slower_is_not_starved() {
    let mut service = Service::new(Adaptive::recommended().initial(8));
    service.rounds(3, SECOND, Verdict::success());
    // However few are sent, each takes three seconds now: that is no queue.
    service.rounds(300, 3 * SECOND, Verdict::success());
    assert!(service.limit() >= 8, "{}", service.limit());
}

#[test]
fn an_exhausted_service_sets_the_limit_to_what_was_granted() {
    let mut service = Service::new(Adaptive::recommended().initial(30));
    let exhausted = Completion::new(Verdict::exhausted(), service.now, service.now);
    service.learner.learn(&exhausted, 21);
    assert_eq!(service.limit(), 20);
}

#[test]
fn the_limit_can_always_grow_from_its_floor() {
    for failures in [5, 10, 1_000] {
        let mut service = Service::new(Adaptive::recommended());
        service.round(SECOND, Verdict::success());
        service.rounds(failures, SECOND, Verdict::transient(Effect::None));
        assert_eq!(service.limit(), 1);
        let mut rounds = 0;
        while service.limit() < 10 {
            service.round(SECOND, Verdict::success());
            rounds += 1;
            assert!(rounds <= 30, "after {failures} failed rounds it stays at {}", service.limit());
        }
    }
}

#[test]
fn a_dead_service_that_fails_fast_does_not_lower_the_limit() {
    let mut service = Service::new(Adaptive::recommended());
    service.rounds(3, SECOND, Verdict::success());
    let before = service.limit();
    service.rounds(50, SECOND / 100, Verdict::transient(Effect::None));
    assert_eq!(service.limit(), before);
}

#[test]
fn a_limit_that_keeps_failing_is_tried_less_often() {
    let mut service = Service::new(Adaptive::recommended());
    let tried = (0..200)
        .filter(|_| {
            let too_many = service.limit() > 1;
            let verdict =
                if too_many { Verdict::transient(Effect::None) } else { Verdict::success() };
            service.round(SECOND, verdict);
            too_many
        })
        .count();
    assert!((2..=30).contains(&tried), "tried {tried} times in 200 rounds");
}

/// The baseline after a round of `successes` that took `seconds` each, if it was 1 s before.
fn baseline_after(successes: u32, seconds: f64, used: bool, limit: f64, last: Option<Last>) -> f64 {
    let mut learner = Learner { baseline: Some(1.0), limit, last, ..of_limit(1) };
    let success_seconds = f64::from(successes) * seconds;
    learner
        .learn_baseline(&Round { successes, success_seconds, used, ..Round::default() }, seconds);
    learner.baseline.unwrap()
}

fn of_limit(limit: u32) -> Learner {
    Learner::new(Adaptive::recommended().initial(limit))
}

#[test]
fn the_baseline_falls_fast_and_rises_slowly_and_only_where_a_queue_cannot_be_the_cause() {
    let last = |limit, mean| Some(Last { limit, mean });
    for (successes, seconds, used, limit, last, expected) in [
        // Half of the way down; less if few responses say so.
        (20, 0.6, true, 10.0, None, 0.8),
        (40, 0.6, false, 10.0, None, 0.8),
        (10, 0.6, true, 10.0, None, 0.9),
        // A fifth of the way up, if some slots were free.
        (20, 2.0, false, 10.0, None, 1.2),
        (5, 2.0, false, 10.0, None, 1.05),
        (20, 2.0, true, 10.0, None, 1.0),
        // All were in use, but fewer than before, and latency did not fall.
        (20, 2.0, true, 8.0, last(10.0, 2.0), 1.2),
        (20, 2.0, true, 9.5, last(10.0, 2.0), 1.0),
        (20, 2.0, true, 10.0, last(8.0, 2.0), 1.0),
        (20, 2.0, true, 8.0, last(10.0, 2.5), 1.0),
        (0, 2.0, false, 10.0, None, 1.0),
    ] {
        let baseline = baseline_after(successes, seconds, used, limit, last);
        let case = (successes, seconds, used, limit, last);
        assert!((baseline - expected).abs() < 1e-9, "{case:?}: {baseline} and not {expected}");
    }
}

#[test]
fn what_an_attempt_says_follows_from_how_it_ended_and_how_long_it_took() {
    // Responses and failures of the round, and the limit.
    let (nothing, counts) = ((0, 0, 10), (1, 0, 10));
    let (fails, ends) = ((1, 1, 10), (0, 0, 5));
    let (timeout, error) = (Verdict::transient(Effect::Maybe), Verdict::transient(Effect::None));
    for (verdict, seconds, expected) in [
        (Verdict::success(), 9.0, counts),
        // Faster than half of the baseline: no sign of overload.
        (error, 0.4, nothing),
        (error, 0.6, fails),
        (Verdict::unknown(), 0.6, fails),
        (error.about_caller(), 0.6, nothing),
        // 2.6 times the baseline is slow. A timeout ends the round at once, an error does not.
        (timeout, 2.5, fails),
        (timeout, 2.7, ends),
        (error, 2.7, fails),
        (Verdict::cancelled(), 2.5, nothing),
        (Verdict::cancelled(), 2.7, ends),
        (Verdict::cancelled().about_caller(), 2.7, nothing),
        (Verdict::throttled(), 1.0, nothing),
        (Verdict::permanent(), 1.0, nothing),
    ] {
        let mut learner = Learner { baseline: Some(1.0), ..of_limit(10) };
        let now = Tick::ZERO + SECOND.mul_f64(seconds);
        learner.learn(&Completion::new(verdict, Tick::ZERO, now), 10);
        let round = &learner.round;
        let is = (round.answers, round.failed, learner.limit());
        assert_eq!(is, expected, "{verdict:?} after {seconds} s");
    }
}

/// The limit after a round of 20, of which some failed, at a baseline of 1 s; slow start is over.
fn limit_after(limit: u32, failed: u32, seconds: f64, used: bool) -> f64 {
    let mut learner = Learner { baseline: Some(1.0), slow_start: false, ..of_limit(limit) };
    let successes = 20 - failed;
    let success_seconds = f64::from(successes) * seconds;
    learner.round =
        Round { answers: 20, seconds: 20.0 * seconds, successes, success_seconds, failed, used };
    learner.end_round(Tick::ZERO + SECOND);
    learner.limit
}

#[test]
fn a_round_sets_the_limit_by_its_latency_or_by_the_share_that_failed() {
    for (limit, failed, seconds, used, expected) in [
        // Latency within the tolerance: a square root more, if all of the limit was in use.
        (100, 0, 1.3, true, 110.0),
        (100, 2, 1.3, true, 110.0),
        (100, 0, 1.0, false, 100.0),
        // Beyond it: by the gradient, at least a half.
        (100, 0, 2.0, true, 75.0),
        (400, 0, 10.0, true, 220.0),
        // At most a tenth may fail.
        (100, 3, 1.0, true, 92.5),
        (100, 10, 1.0, true, 75.0),
        (100, 20, 1.0, true, 50.0),
    ] {
        let after = limit_after(limit, failed, seconds, used);
        let case = (limit, failed, seconds, used);
        assert!((after - expected).abs() < 1e-6, "{case:?}: {after} and not {expected}");
    }
}

#[test]
fn a_limit_that_failed_is_tried_again_after_a_truce_that_doubles_if_it_fails_again() {
    let mut learner = of_limit(40);
    let mut truces = Vec::new();
    for limit in [40.0, 40.0, 31.0, 40.0, 35.0, 40.0, 20.0, 4.0, 1.0] {
        learner.remember_failure(limit);
        truces.push(learner.truce);
    }
    assert_eq!(truces, [2, 4, 8, 16, 16, 16, 2, 2, 2]);
    assert_eq!(learner.failed_at, Some(4.0), "a failure at the floor is not due to the limit");

    learner.failed_at = Some(40.0);
    (learner.limit, learner.truce_left) = (36.0, 2);
    let mut tried = |to| {
        learner.grow(to);
        learner.limit
    };
    assert_eq!([38.0, 42.0, 42.0, 42.0].map(&mut tried), [38.0, 39.0, 39.0, 42.0]);
}

#[test]
fn far_below_the_limit_that_failed_the_limit_doubles() {
    for (limit, expected) in [(16, 32.0), (25, 30.0), (36, 42.0)] {
        let mut learner = Learner { baseline: Some(1.0), slow_start: false, ..of_limit(limit) };
        learner.failed_at = Some(50.0);
        learner.follow(1.0, true);
        assert_eq!(learner.limit, expected);
    }
}

proptest! {
    #[test]
    fn the_limit_always_stays_within_its_bounds(
        events in prop::collection::vec((0..8_u8, 0..20_000_u64, 1..100_u32, any::<bool>()), 0..500),
        ceiling in 1..50_u32,
    ) {
        let mut learner = Learner::new(Adaptive::recommended().ceiling(ceiling));
        let mut now = Tick::ZERO;
        for (kind, millis, in_flight, used) in events {
            let verdict = match kind {
                0 => Verdict::transient(Effect::Maybe),
                1 => Verdict::transient(Effect::None),
                2 => Verdict::unknown(),
                3 => Verdict::exhausted(),
                4 => Verdict::throttled(),
                5 => Verdict::cancelled(),
                6 => Verdict::permanent(),
                _ => Verdict::success(),
            };
            let sent = now;
            now += Duration::from_millis(millis);
            if used {
                learner.used_up();
            }
            learner.learn(&Completion::new(verdict, sent, now), in_flight);
            prop_assert!((1..=ceiling.max(2)).contains(&learner.limit()));
        }
    }
}
