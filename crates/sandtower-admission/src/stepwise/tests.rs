use proptest::prelude::*;
use sandtower_core::{Effect, Rng, Verdict};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FAILED: Verdict = Verdict::transient(Effect::None);

/// A service that bears so many at once: beyond that, calls fail after four times as long.
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

    /// As many as may go do, whenever one has ended.
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
fn it_finds_what_the_service_bears() {
    for bears in 1..=10 {
        let mut service = Service::new(bears);
        service.serve(600);
        assert_eq!(service.stepper.limit, bears);
        assert!(service.failed <= 4, "{} of {} for {bears}", service.failed, service.sent);
    }
}

#[test]
fn to_ten_at_once_it_takes_some_ninety_answers() {
    let (mut service, mut answers) = (Service::new(10), 0);
    while service.stepper.limit < 10 {
        service.serve(1);
        answers += 1;
    }
    assert!((80..=100).contains(&answers), "{answers}");
}

#[test]
fn a_service_that_bears_one_at_a_time_is_troubled_more_and_more_rarely() {
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
fn while_a_trial_is_out_nobody_takes_its_slot() {
    let mut service = Service::new(10);
    service.serve(FIRST_PATIENCE);
    assert_eq!(service.stepper.limit(), 2, "a trial is due");
    service.send();
    service.send();
    assert_eq!(service.stepper.limit(), 1, "it is out");
}

#[test]
fn a_service_that_bears_less_than_before_gets_less_and_more_again_when_it_is_well() {
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
fn it_does_not_grow_unless_the_limit_was_used() {
    let mut stepper = Stepper::new(Stepwise::recommended().initial(2));
    for second in 0..100 {
        let sent = Tick::ZERO + second * SECOND;
        stepper.learn(&Completion::new(Verdict::success(), sent, sent + SECOND), false);
    }
    assert_eq!(stepper.limit(), 2);
}

#[test]
fn a_trial_that_was_never_sent_is_made_by_another() {
    let mut service = Service::new(10);
    service.serve(FIRST_PATIENCE);
    service.send();
    service.send();
    service.stepper.trial_was_not_sent();
    assert_eq!(service.stepper.limit(), 2);
}

#[test]
fn a_trial_that_hangs_is_a_failed_one() {
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
fn failures_that_come_at_once_and_answers_that_say_no_leave_it_alone() {
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
fn at_one_at_a_time_a_slower_service_becomes_the_normal_one() {
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

proptest! {
    #[test]
    fn whatever_comes_it_stays_in_its_bounds_and_can_grow_again(
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
        // From wherever it got to: a service that is well, and is used.
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
