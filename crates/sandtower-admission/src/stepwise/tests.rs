use proptest::prelude::*;
use sandtower_core::{Effect, Rng, Verdict};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FAILED: Verdict = Verdict::transient(Effect::None);

/// A service with a capacity of concurrent calls: beyond it, calls fail after four times as long.
struct Service {
    stepper: Stepper,
    now: Tick,
    bears: u32,
    /// When those in flight were sent, when they end, how, and whether they are trials.
    in_flight: Vec<(Tick, Tick, Verdict, bool)>,
    sent: u32,
    failed: u32,
}

impl Service {
    fn new(bears: u32) -> Self {
        let stepper = Stepper::new(Stepwise::recommended());
        let now = Tick::ZERO + SECOND;
        Self { stepper, now, bears, in_flight: Vec::new(), sent: 0, failed: 0 }
    }

    fn send(&mut self) {
        let load = self.in_flight.len() as u32 + 1;
        let (took, verdict) =
            if load > self.bears { (4 * SECOND, FAILED) } else { (SECOND, Verdict::success()) };
        self.in_flight.push((self.now, self.now + took, verdict, self.stepper.is_trial(load)));
        self.sent += 1;
        if self.in_flight.len() as u32 >= self.stepper.limit() {
            self.stepper.used_up(self.now);
        }
    }

    /// Sends as many as the limit allows, whenever a call has ended.
    fn serve(&mut self, calls: u32) {
        for _ in 0..calls {
            while (self.in_flight.len() as u32) < self.stepper.limit() {
                self.send();
                self.now += SECOND / 100;
            }
            let next = (0..self.in_flight.len()).min_by_key(|&at| self.in_flight[at].1).unwrap();
            let (sent, end, verdict, trial) = self.in_flight.remove(next);
            self.now = self.now.max(end);
            self.failed += u32::from(!verdict.is_success());
            self.stepper.learn(&Completion::new(verdict, sent, self.now), trial);
        }
    }
}

#[test]
fn the_limit_finds_the_capacity_of_the_service() {
    for bears in 1..=10 {
        let mut service = Service::new(bears);
        service.serve(600);
        assert_eq!(service.stepper.limit, bears);
        assert!(service.failed <= 4, "{} of {} for {bears}", service.failed, service.sent);
    }
}

#[test]
fn a_limit_of_ten_takes_some_ninety_responses() {
    let (mut service, mut responses) = (Service::new(10), 0);
    while service.stepper.limit < 10 {
        service.serve(1);
        responses += 1;
    }
    assert!((80..=100).contains(&responses), "{responses}");
}

#[test]
fn trials_become_rare_where_the_service_takes_one_call_at_a_time() {
    let mut service = Service::new(1);
    let mut failed_after = Vec::new();
    while service.sent < 1_000 {
        let failed = service.failed;
        service.serve(1);
        if service.failed > failed {
            failed_after.push(service.sent);
        }
    }
    assert!(failed_after.len() <= 6, "{failed_after:?}");
    assert!(failed_after[1] > 3 * failed_after[0], "{failed_after:?}");
}

#[test]
fn while_a_trial_is_in_flight_no_other_attempt_takes_its_slot() {
    let mut service = Service::new(10);
    service.serve(FIRST_PATIENCE);
    assert_eq!(service.stepper.limit(), 2, "a trial is due");
    service.send();
    service.send();
    assert_eq!(service.stepper.limit(), 1, "the trial is in flight");
}

#[test]
fn the_limit_drops_with_the_capacity_and_grows_again_once_the_service_recovers() {
    let mut service = Service::new(4);
    service.serve(200);
    assert_eq!(service.stepper.limit, 4);
    service.bears = 1;
    service.serve(40);
    assert_eq!(service.stepper.limit, 1);
    service.bears = 4;
    service.serve(2_000);
    assert_eq!(service.stepper.limit, 4);
}

#[test]
fn the_limit_grows_only_if_it_was_in_use() {
    let mut stepper = Stepper::new(Stepwise::recommended().initial(2));
    for second in 0..100 {
        let sent = Tick::ZERO + second * SECOND;
        stepper.learn(&Completion::new(Verdict::success(), sent, sent + SECOND), false);
    }
    assert_eq!(stepper.limit(), 2);
}

#[test]
fn the_next_attempt_replaces_a_trial_that_was_never_sent() {
    let mut service = Service::new(10);
    service.serve(FIRST_PATIENCE);
    service.send();
    service.send();
    service.stepper.trial_was_not_sent();
    assert_eq!(service.stepper.limit(), 2);
}

#[test]
fn a_trial_that_hangs_has_failed() {
    let mut service = Service::new(10);
    service.serve(FIRST_PATIENCE);
    service.send();
    service.send();
    let now = service.now + 10 * SECOND;
    service.stepper.learn(&Completion::new(Verdict::success(), service.now, now), false);
    assert_eq!((service.stepper.limit, service.stepper.trial), (1, Trial::No));
    assert_eq!(service.stepper.patience, FIRST_PATIENCE * MORE_PATIENCE);
}

