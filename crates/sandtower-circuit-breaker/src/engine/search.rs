//! All histories of a few steps, one by one: not a sample of them.

use std::collections::HashSet;

use sandtower_core::Effect;

use super::*;

fn settings(probes: u32, successes: u32, ramp: u32) -> Settings {
    Settings {
        rule: Rule::consecutive(2),
        open: OpenTime {
            first: Duration::from_secs(2),
            most: Duration::from_secs(4),
            jitter: false,
            longest: Duration::from_secs(8),
        },
        stable: Duration::from_secs(6),
        probes,
        successes,
        ramp,
        lease: Duration::from_secs(3),
        expected: Duration::from_secs(2),
    }
}

/// An engine and the attempts that it let through, as their callers know them.
#[derive(Clone, Debug)]
struct World {
    engine: Engine,
    now: Tick,
    /// The newest last.
    out: Vec<Out>,
}

#[derive(Clone, Copy, Debug)]
struct Out {
    generation: u64,
    lease: Option<LeaseId>,
    sent: Tick,
    /// It will never come back.
    lost: bool,
}

impl Out {
    fn permit(self) -> Permit {
        Permit { generation: self.generation, lease: self.lease }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Acquire,
    /// Of the newest attempt, or of the oldest.
    Record(End, Verdict),
    NotSent(End),
    Lose,
    Pass(u64),
    NotReady,
    Operator(fn(&mut Engine, Tick) -> Option<Change>),
}

#[derive(Clone, Copy, Debug)]
enum End {
    Newest,
    Oldest,
}

const FAILURE: Verdict = Verdict::transient(Effect::None);

const STEPS: [Step; 13] = [
    Step::Acquire,
    Step::Record(End::Newest, Verdict::success()),
    Step::Record(End::Oldest, Verdict::success()),
    Step::Record(End::Newest, FAILURE),
    Step::Record(End::Oldest, FAILURE),
    Step::Record(End::Oldest, Verdict::throttled()),
    Step::Record(End::Newest, Verdict::cancelled()),
    Step::NotSent(End::Newest),
    Step::Lose,
    Step::Pass(1),
    Step::Pass(3),
    Step::NotReady,
    Step::Operator(|engine, now| Some(engine.reset(now))),
];

impl World {
    fn new(settings: Settings) -> Self {
        let now = Tick::ZERO + Duration::from_secs(100);
        let engine = Engine::new(settings, Rng::with_seed(0), now);
        Self { engine, now, out: Vec::new() }
    }

    /// A breaker that has just opened: where the interesting histories begin.
    fn open(settings: Settings) -> Self {
        let mut world = Self::new(settings);
        for step in [Step::NotReady, Step::NotReady, Step::Pass(2)] {
            assert!(world.apply(step));
        }
        world
    }

    /// Whether the step could be made.
    fn apply(&mut self, step: Step) -> bool {
        match step {
            Step::Acquire => match self.engine.try_acquire(&Now::at(self.now)) {
                Ok((Permit { generation, lease }, _)) => {
                    self.out.push(Out { generation, lease, sent: self.now, lost: false });
                }
                Err(_) => return false,
            },
            Step::Record(end, verdict) => {
                let Some(out) = self.pick(end) else { return false };
                let (permit, old) = (out.permit(), out.generation != self.engine.generation);
                let before = self.essence();
                let done = Completion::new(verdict, out.sent, self.now);
                let change = self.engine.record(&RequestInfo::default(), permit, &done);
                if old {
                    assert_eq!((self.essence(), change), (before, None), "it changes nothing");
                }
            }
            Step::NotSent(end) => {
                let Some(out) = self.pick(end) else { return false };
                let done = Completion::not_sent(self.now);
                let _ = self.engine.record(&RequestInfo::default(), out.permit(), &done);
            }
            Step::Lose => {
                let Some(out) = self.out.iter_mut().find(|out| !out.lost) else { return false };
                out.lost = true;
            }
            Step::Pass(seconds) => self.now += Duration::from_secs(seconds),
            Step::NotReady => drop(self.engine.not_ready(Verdict::unknown(), self.now)),
            Step::Operator(act) => drop(act(&mut self.engine, self.now)),
        }
        true
    }

