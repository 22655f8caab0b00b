//! How soon the rule opens, and how often for nothing.

use sandtower_core::Rng;

use super::*;

fn rule() -> Rule {
    Rule::of(Trip::Cusum(Cusum::default()))
}

/// Feeds a tally one call after the other.
struct Stream {
    rule: Rule,
    tally: Tally,
    now: Tick,
    gap: Duration,
}

impl Stream {
    fn new(rule: Rule, per_second: f64) -> Self {
        let gap = Duration::from_secs_f64(1.0 / per_second);
        Self { rule, tally: Tally::default(), now: Tick::ZERO + Duration::from_secs(60), gap }
    }

    /// Whether this call opens the breaker, which then begins anew.
    fn call(&mut self, fails: bool) -> bool {
        self.now += self.gap;
        if !fails {
            self.tally.alive(&self.rule, self.now);
            return false;
        }
        self.tally.failure(&self.rule, None, self.now);
        let opens = self.tally.is_due(&self.rule, self.now);
        if opens {
            self.tally.clear();
        }
        opens
    }

    /// How many calls it takes to open when a share of them fails.
    fn delay(&mut self, share: f64, rng: &mut Rng) -> u32 {
        self.delay_after(0.0, share, rng)
    }

    /// The same, once another share of them had failed for a while.
    fn delay_after(&mut self, before: f64, share: f64, rng: &mut Rng) -> u32 {
        self.tally.clear();
        (0..100).for_each(|_| _ = self.call(rng.f64() < before));
        (1..).find(|_| self.call(rng.f64() < share)).unwrap()
    }
}

const FEW_AND_MANY: [f64; 4] = [0.1, 1.0, 7.0, 1_000.0];

#[test]
fn a_total_outage_opens_it_with_the_seventh_call_or_the_first_after_a_second() {
    for per_second in FEW_AND_MANY {
        let mut stream = Stream::new(rule(), per_second);
        let calls = stream.delay(1.0, &mut Rng::with_seed(1));
        // The first of the failures is at second 0 of the least duration.
        let least = (per_second.ceil() as u32 + 1).max(7);
        assert!((least..=least + 1).contains(&calls), "{calls} calls at {per_second} a second");
    }
}

#[test]
fn old_successes_do_not_dilute_new_failures() {
    let mut stream = Stream::new(rule(), 1.0);
    (0..10_000).for_each(|_| assert!(!stream.call(false)));
    assert_eq!((1..).find(|_| stream.call(true)), Some(7));
}

#[test]
fn failures_that_faded_away_leave_no_trace() {
    for failures in 1..7 {
        let mut stream = Stream::new(rule(), 1.0);
        (0..failures).for_each(|_| assert!(!stream.call(true)));
        stream.now += rule().half_life.unwrap() * 63;
        assert_eq!((1..100).find(|_| stream.call(true)), Some(7), "after {failures}");
    }
}

#[test]
fn an_outage_of_few_resources_takes_more_failures_and_of_two_it_never_opens() {
    let mut rng = Rng::with_seed(3);
    for (resources, median, p99) in
        [(100, 7, 8), (10, 8, 12), (5, 10, 18), (4, 12, 22), (3, 17, 34)]
    {
        let mut delays: Vec<u64> = (0..20_001)
            .map(|_| {
                let mut tally = Tally::default();
                let mut fails = |second| {
                    let resource = Resource::new(rng.u64(0..resources));
                    let now = Tick::ZERO + Duration::from_secs(second);
                    tally.failure(&rule(), Some(resource), now);
                    tally.is_due(&rule(), now)
                };
                (1..).find(|&second| fails(second)).unwrap()
            })
            .collect();
        delays.sort_unstable();
        println!("{resources} resources: median {}, p99 {}", delays[10_000], delays[19_800]);
        assert!(delays[10_000].abs_diff(median) <= 1, "{resources}: {}", delays[10_000]);
        assert!(delays[19_800].abs_diff(p99) <= 2, "{resources}: {}", delays[19_800]);
    }
    let mut tally = Tally::default();
    for second in 1..10_000 {
        let now = Tick::ZERO + Duration::from_secs(second);
        tally.failure(&rule(), Some(Resource::new(rng.u64(0..2))), now);
        assert!(!tally.is_due(&rule(), now));
    }
}

