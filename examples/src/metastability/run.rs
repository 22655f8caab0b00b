//! One run: calls arrive at random, and for a while the service is in trouble.

use std::time::Duration;

use sandtower::core::{BoxError, Rng, Tick};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, LocalSet};
use tower_service::Service;

use super::server::{Server, WORK, WORKERS};
use super::stack::{Call, Without, stack};

/// The trouble, and the load; 1 is the capacity of the service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scenario {
    /// Four of five workers are gone for 30 s.
    CapacityDrop {
        /// Offered calls, as a share of capacity.
        load: f64,
    },
    /// Every attempt fails at once for 10 s.
    Loss {
        /// Offered calls, as a share of capacity.
        load: f64,
    },
    /// Three times as many calls for 20 s.
    Surge {
        /// Offered calls before and after, as a share of capacity.
        load: f64,
    },
    /// More calls than the service can handle, all the time.
    Overload {
        /// Offered calls, as a share of capacity.
        load: f64,
    },
}

/// The result of one run.
#[derive(Clone, Copy, Debug)]
pub struct Result {
    /// From the end of the trouble until 95 % of the calls of the next 5 s succeed; `None`: never.
    pub recovery: Option<Duration>,
    /// Calls that succeeded during the trouble, as a share of the capacity in that time.
    pub useful: f64,
}

const WARM_UP: Duration = Duration::from_secs(60);
const AFTERWARDS: Duration = Duration::from_secs(240);
const WINDOW: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(250);
const RECOVERED: f64 = 0.95;

impl Scenario {
    fn trouble(self) -> Duration {
        Duration::from_secs(match self {
            Self::CapacityDrop { .. } => 30,
            Self::Loss { .. } => 10,
            Self::Surge { .. } => 20,
            Self::Overload { .. } => 120,
        })
    }

    /// Calls per second, before and during the trouble.
    fn rates(self) -> [f64; 2] {
        let capacity = WORKERS as f64 / WORK.as_secs_f64();
        let [before, during] = match self {
            Self::CapacityDrop { load } | Self::Loss { load } => [load, load],
            Self::Surge { load } => [load, 3.0 * load],
            Self::Overload { load } => [0.7, load],
        };
        [capacity * before, capacity * during]
    }
}

/// One call: when it arrived, and when it succeeded, if it did.
struct Outcome {
    came: Tick,
    succeeded: Option<Tick>,
}

/// Runs `scenario` through the layers, on a paused clock.
///
/// # Errors
///
/// No runtime can be created.
pub fn run(
    scenario: Scenario,
    without: Without,
    seed: u64,
) -> std::result::Result<Result, BoxError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    LocalSet::new().block_on(&runtime, async {
        let server = Server::new(seed);
        let service = stack(server.clone(), without, seed)?;
        let start = Tick::now();
        let [trouble, end] = [start + WARM_UP, start + WARM_UP + scenario.trouble()];
        let happening = tokio::task::spawn_local(happen(scenario, server));
        let [before, during] = scenario.rates();
        let mut rng = Rng::with_seed(seed ^ 0xca11);
        let mut calls = JoinSet::new();
        loop {
            let now = Tick::now();
            let over = now >= end + AFTERWARDS;
            if over || (matches!(scenario, Scenario::Overload { .. }) && now >= end) {
                break;
            }
            let rate = if (trouble..end).contains(&now) { during } else { before };
            let mut service = service.clone();
            calls.spawn_local(async move {
                let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
                let response = match ready {
                    Ok(()) => service.call(Call::default()).await,
                    Err(error) => Err(error),
                };
                let succeeded = response.is_ok().then(Tick::now);
                Outcome { came: now, succeeded }
            });
            // Calls arrive independently of each other.
            let gap = -(1.0 - rng.f64()).ln() / rate;
            tokio::time::sleep(Duration::from_secs_f64(gap)).await;
        }
        let mut outcomes = calls.join_all().await;
        outcomes.sort_by_key(|outcome| outcome.came);
        happening.abort();
        Ok(Result { recovery: recovery(&outcomes, end), useful: useful(&outcomes, trouble, end) })
    })
}

async fn happen(scenario: Scenario, server: Server) {
    tokio::time::sleep(WARM_UP).await;
    match scenario {
        Scenario::CapacityDrop { .. } => {
            let begun = Tick::now();
            server.workers(WORKERS / 5).await;
            let left = scenario.trouble().saturating_sub(Tick::now().since(begun));
            tokio::time::sleep(left).await;
            server.workers(WORKERS).await;
        }
        Scenario::Loss { .. } => {
            server.die(true);
            tokio::time::sleep(scenario.trouble()).await;
            server.die(false);
        }
        Scenario::Surge { .. } | Scenario::Overload { .. } => {}
    }
}

fn recovery(outcomes: &[Outcome], end: Tick) -> Option<Duration> {
    let steps = (AFTERWARDS - WINDOW).as_millis() / STEP.as_millis();
    (0..u32::try_from(steps).unwrap_or(u32::MAX)).map(|step| STEP * step).find(|&after| {
        let window = end + after..end + after + WINDOW;
        let first = outcomes.partition_point(|outcome| outcome.came < window.start);
        let last = outcomes.partition_point(|outcome| outcome.came < window.end);
        let calls = &outcomes[first..last];
        let good = calls.iter().filter(|outcome| outcome.succeeded.is_some()).count();
        good as f64 >= RECOVERED * calls.len() as f64
    })
}

fn useful(outcomes: &[Outcome], from: Tick, to: Tick) -> f64 {
    let done = outcomes
        .iter()
        .filter(|outcome| outcome.succeeded.is_some_and(|at| (from..to).contains(&at)))
        .count();
    let possible = WORKERS as f64 * to.since(from).as_secs_f64() / WORK.as_secs_f64();
    done as f64 / possible
}
