//! Random histories: what holds whatever happens, in whatever order.

use proptest::{prelude::*, sample::Index};
use sandtower_core::{Effect, Rng};

use super::*;
use crate::{Cusum, Trip};

#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Record(Index, Verdict),
    NotSent(Index),
    /// Its future hangs forever.
    Lose(Index),
    Pass(Duration),
    NotReady,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let verdict = prop_oneof![
        3 => Just(Verdict::success()),
        3 => Just(Verdict::transient(Effect::None).retry_after(Duration::from_secs(90))),
        3 => Just(Verdict::unknown()),
        1 => Just(Verdict::throttled()),
        1 => Just(Verdict::permanent()),
        1 => Just(Verdict::rejected()),
        2 => Just(Verdict::cancelled()),
    ];
    prop_oneof![
        8 => Just(Step::Acquire),
        6 => (any::<Index>(), verdict).prop_map(|(which, verdict)| Step::Record(which, verdict)),
        1 => any::<Index>().prop_map(Step::NotSent),
        2 => any::<Index>().prop_map(Step::Lose),
        4 => (0..20_000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => Just(Step::NotReady),
        1 => Just(Step::Reset),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    // Open for shorter and for longer than a lease.
    let open_for = prop_oneof![Just(Duration::from_secs(2)), Just(Duration::from_secs(10))];
    let rule = prop_oneof![
        (1..4_u32).prop_map(Trip::ConsecutiveFailures),
        (1..4_u32).prop_map(|nats| Trip::Cusum(Cusum::default().threshold(f64::from(nats)))),
    ];
    let numbers = (rule, 1..4_u32, 1..4_u32, 0..5_u32, any::<bool>(), open_for);
    numbers.prop_map(|(trip, probes, successes, ramp, jitter, first)| Settings {
        rule: Rule::of(trip),
        open: OpenTime { first, most: first * 2, jitter, longest: Duration::from_secs(30) },
        stable: Duration::from_secs(20),
        probes,
        successes,
        ramp,
        lease: Duration::from_secs(5),
        expected: Duration::from_secs(3),
    })
}

/// When a call may get through, and when it surely does.
fn promised(denied: Denied) -> (Tick, Tick) {
    match denied {
        Denied::Open { until, .. } => {
            let until = until.expect("no operator forced it");
            (until, until)
        }
        Denied::Full { expected, expires, .. } => (expected, expires),
    }
}

/// An attempt that was let through, as its caller knows it.
#[derive(Debug)]
struct Out {
    permit: Permit,
    sent: Tick,
}

/// Everything that decides what the engine does next.
fn decisive(engine: &Engine) -> String {
    let Engine { phase, since, generation, opened, tally, leases, last_cause, .. } = engine;
    format!("{phase:?} {since:?} {generation} {opened} {tally:?} {leases:?} {last_cause:?}")
}

struct History {
    engine: Engine,
    settings: Settings,
    now: Tick,
    out: Vec<Out>,
    /// Generation and expiry of each probe whose caller still waits, or was lost.
    lost: Vec<(u64, Tick)>,
}

impl History {
    fn new(settings: Settings) -> Self {
        let now = Tick::ZERO + Duration::from_secs(1);
        let engine = Engine::new(settings, Rng::with_seed(7), now);
        Self { engine, settings, now, out: Vec::new(), lost: Vec::new() }
    }

    fn pick(&mut self, which: &Index) -> Option<Out> {
        (!self.out.is_empty()).then(|| self.out.swap_remove(which.index(self.out.len())))
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Acquire => self.try_acquire(),
            Step::Record(which, verdict) => self.record(which, *verdict),
            Step::NotSent(which) => {
                if let Some(out) = self.pick(which) {
                    self.record_not_sent(out.permit);
                }
            }
            Step::Lose(which) => {
                if let Some(Out { permit, sent }) = self.pick(which)
                    && permit.lease.is_some()
                {
                    self.lost.push((permit.generation, sent + self.settings.lease));
                }
            }
            Step::Pass(time) => self.now += *time,
            Step::NotReady => drop(self.engine.not_ready(Verdict::unknown(), self.now)),
            Step::Reset => drop(self.engine.reset(self.now)),
        }
    }

    fn try_acquire(&mut self) {
        let now = Now::at(self.now);
        let looked = self.engine.look(&now);
        match self.engine.try_acquire(&now) {
            Ok((permit, _)) => {
                assert_eq!(looked, None, "looking and acquiring agree");
                self.out.push(Out { permit, sent: self.now });
            }
            Err(denied) => {
                assert_eq!(looked, Some(denied), "looking and acquiring agree");
                let (earliest, at) = promised(denied);
                assert!(self.now <= earliest && earliest <= at, "an estimate is not before now");
                assert!(self.now < at, "it names an instant to come");
                let OpenTime { most, longest, .. } = self.settings.open;
                assert!(at <= self.now + longest.max(most), "which is not too far away");
                if let Denied::Full { .. } = denied {
                    let slots = self.engine.leases.slots();
                    assert_eq!(self.leased(), slots as usize, "no slot is left empty");
                }
            }
        }
    }

    fn record_not_sent(&mut self, permit: Permit) {
        let waits = self.engine.turned_away && permit.lease.is_some();
        let waits = waits && permit.generation == self.engine.generation;
        let done = Completion::not_sent(self.now);
        let change = self.engine.record(&RequestInfo::default(), permit, &done);
        assert_eq!(change.is_some(), waits, "it notifies if a call was turned away meanwhile");
    }

    fn record(&mut self, which: &Index, verdict: Verdict) {
        let Some(Out { permit, sent }) = self.pick(which) else { return };
        let old = permit.generation != self.engine.generation;
        let before = decisive(&self.engine);
        let done = Completion::new(verdict, sent, self.now);
        let _ = self.engine.record(&RequestInfo::default(), permit, &done);
        if old {
            assert_eq!(decisive(&self.engine), before, "an older generation changes nothing");
        }
    }

    fn check(&self) {
        let out = self.leased();
        let most = match self.engine.phase {
            Phase::HalfOpen { .. } => self.settings.probes,
            // One more for each that came back since it is half-open.
            Phase::Ramp { succeeded } => {
                assert!(succeeded < self.settings.ramp, "the ramp ends");
                self.settings.successes + succeeded + 1
            }
            _ => return,
        };
        assert!(out <= most as usize, "{out} out of {most} in {:?}", self.engine.phase);
    }

    fn leased(&self) -> usize {
        let held = self.out.iter().filter(|out| out.permit.lease.is_some());
        let held = held.map(|out| (out.permit.generation, out.sent + self.settings.lease));
        let alive = |&(generation, expires): &(u64, Tick)| {
            generation == self.engine.generation && self.now < expires
        };
        held.chain(self.lost.iter().copied()).filter(alive).count()
    }
}

proptest! {
    #[test]
    fn no_history_lets_too_many_attempts_through_or_keeps_the_next_one_away(
        settings in settings(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut history = History::new(settings);
        for step in &steps {
            history.apply(step);
            history.check();
        }
        // A call that comes back when it should gets through, although no attempt in flight ever
        // comes back.
        if let Err(denied) = history.engine.try_acquire(&Now::at(history.now)) {
            let then = Now::at(promised(denied).1);
            prop_assert!(history.engine.try_acquire(&then).is_ok(), "{denied:?} did not hold");
        }
    }
}
