//! E2B as a model, the stack in front of it, and callers at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use sandtower::E2b;
use sandtower::core::{BoxError, Rng, Seed, Tick};
use sandtower::e2b::{Config, operation as op};
use sandtower::stack::Stack;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::service_fn;

use super::{SERVICE, SLOTS};

/// How E2B does.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) down: AtomicBool,
    /// When requests came.
    requests: Mutex<Vec<Tick>>,
}

impl World {
    pub(super) fn requests(&self) -> Vec<Tick> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client with the recommended stack around `world`, whose calls may take as long as an outage.
pub(super) fn client(world: &Arc<World>, seed: u64) -> Result<E2b, BoxError> {
    let stack = Stack::builder(Config::new("e2b_0123")?)
        .seed(Seed::fixed(seed))
        .admission(|admission| {
            // As for creations: a second is no long wait where each call takes one.
            let ordered = admission.newest_first_after_for(op::SANDBOX_LIST, Duration::MAX);
            ordered.concurrency_for(op::SANDBOX_LIST, SLOTS)
        })
        .timeouts(|timeouts| timeouts.call(op::SANDBOX_LIST, Duration::from_secs(600)))
        .build()?;
    let world = Arc::clone(world);
    let http = service_fn(move |_: Request<Full<Bytes>>| {
        let world = Arc::clone(&world);
        async move {
            world.requests.lock().unwrap_or_else(PoisonError::into_inner).push(Tick::now());
            let status = if world.down.load(SeqCst) {
                sleep(Duration::from_millis(20)).await;
                StatusCode::BAD_GATEWAY
            } else {
                sleep(SERVICE).await;
                StatusCode::OK
            };
            let mut response = Response::new(Full::from("[]"));
            *response.status_mut() = status;
            Ok::<_, BoxError>(response)
        }
    });
    Ok(E2b::new(&stack, http))
}

/// What became of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) arrived: Tick,
    pub(super) done: Tick,
    pub(super) served: bool,
    pub(super) rejected: bool,
}

impl Call {
    /// How long it took beside the work itself.
    pub(super) fn wait(&self) -> Duration {
        self.done.since(self.arrived).saturating_sub(SERVICE)
    }
}

/// Calls that arrive at random, so many a second, for so long.
pub(super) fn callers(e2b: E2b, a_second: f64, time: Duration, seed: u64) -> Callers {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&calls);
    let arrivals = async move {
        let (mut rng, end) = (Rng::with_seed(seed), Tick::now() + time);
        let mut callers = JoinSet::new();
        loop {
            let pause = -(1.0 - rng.f64()).ln() / a_second;
            sleep(Duration::from_secs_f64(pause)).await;
            if Tick::now() >= end {
                return callers;
            }
            callers.spawn(one(e2b.clone(), Arc::clone(&seen)));
        }
    };
    Callers { arrivals: tokio::spawn(arrivals), calls }
}

async fn one(e2b: E2b, seen: Arc<Mutex<Vec<Call>>>) {
    let arrived = Tick::now();
    let result = e2b.list(&Default::default()).await;
    let rejected = result
        .as_ref()
        .err()
        .is_some_and(|error| sandtower::core::find::<sandtower::core::Rejection>(error).is_some());
    let call = Call { arrived, done: Tick::now(), served: result.is_ok(), rejected };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(call);
}

pub(super) struct Callers {
    arrivals: tokio::task::JoinHandle<JoinSet<()>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Callers {
    /// All of them, once each is done.
    pub(super) async fn done(self) -> Result<Vec<Call>, BoxError> {
        self.arrivals.await?.join_all().await;
        Ok(std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Those that are done when the last one has arrived; the others leave.
    pub(super) async fn at_the_end(self) -> Result<Vec<Call>, BoxError> {
        drop(self.arrivals.await?);
        Ok(std::mem::take(&mut self.calls.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