#[test]
fn when_half_of_the_calls_fail_it_opens_within_dozens() {
    for (before, bounds) in [(0.0, [18..=21, 46..=58]), (0.10, [17..=20, 42..=54])] {
        // The least duration apart, which at 1,000 calls a second is a thousand of them.
        let rule = Rule { at_least: Duration::ZERO, ..rule() };
        let (mut stream, mut rng) = (Stream::new(rule, 1.0), Rng::with_seed(2));
        let mut delays: Vec<_> =
            (0..20_001).map(|_| stream.delay_after(before, 0.5, &mut rng)).collect();
        delays.sort_unstable();
        let (median, p99) = (delays[10_000], delays[19_800]);
        println!("half fail, before that {before}: median {median}, p99 {p99} calls");
        assert!(bounds[0].contains(&median), "median {median}");
        assert!(bounds[1].contains(&p99), "p99 {p99}");
    }
}

/// What a service's failures look like while it is well.
#[derive(Clone, Copy)]
enum Noise {
    /// Each call fails with this probability.
    Independent(f64),
    /// As many fail, but in a row: of this many on average.
    Bursts(f64, f64),
}

impl Noise {
    fn source(self, seed: u64) -> impl FnMut() -> bool {
        let mut rng = Rng::with_seed(seed);
        let mut failing = false;
        move || match self {
            Self::Independent(share) => rng.f64() < share,
            Self::Bursts(share, length) => {
                // A chain of two states with `share` of its time in the failing one.
                let begins = share / (1.0 - share) / length;
                let flips = if failing { 1.0 / length } else { begins };
                failing ^= rng.f64() < flips;
                failing
            }
        }
    }
}

const SEEDS: u64 = 20;

/// Per seed. In release, where the table is measured, there is time for more.
const CALLS: u64 = if cfg!(debug_assertions) { 25_000 } else { 5_000_000 };

fn false_trips_in_a_million(trip: Trip, noise: Noise, per_second: f64) -> f64 {
    let rule = Rule::of(trip);
    let trips: usize = (0..SEEDS)
        .map(|seed| {
            let (mut fails, mut stream) = (noise.source(seed), Stream::new(rule, per_second));
            (0..CALLS).filter(|_| stream.call(fails())).count()
        })
        .sum();
    trips as f64 * 1e6 / (SEEDS * CALLS) as f64
}

