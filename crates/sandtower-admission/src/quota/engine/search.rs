//! All histories of a few steps, one by one: not a sample of them.

use std::collections::HashSet;

use super::*;

/// An engine, the attempts that it let out, and those who wait.
#[derive(Clone, Debug)]
struct World {
    engine: Engine,
    now: Tick,
    out: Vec<(Try, Tick)>,
    /// The instants that somebody waits for who was not woken since.
    waiting: Vec<Tick>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take,
    Newest(Came),
    Oldest(Came),
    GiveBack,
    /// The oldest never comes back.
    Lose,
    Release,
    Reset,
    Pass(u64),
}

const STEPS: [Step; 12] = [
    Step::Take,
    Step::Newest(Came::Granted),
    Step::Newest(Came::Exhausted),
    Step::Oldest(Came::Granted),
    Step::Oldest(Came::Exhausted),
    Step::Oldest(Came::Otherwise),
    Step::GiveBack,
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
        Self { engine, now, out: Vec::new(), waiting: Vec::new() }
    }

    /// Whether the step could be made.
    fn apply(&mut self, step: Step) -> bool {
        let eased = match step {
            Step::Take => {
                match self.engine.take(self.now) {
                    Ok(attempt) => self.out.push((attempt, self.now)),
                    Err(no) => self.waiting.push(no.at),
                }
                None
            }
            Step::Newest(came) => match self.out.pop() {
                Some((attempt, _)) => self.engine.settle(attempt, came, self.now),
                None => return false,
            },
            Step::Oldest(came) if !self.out.is_empty() => {
                let (attempt, _) = self.out.remove(0);
                self.engine.settle(attempt, came, self.now)
            }
            Step::GiveBack => match self.out.pop() {
                Some((attempt, _)) => {
                    self.engine.give_back(attempt);
                    // The room wakes everyone by itself: the gate is silent about this.
                    self.waiting.clear();
                    None
                }
                None => return false,
            },
            Step::Lose if !self.out.is_empty() => {
                self.out.remove(0);
                None
            }
            Step::Oldest(_) | Step::Lose => return false,
            Step::Release => self.engine.release(1),
            Step::Reset => self.engine.reset(Some(1)),
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                None
            }
        };
        if eased.is_some() {
            self.waiting.clear();
        }
        // Whose instant has come looks again by itself.
        self.waiting.retain(|at| *at > self.now);
        true
    }

    /// What must hold at any time.
    fn check(&self) {
        let alive = |(attempt, _): &&(Try, Tick)| {
            attempt.lease.is_some_and(|lease| self.now < lease.expires)
                && attempt.lease == self.engine.probe
        };
        assert!(self.out.iter().filter(alive).count() <= 1, "two probes are out");
        let mut engine = self.engine.clone();
        if let Err(no) = engine.take(self.now) {
            assert!(no.at > self.now, "{no:?} tells an instant to come");
            assert!(no.at <= self.now + LEASE, "{no:?} is longer than any pause and any lease");
            assert!(engine.take(no.at).is_ok(), "{no:?} does not hold though nothing else happens");
        }
        // Whoever waits was told the right instant, or was told again.
        for at in &self.waiting {
            assert!(self.engine.next_at() >= *at, "somebody waits too long");
        }
    }

    /// Everything that decides what can happen next; times count from now.
    fn essence(&self) -> String {
        let Engine { limit, in_use, out, hope, found, failed, stepping, generation, .. } =
            self.engine;
        let to_go = |tick: Tick| tick.since(self.now).as_millis();
        let tries = self.out.iter().map(|(attempt, sent)| {
            let news = attempt.generation == generation;
            let lease =
                attempt.lease.map(|lease| (to_go(lease.expires), Some(lease) == self.engine.probe));
            (news, attempt.in_use, lease, self.now.since(*sent).as_secs().min(10))
        });
        let tries: Vec<_> = tries.collect();
        let waiting: Vec<_> = self.waiting.iter().map(|at| to_go(*at)).collect();
        format!(
            "{limit:?} {in_use} {out} {hope} {found} {failed} {stepping:?} {} {} {} {:?} {tries:?} {waiting:?}",
            self.engine.no_since.is_some(),
            to_go(self.engine.due),
            to_go(self.engine.told),
            self.engine.probe.map(|probe| to_go(probe.expires)),
        )
    }
}

#[test]
fn in_all_short_histories_someone_can_go_in_the_end_and_nobody_waits_longer_than_told() {
    let depth = if cfg!(debug_assertions) { 8 } else { 10 };
    let mut visited = 0;
    for limit in [None, Some(1), Some(2)] {
        let (mut worlds, mut seen) = (vec![World::new(limit)], HashSet::new());
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
