//! A service with a number of workers and an endless queue in front of them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use sandtower::core::{BoxError, ClassifiedError, Effect, Rng, Verdict};
use tokio::sync::Semaphore;
use tower_service::Service;

use super::stack::Call;

/// Workers in normal operation.
pub(crate) const WORKERS: usize = 20;
/// The mean time of a call in a worker.
pub(crate) const WORK: Duration = Duration::from_secs(1);

/// Work in progress is finished, and queued work is done, whether or not its caller is still there: that
/// makes an overload sustain itself.
#[derive(Clone)]
pub(crate) struct Server {
    shared: Rc<Shared>,
}

struct Shared {
    workers: Semaphore,
    taken: Cell<usize>,
    dead: Cell<bool>,
    rng: RefCell<Rng>,
}

impl Server {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = RefCell::new(Rng::with_seed(seed));
        let workers = Semaphore::new(WORKERS);
        let (taken, dead) = Default::default();
        Self { shared: Rc::new(Shared { workers, taken, dead, rng }) }
    }

    /// All attempts fail at once.
    pub(crate) fn die(&self, dead: bool) {
        self.shared.dead.set(dead);
    }

    /// Leaves this many workers; busy ones finish first.
    pub(crate) async fn workers(&self, left: usize) {
        let taken = self.shared.taken.get();
        let want = WORKERS - left;
        if want > taken {
            // It is never closed.
            if let Ok(permits) = self.shared.workers.acquire_many((want - taken) as u32).await {
                permits.forget();
            }
        } else {
            self.shared.workers.add_permits(taken - want);
        }
        self.shared.taken.set(want);
    }

    /// Log-normal with a spread of 0.3 and the mean of [`WORK`].
    fn work(&self) -> Duration {
        const SPREAD: f64 = 0.3;
        let mut rng = self.shared.rng.borrow_mut();
        let (a, b) = (1.0 - rng.f64(), rng.f64());
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        WORK.mul_f64((SPREAD * normal - SPREAD * SPREAD / 2.0).exp())
    }
}

impl Service<Call> for Server {
    type Response = ();
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<(), BoxError>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Call) -> Self::Future {
        if self.shared.dead.get() {
            let unreachable =
                ClassifiedError::new(Verdict::transient(Effect::None), "connection refused");
            return Box::pin(std::future::ready(Err(unreachable.into())));
        }
        let (server, work) = (self.clone(), self.work());
        let done = tokio::task::spawn_local(async move {
            let _worker = server.shared.workers.acquire().await;
            tokio::time::sleep(work).await;
        });
        Box::pin(async move {
            done.await?;
            Ok(())
        })
    }
}
