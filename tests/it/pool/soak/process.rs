//! Processes that are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use sandtower::E2b;
use sandtower::core::{BoxError, Seed};
use sandtower::e2b::NewSandbox;
use sandtower::pool::{PoolSnapshot, SqliteStock, Step, Stock, Wall};
use sandtower::stack::{Plan, Stack};
use sandtower_sim::{Body, Sim};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use super::{BUDGET, EPOCH, IDLE_FOR, MAX};

/// A transport of a process that may be killed: from then on nothing is sent and nothing comes back.
#[derive(Clone)]
struct Mortal {
    sim: Sim,
    is_dead: Arc<AtomicBool>,
}

type Responding = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl Service<Request<Full<Bytes>>> for Mortal {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Responding;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Responding {
        let (sim, is_dead) = (self.sim.clone(), Arc::clone(&self.is_dead));
        Box::pin(async move {
            let mut sent = Some(Box::pin(sim.oneshot(request)));
            std::future::poll_fn(|cx| {
                if is_dead.load(Ordering::Relaxed) {
                    // The connection is gone with its process.
                    sent = None;
                }
                let Some(sent) = &mut sent else { return Poll::Pending };
                sent.as_mut().poll(cx).map_err(Into::into)
            })
            .await
        })
    }
}

/// What was recorded, by all processes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Calls that create for the stock.
    pub(super) calls: BTreeSet<String>,
    /// Sandboxes that are no longer stock, and since when.
    pub(super) taken: BTreeMap<String, Duration>,
}

/// The record of a process that may be killed: from then on nothing is written, and another may have it.
#[derive(Debug)]
struct MortalStock {
    stock: Arc<Mutex<Option<SqliteStock>>>,
    seen: Arc<Mutex<Seen>>,
    sim: Sim,
}

impl MortalStock {
    fn with<T>(
        &self,
        work: impl FnOnce(&SqliteStock) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        match &*self.stock.lock().unwrap() {
            Some(stock) => work(stock),
            None => Err("the process is dead".into()),
        }
    }
}

impl Stock for MortalStock {
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError> {
        self.with(Stock::load)
    }

    fn record(&self, steps: &[Step]) -> Result<(), BoxError> {
        self.with(|stock| {
            stock.record(steps)?;
            let mut seen = self.seen.lock().unwrap();
            for step in steps {
                match step {
                    Step::Ordered { call, .. } => drop(seen.calls.insert(call.to_string())),
                    Step::Taken { id } => {
                        seen.taken.insert(id.to_string(), self.sim.elapsed());
                    }
                    // Its caller left: it was stock all the time.
                    Step::Ending { id, .. } => drop(seen.taken.remove(id.as_str())),
                    _ => {}
                }
            }
            Ok(())
        })
    }

    fn close(&self) {
        if let Some(stock) = &*self.stock.lock().unwrap() {
            stock.close();
        }
    }
}

pub(super) struct Process {
    pub(super) e2b: E2b,
    is_dead: Arc<AtomicBool>,
    stock: Arc<Mutex<Option<SqliteStock>>>,
    pub(super) callers: JoinSet<()>,
}

impl Process {
    /// With a record in the file at `store`, if there is one.
    pub(super) fn start(
        sim: &Sim,
        number: u64,
        store: Option<&Path>,
        seen: &Arc<Mutex<Seen>>,
    ) -> Self {
        let is_dead = Arc::new(AtomicBool::new(false));
        let clock = sim.clone();
        let wall = move || Wall(EPOCH + i64::try_from(clock.elapsed().as_secs()).unwrap());
        let stock = store.map(|path| SqliteStock::open(path, &crate::pool::config()).unwrap());
        let stock = Arc::new(Mutex::new(stock));
        let recorded = store.map(|_| {
            let (stock, seen) = (Arc::clone(&stock), Arc::clone(seen));
            MortalStock { stock, seen, sim: sim.clone() }
        });
        let plan = Plan::Custom {
            create_every: Duration::from_millis(50),
            sandboxes: 150.try_into().unwrap(),
            concurrent_creates: 30.try_into().unwrap(),
        };
        let stack = Stack::builder(crate::pool::config())
            .plan(plan)
            .seed(Seed::fixed(number))
            .pool(|pool| {
                let pool = pool.min(2).max(MAX).budget(BUDGET).idle_for(IDLE_FOR);
                pool.shape(&NewSandbox::new("base"))
            })
            .pool_hooks(move |pool| {
                let pool = pool.wall(wall).seed(&Seed::fixed(number));
                match recorded {
                    Some(recorded) => pool.stock(recorded),
                    None => pool,
                }
            });
        let transport = Mortal { sim: sim.clone(), is_dead: Arc::clone(&is_dead) };
        let e2b = E2b::new(&stack.build().unwrap(), transport);
        Self { e2b, is_dead, stock, callers: JoinSet::new() }
    }

    /// What `kill -9` does.
    pub(super) fn kill(mut self) -> PoolSnapshot {
        let snapshot = self.e2b.snapshot().pool.unwrap();
        self.is_dead.store(true, Ordering::Relaxed);
        drop(self.stock.lock().unwrap().take());
        self.callers.abort_all();
        snapshot
    }
}
