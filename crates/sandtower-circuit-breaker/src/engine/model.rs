//! Random histories: what holds whatever happens, in whatever order.

use proptest::{prelude::*, sample::Index};
use sandtower_core::{Effect, Rng};

use super::*;
use crate::{Cusum, Trip};

#[derive(Clone, Debug)]
enum Step {
    Take,
    Settle(Index, Verdict),
    GiveBack(Index),
    /// Its future hangs for ever.
    Lose(Index),
    Pass(Duration),
    Unready,
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
        8 => Just(Step::Take),
        6 => (any::<Index>(), verdict).prop_map(|(which, verdict)| Step::Settle(which, verdict)),
        1 => any::<Index>().prop_map(Step::GiveBack),
        2 => any::<Index>().prop_map(Step::Lose),
        4 => (0..20_000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        1 => Just(Step::Unready),
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
        rule: Rule::of(trip).unwrap(),
        open: OpenTime { first, most: first * 2, jitter, longest: Duration::from_secs(30) },
        stable: Duration::from_secs(20),
        probes,
        successes,
        ramp,
        lease: Duration::from_secs(5),
        expected: Duration::from_secs(3),
    })
}

/// An attempt that was let through, as its caller knows it.
#[derive(Debug)]
struct Out {
    token: Token,
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
            Step::Take => self.take(),
            Step::Settle(which, verdict) => self.settle(which, *verdict),
            Step::GiveBack(which) => {
                if let Some(out) = self.pick(which) {
                    self.engine.give_back(out.token);
                }
            }
            Step::Lose(which) => {
                if let Some(Out { token, sent }) = self.pick(which)
                    && token.is_leased()
                {
                    self.lost.push((token.generation, sent + self.settings.lease));
                }
            }
            Step::Pass(time) => self.now += *time,
            Step::Unready => drop(self.engine.unready(Verdict::unknown(), self.now)),
            Step::Reset => drop(self.engine.reset(self.now)),
        }
    }

    fn take(&mut self) {
        let looked = self.engine.look(self.now);
        match self.engine.take(self.now) {
            Ok((token, _)) => {
                assert_eq!(looked, None, "looking and taking agree");
                self.out.push(Out { token, sent: self.now });
            }
            Err(no) => {
                assert_eq!(looked, Some(no), "looking and taking agree");
                assert!(self.now < no.at, "a no tells an instant to come");
                let OpenTime { most, longest, .. } = self.settings.open;
                let longest = longest.max(most);
                assert!(no.at <= self.now + longest, "which is not too far away");
                if no.reason == Reason::Probing {
                    let places = self.engine.leases.places();
                    assert_eq!(self.leased(), places as usize, "no place is left empty");
                }
            }
        }
    }

    fn settle(&mut self, which: &Index, verdict: Verdict) {
        let Some(Out { token, sent }) = self.pick(which) else { return };
        let old = token.generation != self.engine.generation;
        let before = decisive(&self.engine);
        let _ = self.engine.settle(token, &Completion::new(verdict, sent, self.now));
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
        let held = self.out.iter().filter(|out| out.token.is_leased());
        let held = held.map(|out| (out.token.generation, out.sent + self.settings.lease));
        let alive = |&(generation, expires): &(u64, Tick)| {
            generation == self.engine.generation && self.now < expires
        };
        held.chain(self.lost.iter().copied()).filter(alive).count()
    }
}

proptest! {
    #[test]
    fn no_history_lets_an_attempt_too_many_out_or_keeps_the_next_one_in(
        settings in settings(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut history = History::new(settings);
        for step in &steps {
            history.apply(step);
            history.check();
        }
        // Whoever obeys the "no" gets through, though none of those outside ever comes back.
        if let Err(no) = history.engine.take(history.now) {
            prop_assert!(history.engine.take(no.at).is_ok(), "the no of {:?} did not hold", no);
        }
    }
}