    fn pick(&mut self, end: End) -> Option<Out> {
        let held = |out: &Out| !out.lost;
        let index = match end {
            End::Newest => self.out.iter().rposition(held),
            End::Oldest => self.out.iter().position(held),
        };
        Some(self.out.remove(index?))
    }

    /// What must hold at any time.
    fn check(&self) {
        let Settings { probes, successes, lease, .. } = self.engine.settings;
        let alive = |out: &&Out| {
            let valid = out.generation == self.engine.generation && out.lease.is_some();
            valid && self.now < out.sent + lease
        };
        let out = self.out.iter().filter(alive).count();
        match self.engine.phase {
            Phase::HalfOpen { .. } => assert!(out <= probes as usize, "{out} probes are out"),
            Phase::Ramp { succeeded } => assert!(out <= (successes + succeeded + 1) as usize),
            _ => {}
        }
        if matches!(self.engine.phase, Phase::HalfOpen { .. } | Phase::Ramp { .. }) {
            assert_eq!(self.engine.leases.taken(self.now), out, "a lease for each, no other");
        }
        // A call that comes back when it should gets through, although no attempt in flight ever
        // comes back.
        let mut engine = self.engine.clone();
        if let Err(denied) = engine.try_acquire(&Now::at(self.now)) {
            let at = match denied {
                Denied::Open { until, .. } => until.expect("no operator forced it"),
                Denied::Full { expires, .. } => expires,
            };
            assert!(at > self.now, "{denied:?} tells an instant to come");
            assert!(engine.try_acquire(&Now::at(at)).is_ok(), "{denied:?} does not hold");
        }
    }

    /// Everything that decides what can happen next; times count from now, generations from here.
    fn essence(&self) -> String {
        let Engine { phase, since, opened, tally, leases, last_cause, generation, .. } =
            &self.engine;
        let age = |tick: Tick| self.now.since(tick).as_secs().min(20);
        let phase = match *phase {
            Phase::Open { until } => format!("open for {:?}", until.since(self.now)),
            other => format!("{other:?}"),
        };
        let out: Vec<_> = self
            .out
            .iter()
            .filter(|out| !out.lost)
            .map(|out| (generation - out.generation == 0, out.lease.is_some(), age(out.sent)))
            .collect();
        let (failed, quiet) = (tally.failed, tally.is_quiet());
        let free = leases.full_since().map(|since| (since + leases.term()).since(self.now));
        let (taken, slots) = (leases.taken(self.now), leases.slots());
        format!(
            "{phase} {} {opened} {failed} {quiet} {taken}/{slots} {free:?} {last_cause:?} {out:?}",
            age(*since),
        )
    }
}

#[test]
fn in_all_short_histories_a_probe_can_go_in_the_end_and_none_too_many_is_out() {
    let depth = if cfg!(debug_assertions) { 7 } else { 10 };
    let mut visited = 0;
    for (probes, successes, ramp) in [(1, 1, 0), (1, 1, 2), (2, 1, 1), (2, 2, 2), (1, 2, 3)] {
        let settings = settings(probes, successes, ramp);
        let mut worlds = vec![World::new(settings), World::open(settings)];
        let mut seen = HashSet::new();
        for _ in 0..depth {
            let mut next = Vec::new();
            for world in &worlds {
                for step in STEPS {
                    let mut world = world.clone();
                    if world.apply(step) && seen.insert(world.essence()) {
                        world.check();
                        next.push(world);
                    }
                }
            }
            worlds = next;
        }
        visited += seen.len();
    }
    println!("{visited} different situations within {depth} steps");
    assert!(visited > 1_000);
}