#[test]
fn fast_failures_and_rejections_of_the_service_do_not_change_the_limit() {
    let mut service = Service::new(10);
    service.serve(200);
    let (limit, sent) = (service.stepper.limit, service.now);
    for verdict in [FAILED, Verdict::throttled(), Verdict::exhausted(), Verdict::permanent()] {
        for _ in 0..100 {
            service.stepper.learn(&Completion::new(verdict, sent, sent + SECOND / 10), false);
        }
    }
    assert_eq!(service.stepper.limit, limit);
}

#[test]
fn at_a_limit_of_one_the_mean_follows_a_slower_service() {
    let mut stepper = Stepper::new(Stepwise::recommended().ceiling(1));
    let mut now = Tick::ZERO + SECOND;
    for seconds in [1, 10] {
        for _ in 0..40 {
            let sent = now;
            now += seconds * SECOND;
            stepper.learn(&Completion::new(Verdict::success(), sent, now), false);
        }
        let mean = stepper.mean().unwrap().as_secs_f64();
        assert!((mean - seconds as f64).abs() < 0.1, "{mean}");
    }
}

#[test]
fn what_a_response_says_follows_from_how_long_it_took() {
    let about_the_caller = Verdict::cancelled().about_caller();
    for (verdict, seconds, limit, expected) in [
        (Verdict::success(), 7.7, 2, Sample::Good),
        (Verdict::success(), 7.9, 2, Sample::Bad),
        // Not even one at a time is faster.
        (Verdict::success(), 7.9, 1, Sample::Good),
        (FAILED, 1.4, 2, Sample::Neither),
        (FAILED, 1.6, 2, Sample::Bad),
        (Verdict::unknown(), 1.6, 2, Sample::Bad),
        (Verdict::cancelled(), 7.7, 2, Sample::Neither),
        (Verdict::cancelled(), 7.9, 2, Sample::Bad),
        (about_the_caller, 7.9, 2, Sample::Neither),
        (Verdict::exhausted(), 7.9, 2, Sample::Neither),
    ] {
        let mut stepper = Stepper::new(Stepwise::recommended().initial(limit));
        stepper.mean = Some(3.0);
        let done = Completion::new(verdict, Tick::ZERO, Tick::ZERO + SECOND.mul_f64(seconds));
        let sample = stepper.classify(&done, seconds);
        assert_eq!(sample, expected, "{verdict:?} after {seconds} s at {limit}");
    }
}

#[test]
fn the_limit_drops_in_proportion_once_two_and_more_than_a_tenth_are_bad() {
    for (limit, good, bad, expected) in [
        (10, 8, 1, 10),
        (10, 8, 2, 8),
        (10, 18, 2, 10),
        (10, 18, 3, 8),
        (10, 0, 2, 1),
        (10, 30, 3, 10),
        // By at least one.
        (2, 17, 2, 1),
        (1, 0, 9, 1),
    ] {
        let mut stepper = Stepper::new(Stepwise::recommended().initial(limit));
        let mut now = Tick::ZERO + SECOND;
        for verdict in [vec![Verdict::success(); good], vec![FAILED; bad]].concat() {
            // None is of an attempt that was sent under a higher limit.
            let sent = now;
            now += SECOND;
            stepper.learn(&Completion::new(verdict, sent, now), false);
        }
        assert_eq!(stepper.limit, expected, "{good} good and {bad} bad at {limit}");
    }
}

#[test]
fn attempts_of_a_higher_limit_do_not_lower_the_next_one() {
    let mut stepper = Stepper::new(Stepwise::recommended().initial(10));
    let (sent, now) = (Tick::ZERO + SECOND, Tick::ZERO + 5 * SECOND);
    for _ in 0..8 {
        stepper.learn(&Completion::new(Verdict::success(), sent, sent + SECOND), false);
    }
    for _ in 0..8 {
        stepper.learn(&Completion::new(FAILED, sent, now), false);
    }
    assert_eq!(stepper.limit, 8);
}

proptest! {
    #[test]
    fn the_limit_always_stays_within_its_bounds_and_can_grow_again(
        seed in any::<u64>(), ceiling in 2_u32..12,
    ) {
        let mut rng = Rng::with_seed(seed);
        let mut stepper = Stepper::new(Stepwise::recommended().ceiling(ceiling));
        let mut now = Tick::ZERO + SECOND;
        for _ in 0..500 {
            now += SECOND.mul_f64(rng.f64());
            match rng.u8(0..8) {
                0 | 1 => stepper.used_up(now),
                2 => stepper.trial_was_not_sent(),
                kind => {
                    let verdict = [
                        FAILED, Verdict::cancelled(), Verdict::exhausted(), Verdict::success(),
                        Verdict::success(),
                    ][usize::from(kind) - 3];
                    let sent = Tick::from_nanos(now.as_nanos().saturating_sub(rng.u64(0..3_000_000_000)));
                    stepper.learn(&Completion::new(verdict, sent, now), rng.bool());
                }
            }
            prop_assert!((1..=ceiling).contains(&stepper.limit), "{stepper:?}");
            prop_assert!(stepper.limit() <= ceiling, "{stepper:?}");
        }
        // From any state: a healthy service under load.
        let before = stepper.limit;
        for _ in 0..2 * LONGEST_PATIENCE {
            stepper.used_up(now);
            let sent = now;
            now += SECOND;
            stepper.learn(&Completion::new(Verdict::success(), sent, now), true);
        }
        prop_assert!(stepper.limit > before || before == ceiling, "{stepper:?}");
    }
}
