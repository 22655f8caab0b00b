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
