//! However extreme a time is, nothing panics, and the breaker comes back in the end.

use std::time::Duration;

use proptest::prelude::*;
use sandtower_circuit_breaker::{CircuitBreakers, Config, Cusum, Scopes, State, Trip};
use sandtower_core::{
    Completion, Deferred, Effect, Gate, No, Now, RequestInfo, Scope, Tick, Verdict,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn time() -> impl Strategy<Value = Duration> {
    let nano = Duration::from_nanos(1);
    prop_oneof![
        prop::sample::select(vec![
            Duration::ZERO,
            nano,
            DAY - nano,
            DAY,
            DAY + nano,
            Duration::MAX - nano,
            Duration::MAX,
            Duration::from_nanos(u64::MAX),
            Duration::from_nanos(u64::MAX) + nano,
        ]),
        any::<u64>().prop_map(Duration::from_nanos),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

/// A time that is valid for a setting.
fn valid() -> impl Strategy<Value = Duration> {
    let day = u64::try_from(DAY.as_nanos()).unwrap();
    prop_oneof![Just(1), Just(day), 1..=day].prop_map(Duration::from_nanos)
}

fn trips() -> impl Strategy<Value = Trip> {
    let failures = prop::sample::select(vec![1, 2, u32::MAX]);
    prop_oneof![
        failures.prop_map(Trip::ConsecutiveFailures),
        (time(), time()).prop_map(|(half_life, at_least)| {
            Trip::Cusum(Cusum::new(0.1, 0.5).half_life(half_life).at_least(at_least))
        }),
    ]
}

/// Lets calls fail, then succeed, at instants that are far from each other.
fn drive<G: Gate>(gate: &G, asked: Duration, gaps: &[Duration], start: Tick) -> Tick {
    let mut now = start;
    let (request, mut later) = (RequestInfo::default(), Deferred::new());
    let failure = Verdict::transient(Effect::Maybe).retry_after(asked);
    for (index, &gap) in gaps.iter().enumerate() {
        let sent = now;
        let asked = gate.try_acquire(&request, &Now::at(sent), &mut later);
        now += gap;
        let permit = match asked {
            Ok(permit) => permit,
            Err(No::Wait { earliest, look_again, .. }) => {
                assert!(sent <= earliest && earliest <= look_again);
                continue;
            }
            Err(No::Closed { until, .. }) => {
                assert!(until.is_some_and(|until| until > sent || until == Tick::MAX));
                continue;
            }
        };
        let verdict = match index % 4 {
            0 | 1 => failure,
            2 => Verdict::cancelled(),
            _ => Verdict::success(),
        };
        gate.record(&request, permit, &Completion::new(verdict, sent, now), &mut later);
        gate.not_ready(&failure, &Now::at(now), &mut later);
        let _ = gate.check(None, &Now::at(now));
    }
    now
}

proptest! {
    #[test]
    fn any_time_is_either_rejected_or_works(
        times in prop::array::uniform6(time()),
        trip in trips(),
        slots in prop::array::uniform3(prop::sample::select(vec![0, 1, 2, u32::MAX])),
        asked in time(),
        gaps in prop::collection::vec(time(), 1..30),
    ) {
        let [first, most, stable, longest, lease, expected] = times;
        let config = Config::recommended("E2B")
            .trip(trip)
            .open_between(first, most)
            .stable_after(stable)
            .longest_open(longest)
            .lease(lease)
            .expected(expected)
            .probes(slots[0])
            .successes(slots[1])
            .ramp(slots[2]);
        let scopes = Scopes::new(1).forget_after(stable);
        match config.clone().build() {
            Ok(breaker) => _ = drive(&breaker, asked, &gaps, Tick::now()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        if let Ok(breakers) = CircuitBreakers::new(config, scopes) {
            drive(&breakers, asked, &gaps, Tick::now());
        }
    }

    #[test]
    fn with_any_valid_times_it_opens_and_comes_back(
        open in valid(), stable in valid(), longest in valid(), lease in valid(), expected in time(),
        asked in time(),
    ) {
        let config = Config::recommended("E2B")
            .trip(Trip::ConsecutiveFailures(1))
            .open_between(open, open)
            .stable_after(stable)
            .longest_open(longest)
            .lease(lease)
            .expected(expected)
            .ramp(0);
        let breakers = CircuitBreakers::new(config, Scopes::default()).unwrap();
        let breaker = breakers.of(Scope::ALL);
        let (request, mut later) = (RequestInfo::default(), Deferred::new());
        let now = Tick::now();
        let permit = breaker.try_acquire(&request, &Now::at(now), &mut later).unwrap();
        let failed = Verdict::unknown().retry_after(asked);
        breaker.record(&request, permit, &Completion::new(failed, now, now), &mut later);
        let Err(No::Closed { until: Some(until), .. }) =
            breaker.try_acquire(&request, &Now::at(now), &mut later)
        else {
            return Err(TestCaseError::fail("it is open"));
        };
        prop_assert!(until <= now + open.max(longest), "bounded, whatever the server asked for");
        let probe = breaker.try_acquire(&request, &Now::at(until), &mut later).unwrap();
        let done = Completion::new(Verdict::success(), until, until);
        breaker.record(&request, probe, &done, &mut later);
        prop_assert_eq!(breaker.history().last().unwrap().to, State::Closed);
    }
}
