//! The application under test: agents that process their users' queries by running code.

use std::sync::Arc;
use std::time::Duration;

use sandtower::core::Rng;
use sandtower_load::{Arrival, Ending, Part, spend};
use tokio::sync::Semaphore;

use super::load::{Caller, Load};
use super::policy::{Execute, Failure, Job};

/// Processes queries, the calls of the load.
#[derive(Debug)]
pub(crate) struct App<E> {
    pub(crate) execute: E,
    pub(crate) job: Job,
    /// The most concurrent executions, and so sandboxes.
    pub(crate) places: Semaphore,
    pub(crate) agent: Agent,
    pub(crate) load: Load,
    pub(crate) seed: u64,
}

/// How an agent processes a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// Looks at the data, then computes; thinks before, between and over the result. After a failure it
    /// tries again, and stops running code after five failures.
    Thoughtful,
    /// Runs its code once.
    Plain,
}

/// The result of one query.
#[derive(Clone, Debug)]
pub(crate) struct Processed {
    pub(crate) ending: Ending,
    pub(crate) done: u32,
    pub(crate) failures: u32,
    pub(crate) last: Option<Failure>,
    /// The breaker's state when the query arrived.
    pub(crate) breaker: Option<&'static str>,
}

/// Pieces of code that an agent runs for one query.
const RUNS: u32 = 2;
/// The agent thinks before the first, between them, after a failure, and over the result.
const THINKS: Duration = Duration::from_secs(4);
const RECONSIDERS: Duration = Duration::from_secs(2);
/// Failed executions after which an agent finishes without having run its code.
const GIVES_UP_AFTER: u32 = 5;

impl<E: Execute> App<E> {
    /// Processes one query.
    pub(crate) async fn process(self: Arc<Self>, arrival: Arrival) -> Processed {
        let breaker = self.execute.look().breaker;
        let caller = self.load.caller(self.seed, arrival.number);
        let processed = match self.agent {
            Agent::Thoughtful => self.think_and_run(arrival, caller).await,
            Agent::Plain => {
                let outcome = self.run(caller).await;
                let (done, failures) = if outcome.is_ok() { (1, 0) } else { (0, 1) };
                Processed::new(done, failures, outcome.err(), 1)
            }
        };
        Processed { breaker, ..processed }
    }

    async fn think_and_run(&self, arrival: Arrival, caller: Caller) -> Processed {
        let user = u64::from(arrival.user).wrapping_mul(0x9e37_79b9);
        let mut rng = Rng::with_seed(self.seed ^ user ^ (arrival.number << 40));
        let (mut done, mut failures, mut last) = (0, 0, None);
        think(THINKS, &mut rng).await;
        while done < RUNS && failures < GIVES_UP_AFTER {
            match self.run(caller).await {
                Ok(()) => {
                    done += 1;
                    think(THINKS, &mut rng).await;
                }
                Err(error) => {
                    failures += 1;
                    last = Some(error);
                    think(RECONSIDERS, &mut rng).await;
                }
            }
        }
        Processed::new(done, failures, last, RUNS)
    }

    async fn run(&self, caller: Caller) -> Result<(), Failure> {
        let books = &self.job.books;
        let waits = books.waits();
        spend(Part::Queued);
        // The semaphore is never closed.
        let _kept = self.places.acquire().await;
        drop(waits);
        books.asks();
        let outcome = self.execute.execute(&self.job, caller).await;
        match &outcome {
            Ok(()) => books.done(),
            Err(failure) => books.failed(failure.rejected),
        }
        outcome
    }
}

impl Processed {
    fn new(done: u32, failures: u32, last: Option<Failure>, wanted: u32) -> Self {
        let ending = match &last {
            _ if done >= wanted => Ending::Succeeded,
            Some(failure) if failure.rejected.is_some() => Ending::Rejected,
            _ => Ending::Failed,
        };
        Self { ending, done, failures, last, breaker: None }
    }
}

/// A language model's thinking time, with a fifth of variation.
async fn think(about: Duration, rng: &mut Rng) {
    spend(Part::Thinking);
    tokio::time::sleep(about.mul_f64(0.8 + 0.4 * rng.f64())).await;
}
