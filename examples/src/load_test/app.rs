//! The application under test: agents that answer their users' queries by running code.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sandtower::core::{Clock, Rng, Tick};
use sandtower::time::TokioClock;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Runs one piece of code in a sandbox; how, is the policy.
pub(crate) trait Execute: Send + Sync + 'static {
    /// An error is what the agent gets to see.
    fn execute(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// How many ask for how much.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Users, all at once.
    pub users: u32,
    /// Queries of each, one after the other.
    pub queries: u32,
    /// Sandboxes that the application keeps at once.
    pub warm: usize,
    /// Where all chance comes from.
    pub seed: u64,
}

/// What became of one query.
#[derive(Clone, Debug)]
pub struct Query {
    /// Whose it was, from 1.
    pub user: u32,
    /// Which of theirs, from 1.
    pub number: u32,
    /// From the question to the answer.
    pub took: Duration,
    /// Executions that ended well.
    pub done: u32,
    /// Executions that failed.
    pub failures: u32,
    /// The last error, if the agent gave up on running code.
    pub gave_up: Option<String>,
}

/// Pieces of code that an agent runs for one query: it looks at the data, then computes.
const RUNS: u32 = 2;
/// The agent thinks before the first, between them, after a failure, and over the result.
const THINKS: Duration = Duration::from_secs(4);
const RECONSIDERS: Duration = Duration::from_secs(2);
/// Failed executions after which an agent answers without having run its code.
const GIVES_UP_AFTER: u32 = 5;

/// Lets all users work through their queries, each user one after the other.
pub(crate) async fn run(load: Load, execute: Arc<impl Execute>) -> Vec<Query> {
    let warm = Arc::new(Semaphore::new(load.warm));
    let mut users = JoinSet::new();
    for user in 1..=load.users {
        let (execute, warm) = (Arc::clone(&execute), Arc::clone(&warm));
        let mut rng = Rng::with_seed(load.seed ^ u64::from(user).wrapping_mul(0x9e37_79b9));
        users.spawn(async move {
            let mut queries = Vec::new();
            for number in 1..=load.queries {
                queries.push(answer(user, number, &*execute, &warm, &mut rng).await);
            }
            queries
        });
    }
    let mut queries = users.join_all().await.concat();
    queries.sort_by_key(|query| (query.user, query.number));
    queries
}

async fn answer(
    user: u32,
    number: u32,
    execute: &impl Execute,
    warm: &Semaphore,
    rng: &mut Rng,
) -> Query {
    let start: Tick = TokioClock.now();
    let mut query =
        Query { user, number, took: Duration::ZERO, done: 0, failures: 0, gave_up: None };
    think(THINKS, rng).await;
    while query.done < RUNS && query.gave_up.is_none() {
        let outcome = {
            // The semaphore is never closed.
            let _kept = warm.acquire().await;
            execute.execute().await
        };
        match outcome {
            Ok(()) => {
                query.done += 1;
                think(THINKS, rng).await;
            }
            Err(error) => {
                query.failures += 1;
                query.gave_up = (query.failures >= GIVES_UP_AFTER).then_some(error);
                think(RECONSIDERS, rng).await;
            }
        }
    }
    query.took = TokioClock.now().since(start);
    query
}

/// A language model takes its time, give or take a fifth.
async fn think(about: Duration, rng: &mut Rng) {
    tokio::time::sleep(about.mul_f64(0.8 + 0.4 * rng.f64())).await;
}
