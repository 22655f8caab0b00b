//! What holds for every backoff, whatever its numbers.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_core::{Backoff, Seed};

fn any_backoff() -> impl Strategy<Value = Backoff> {
    let duration = || (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(s, n)| Duration::new(s, n));
    (duration(), duration(), any::<[bool; 3]>()).prop_map(
        |(base, cap, [constant, jitter, full])| {
            let backoff =
                if constant { Backoff::constant(base) } else { Backoff::exponential(base, cap) };
            let backoff = if jitter { backoff.jitter() } else { backoff };
            if full { backoff.full_jitter() } else { backoff }
        },
    )
}

proptest! {
    #[test]
    fn no_delay_is_above_the_cap_at_any_attempt(
        base in any::<u64>(), cap in any::<u64>(), retry in any::<u32>(), seed in any::<u64>(),
    ) {
        let cap = Duration::from_nanos(cap);
        let backoff = Backoff::exponential(Duration::from_nanos(base), cap).full_jitter();
        prop_assert!(backoff.bound(retry) <= cap);
        prop_assert!(backoff.delay(retry, &mut Seed::fixed(seed).rng()) <= cap);
    }

    #[test]
    fn no_attempt_number_panics(
        backoff in any_backoff(),
        retry in prop_oneof![any::<u32>(), Just(u32::MAX), 60..100_u32],
    ) {
        let mut rng = Seed::fixed(0).rng();
        prop_assert!(backoff.delay(retry, &mut rng) <= backoff.bound(retry));
    }

    #[test]
    fn bounds_never_shrink_and_double_until_the_cap(
        millis in 1..10_000_u64, cap in 1..10_000_000_u64, retry in 0..40_u32,
    ) {
        let cap = Duration::from_millis(cap);
        let backoff = Backoff::exponential(Duration::from_millis(millis), cap);
        let doubled = (backoff.bound(retry) * 2).min(cap);
        prop_assert_eq!(backoff.bound(retry + 1), doubled);
    }

    #[test]
    fn jitter_draws_the_last_quarter_and_leaves_full_jitter_as_it_is(
        nanos in any::<u64>(), seed in any::<u64>(),
    ) {
        let delay = Duration::from_nanos(nanos);
        let drawn = |backoff: Backoff| backoff.delay(0, &mut Seed::fixed(seed).rng());
        let part = drawn(Backoff::constant(delay).jitter());
        prop_assert!(delay - delay / 4 <= part && part <= delay, "{part:?}");
        let full = Backoff::constant(delay).full_jitter();
        prop_assert_eq!(drawn(full), drawn(full.jitter()));
    }

    #[test]
    fn two_sessions_draw_different_jitter(seed in any::<u64>()) {
        let backoff = Backoff::exponential(Duration::from_millis(250), Duration::from_secs(8));
        let seed = Seed::fixed(seed);
        let session = || backoff.full_jitter().delays(seed.rng()).take(4).collect::<Vec<_>>();
        prop_assert_ne!(session(), session());
    }
}

#[test]
fn full_jitter_waits_half_the_bound_on_average() {
    const DRAWS: u32 = 20_000;
    let backoff =
        Backoff::exponential(Duration::from_millis(250), Duration::from_secs(8)).full_jitter();
    let mut rng = Seed::fixed(0x5eed).rng();
    for retry in [0, 3, 5, 40, u32::MAX] {
        let sum: Duration = (0..DRAWS).map(|_| backoff.delay(retry, &mut rng)).sum();
        let ratio = sum.as_secs_f64() / f64::from(DRAWS) / backoff.bound(retry).as_secs_f64();
        assert!((0.475..=0.525).contains(&ratio), "retry {retry}: mean is {ratio} of the bound");
    }
}

#[test]
fn the_schedules_of_the_classic_preset_are_what_they_were() {
    let seconds = |backoff: Backoff| {
        backoff.delays(Seed::fixed(0).rng()).take(5).map(|d| d.as_secs()).collect::<Vec<_>>()
    };
    let exponential =
        |base, cap| Backoff::exponential(Duration::from_secs(base), Duration::from_secs(cap));
    assert_eq!(seconds(exponential(1, 10)), [1, 2, 4, 8, 10]);
    assert_eq!(seconds(exponential(2, 15)), [2, 4, 8, 15, 15]);
    assert_eq!(seconds(Backoff::constant(Duration::from_secs(30))), [30; 5]);
}