/// `cargo test -p sandtower-circuit-breaker --release false_trips -- --nocapture` prints the table
/// of the decision page, of 100 million calls a cell.
#[test]
fn false_trips_are_as_rare_as_promised() {
    let normal = Trip::Cusum(Cusum::default());
    let noisy = Trip::Cusum(Cusum::new(0.15, 0.60));
    let five = Trip::ConsecutiveFailures(5);
    // As measured, in calls a second and in false trips of each of the three.
    let cases = [
        ("5 %", Noise::Independent(0.05), 1.0, [0.01, 0.0, 0.37]),
        ("5 %", Noise::Independent(0.05), 100.0, [0.0, 0.0, 0.37]),
        ("10 %", Noise::Independent(0.10), 1.0, [2.7, 0.05, 9.0]),
        ("10 %", Noise::Independent(0.10), 100.0, [0.0, 0.0, 9.0]),
        ("15 %", Noise::Independent(0.15), 1.0, [93.0, 2.7, 63.0]),
        ("15 %", Noise::Independent(0.15), 100.0, [0.45, 0.0, 63.0]),
        ("5 % in bursts of 1.5", Noise::Bursts(0.05, 1.5), 1.0, [73.0, 20.0, 411.0]),
        ("5 % in bursts of 1.5", Noise::Bursts(0.05, 1.5), 100.0, [0.0, 0.0, 411.0]),
        ("5 % in bursts of 2", Noise::Bursts(0.05, 2.0), 1.0, [505.0, 231.0, 1_617.0]),
        ("5 % in bursts of 2", Noise::Bursts(0.05, 2.0), 100.0, [0.0, 0.0, 1_617.0]),
        ("10 % in bursts of 1.5", Noise::Bursts(0.10, 1.5), 1.0, [280.0, 60.0, 826.0]),
        ("10 % in bursts of 1.5", Noise::Bursts(0.10, 1.5), 100.0, [0.04, 0.0, 826.0]),
    ];
    println!("false trips in 10^6 calls");
    println!("failures | calls a second | (0.10, 0.50) | (0.15, 0.60) | 5 in a row");
    let mut wrong = Vec::new();
    for (name, noise, per_second, expected) in cases {
        let measured =
            [normal, noisy, five].map(|trip| false_trips_in_a_million(trip, noise, per_second));
        let [a, b, c] = measured;
        println!("{name} | {per_second} | {a:.2} | {b:.2} | {c:.2}");
        let millions = (SEEDS * CALLS) as f64 / 1e6;
        for (measured, expected) in measured.into_iter().zip(expected) {
            // Five standard deviations of a count, and two trips since some counts are small.
            let trips: f64 = expected * millions;
            if measured * millions > trips + 5.0 * trips.sqrt() + 2.0 {
                wrong.push(format!("{name} at {per_second} a second: {measured}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn silence_halves_the_evidence_and_a_gap_between_calls_does_not() {
    let half_life = Duration::from_secs(300);
    let mut stream = Stream::new(rule(), 1.0);
    (0..6).for_each(|_| assert!(!stream.call(true)));
    let before = stream.tally.score;

    stream.gap = half_life - Duration::from_nanos(1);
    stream.call(false);
    assert_eq!(stream.tally.score, before - stream.rule.alive, "nothing is forgotten");
    let before = stream.tally.score;

    stream.gap = half_life * 3;
    stream.call(false);
    assert_eq!(stream.tally.score, (before >> 3).saturating_sub(stream.rule.alive));

    stream.gap = half_life * 64;
    stream.call(true);
    assert_eq!((stream.tally.failed, stream.tally.of), (1, 1), "all is forgotten");
}

#[test]
fn what_was_left_over_from_before_a_silence_does_not_spare_the_least_duration() {
    let mut stream = Stream::new(rule(), 1.0);
    (0..6).for_each(|_| assert!(!stream.call(true)));
    stream.gap = Duration::from_secs(300);
    stream.call(true);
    stream.gap = Duration::from_millis(1);
    assert!((0..999).all(|_| !stream.call(true)));
    assert!(stream.call(true));
}

#[test]
fn a_burst_of_thousands_in_half_a_second_is_outweighed_by_a_few_responses() {
    let mut stream = Stream::new(rule(), 10_000.0);
    (0..5_000).for_each(|_| assert!(!stream.call(true)));
    assert_eq!((1..).find(|_| stream.call(false) || stream.tally.is_quiet()), Some(19));
}

#[test]
fn the_numbers_of_a_run_are_those_since_the_sum_left_zero() {
    let mut stream = Stream::new(rule(), 1.0);
    (0..50).for_each(|_| assert!(!stream.call(false)));
    for fails in [true, false, true, true] {
        stream.call(fails);
    }
    assert_eq!((stream.tally.failed, stream.tally.of), (3, 4));
    (0..10).for_each(|_| assert!(!stream.call(false)));
    assert_eq!((stream.tally.failed, stream.tally.of), (0, 0));
}

#[test]
fn no_number_that_makes_sense_leads_to_one_that_does_not() {
    for good_day in [0.001, 0.1, 0.5, 0.9, 0.949] {
        for outage in [good_day + 0.05, 0.999] {
            for threshold in [1.0, 11.0, 1_000.0] {
                let cusum = Cusum::new(good_day, outage).threshold(threshold);
                let rule = Rule::of(Trip::Cusum(cusum));
                assert!(rule.failure > 0 && rule.alive > 0 && rule.limit > 0, "{rule:?}");
            }
        }
    }
    for nonsense in [f64::NAN, f64::INFINITY, -0.1, 0.0, 1.0, 0.52] {
        assert!(Trip::Cusum(Cusum::new(nonsense, 0.5)).check().is_err(), "{nonsense}");
        assert!(Trip::Cusum(Cusum::new(0.5, nonsense)).check().is_err(), "{nonsense}");
    }
    for nonsense in [f64::NAN, f64::INFINITY, -11.0, 0.0, 1_001.0] {
        let cusum = Cusum::default().threshold(nonsense);
        assert!(Trip::Cusum(cusum).check().is_err(), "{nonsense}");
    }
}
