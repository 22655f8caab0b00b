//! Timing, in rounds.

use std::time::Duration;

use crate::case::{Case, Runner};
use crate::crew::Crew;

/// How long a round of one case takes: long against a reading of the clock and against cold caches,
/// short against what other programs do in between. Twice that for two threads, which have to meet.
const ROUND: Duration = Duration::from_millis(1);

/// How often a round is tried whose threads do not meet.
const AGAIN: u32 = 8;

/// Cases that are timed in turn.
#[derive(Debug, Default)]
pub struct Benches {
    crew: Crew,
    benches: Vec<Bench>,
}

/// One case on so many threads.
pub struct Bench {
    case: &'static str,
    runners: Vec<Runner>,
    calls: u64,
    samples: Vec<f64>,
}

impl Benches {
    /// Times `case` too, with this many threads on one handle.
    pub fn add(&mut self, case: &Case, threads: usize) {
        let runners = (0..threads).map(|_| case.start()).collect();
        let mut bench = Bench { case: case.name(), runners, calls: 1, samples: Vec::new() };
        bench.calibrate(&mut self.crew);
        self.benches.push(bench);
    }

    /// Another sample of each. Every round visits every case, so that what disturbs the machine for
    /// a while disturbs all.
    pub fn round(&mut self) {
        for bench in &mut self.benches {
            if let Some(took) = bench.run(&mut self.crew) {
                bench.samples.push(took.as_secs_f64() * 1e9 / bench.calls as f64);
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> &[Bench] {
        &self.benches
    }
}

impl Bench {
    /// The name of the case.
    pub fn case(&self) -> &'static str {
        self.case
    }

    /// How many threads make calls at a time.
    pub fn threads(&self) -> usize {
        self.runners.len()
    }

    /// Nanoseconds of a call on each of them, for each round in which all were at it at a time.
    pub fn samples(&self) -> &[f64] {
        &self.samples
    }

    /// Finds out how many calls make a round.
    fn calibrate(&mut self, crew: &mut Crew) {
        let mut took = Duration::ZERO;
        let round = ROUND * if self.threads() == 1 { 1 } else { 2 };
        while took < round / 4 {
            self.calls *= 2;
            took = crew.run(&mut self.runners, self.calls).longest;
        }
        let rounds = round.as_secs_f64() / took.as_secs_f64();
        self.calls = ((self.calls as f64 * rounds) as u64).max(1);
    }

    /// Several times if need be: on a busy machine threads seldom run at a time.
    fn run(&mut self, crew: &mut Crew) -> Option<Duration> {
        (0..AGAIN).find_map(|_| {
            let took = crew.run(&mut self.runners, self.calls);
            took.together.then_some(took.longest)
        })
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").field("case", &self.case).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn all_threads_make_the_calls_of_a_round() {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let case = Case::shared_work("counted", move || {
            let counter = Arc::clone(&counter);
            Box::new(move |calls| {
                for _ in 0..calls {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let mut benches = Benches::default();
        benches.add(&case, 2);
        let before = count.load(Ordering::Relaxed);
        benches.round();
        let bench = &benches.all()[0];
        let made = count.load(Ordering::Relaxed) - before;
        assert_eq!((bench.threads(), made % (2 * bench.calls)), (2, 0));
        assert!(bench.samples().iter().all(|&nanos| nanos > 0.0));
    }
}
