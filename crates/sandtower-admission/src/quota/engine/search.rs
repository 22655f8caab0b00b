//! Exhaustive search of all short histories.

use std::collections::HashSet;

use super::*;

/// An engine, the attempts in flight, and the callers that wait.
#[derive(Clone, Debug)]
struct World {
    engine: Engine,
    now: Tick,
    out: Vec<(Attempt, Tick)>,
    /// When callers that are held, and were not notified since, check again.
    waiting: Vec<Tick>,
    /// While the service is out of slots: ends that were seen and have let no call go.
    ends: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take,
    Newest(Outcome),
    Oldest(Outcome),
    /// The oldest is never recorded.
    Lose,
    Release,
    Reset,
    Pass(u64),
}

const ALL: [Step; 14] = [
    Step::Take,
    Step::Newest(Outcome::Granted),
    Step::Newest(Outcome::Exhausted),
    Step::Oldest(Outcome::Granted),
    Step::Oldest(Outcome::Exhausted),
    Step::Oldest(Outcome::Other),
    Step::Newest(Outcome::NotSent),
    Step::Oldest(Outcome::NotSent),
    Step::Newest(Outcome::Other),
    Step::Lose,
    Step::Release,
    Step::Reset,
    Step::Pass(2),
    Step::Pass(7),
];

const LEASE: Duration = Duration::from_secs(6);

impl World {
    fn new(limit: Option<u32>) -> Self {
        let probe = Backoff::exponential(Duration::from_secs(2), Duration::from_secs(4));
        let engine = Engine::new(Terms { limit, probe, lease: LEASE }, Rng::with_seed(0));
        let now = Tick::ZERO + Duration::from_secs(100);
        Self { engine, now, out: Vec::new(), waiting: Vec::new(), ends: None }
    }

    /// Whether the step could be made.
    fn apply(&mut self, step: Step) -> bool {
        let opened = match step {
            Step::Take => {
                match self.engine.try_acquire(self.now) {
                    Ok(attempt) => self.goes(attempt),
                    Err(held) => self.waiting.push(held.look_again),
                }
                false
            }
            Step::Newest(outcome) => match self.out.pop() {
                Some((attempt, _)) => self.comes_back(attempt, outcome),
                None => return false,
            },
            Step::Oldest(outcome) if !self.out.is_empty() => {
                let (attempt, _) = self.out.remove(0);
                self.comes_back(attempt, outcome)
            }
            Step::Lose if !self.out.is_empty() => {
                self.out.remove(0);
                false
            }
            Step::Oldest(_) | Step::Lose => return false,
            Step::Release => {
                self.ends = self.ends.map(|ends| ends + 1);
                self.engine.release(1)
            }
            Step::Reset => self.engine.reset(Some(1)),
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                false
            }
        };
        if opened {
            self.waiting.clear();
        }
        if self.engine.exhausted_since().is_none() {
            self.ends = None;
        }
        // A caller whose instant has come looks again by itself.
        self.waiting.retain(|at| *at > self.now);
        true
    }

    fn goes(&mut self, attempt: Attempt) {
        if let Some(ends) = &mut self.ends
            && !attempt.is_probe
        {
            assert!(*ends > 0, "a call asks again before a slot was seen to become free");
            *ends -= 1;
        }
        self.out.push((attempt, self.now));
    }

    fn comes_back(&mut self, attempt: Attempt, outcome: Outcome) -> bool {
        let is_of_this_regime = attempt.number > self.engine.began && !attempt.is_probe;
        let opened = self.engine.record(attempt, outcome, self.now);
        let Regime::Exhausted { free, .. } = self.engine.regime else { return opened };
        match &mut self.ends {
            // What ended while the attempt was under way.
            None => self.ends = Some(free),
            Some(ends) if is_of_this_regime => {
                *ends += u32::from(matches!(outcome, Outcome::Other | Outcome::NotSent));
            }
            Some(_) => {}
        }
        opened
    }

    /// What must hold at any time.
    fn check(&self) {
        let Self { engine, now, .. } = self;
        let probes = |(attempt, sent): &&(Attempt, Tick)| {
            attempt.is_probe && attempt.number > engine.began && *now < *sent + LEASE
        };
        assert!(self.out.iter().filter(probes).count() <= 1, "two probes are in flight");
        if let (Regime::Exhausted { free, .. }, Some(ends)) = (engine.regime, self.ends) {
            assert_eq!(free, ends, "each end that is seen lets exactly one call go");
        }
        let mut next = engine.clone();
        if let Err(held) = next.try_acquire(*now) {
            let at = held.look_again;
            assert!(at > *now, "{held:?} must name a future instant");
            assert!(at <= *now + LEASE, "{held:?} is longer than any pause and any lease");
            assert!(next.try_acquire(at).is_ok(), "{held:?} is wrong though nothing else happens");
        }
        // A waiting caller has the right instant, or was notified.
        for at in &self.waiting {
            assert!(engine.opens_at() >= *at, "a caller waits too long");
        }
    }

    /// Everything that decides what can happen next; times count from now.
    fn essence(&self) -> String {
        let Engine { regime, probe, began, in_use, under_way, announced, .. } = self.engine;
        let to_go = |tick: Tick| tick.since(self.now).as_millis();
        let probe = match probe {
            Probe::Due(at) => (to_go(at), None),
            Probe::Out { number, expires } => {
                let whose = self.out.iter().position(|(attempt, _)| attempt.number == number);
                (to_go(expires), Some(whose))
            }
        };
        let regime = match regime {
            Regime::Exhausted { limit, free, failures, .. } => {
                format!("exhausted {limit} {free} {failures}")
            }
            other => format!("{other:?}"),
        };
        let out = self.out.iter().map(|(attempt, sent)| {
            let age = self.now.since(*sent).as_secs().min(10);
            (attempt.number > began, attempt.in_use, attempt.is_probe, age)
        });
        let out: Vec<_> = out.collect();
        let waiting: Vec<_> = self.waiting.iter().map(|at| to_go(*at)).collect();
        format!("{regime} {probe:?} {in_use} {under_way} {} {out:?} {waiting:?}", to_go(announced))
    }
}

#[test]
fn in_all_short_histories_each_end_lets_one_call_go_and_no_caller_waits_longer_than_announced() {
    let depth = if cfg!(debug_assertions) { 8 } else { 10 };
    let mut visited = 0;
    for limit in [None, Some(1), Some(2)] {
        let (mut worlds, mut seen) = (vec![World::new(limit)], HashSet::new());
        for _ in 0..depth {
            let mut next = Vec::new();
            for world in &worlds {
                for step in ALL {
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
