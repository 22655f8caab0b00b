//! The application over the recommended stack.

use std::time::Duration;

use sandtower::E2b;
use sandtower::core::{BoxError, Priority, Seed, Tick};
use sandtower::e2b::{Config, NewSandbox, operation as op};
use sandtower::stack::{Handles, Plan, Stack};

use super::{Caller, Execute, Failure, Job, Look, Transport, compute, make};

/// Warm sandboxes: one for each user of the stress test.
const WARM: u32 = 6;
const FILLED_WITHIN: Duration = Duration::from_secs(120);

/// It retries nothing itself.
pub(crate) struct Protected {
    e2b: E2b,
}

impl Protected {
    pub(crate) fn new(transport: impl Transport, config: Config, plan: Plan, seed: u64) -> Self {
        let stack = Stack::seeded(config, plan, Seed::fixed(seed));
        Self { e2b: E2b::new(&stack, transport) }
    }

    /// With warm sandboxes for `new`, filled before the load begins.
    pub(crate) async fn pooled(
        transport: impl Transport,
        config: Config,
        plan: Plan,
        seed: u64,
        new: &NewSandbox,
    ) -> Result<Self, BoxError> {
        let new = new.clone();
        let stack = Stack::builder(config)
            .plan(plan)
            .seed(Seed::fixed(seed))
            .pool(move |pool| pool.min(WARM).max(WARM).shape(&new))
            .build()?;
        let e2b = E2b::new(&stack, transport);
        let until = Tick::now() + FILLED_WITHIN;
        let idle = || e2b.snapshot().pool.map_or(0, |pool| pool.idle);
        while idle() < WARM && Tick::now() < until {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Ok(Self { e2b })
    }

    fn on_behalf_of(&self, caller: Caller) -> E2b {
        let e2b = match caller.tenant {
            None => self.e2b.clone(),
            Some(tenant) => {
                let name = format!("tenant {tenant}");
                self.e2b.tenant(self.e2b.handles().tenants.seen(&name, &name))
            }
        };
        if caller.is_batch { e2b.priority(Priority::Batch) } else { e2b }
    }

    pub(crate) fn handles(&self) -> &Handles {
        self.e2b.handles()
    }
}

impl Execute for Protected {
    async fn execute(&self, job: &Job, caller: Caller) -> Result<(), Failure> {
        let e2b = self.on_behalf_of(caller);
        let (sandbox, held) = make(&e2b, job).await?;
        let sandbox = e2b.kill_on_drop(sandbox);
        let done = compute(&e2b, &sandbox, job).await;
        // A sandbox that cannot be killed now is killed in the background.
        let _ended = sandbox.close().await;
        drop(held);
        done
    }

    fn look(&self) -> Look {
        let handles = self.e2b.handles();
        let retry = handles.retry.snapshot();
        let queues = handles.admission.snapshot().queues;
        let creates = queues.iter().find(|queue| queue.operation == op::SANDBOX_CREATE.name());
        Look {
            retries: retry.retries + retry.returns,
            breaker: Some(handles.control_plane_breaker.snapshot().state.label()),
            limit: creates.map(|queue| u64::from(queue.limit)),
            waiting: queues.iter().map(|queue| u64::from(queue.waiting)).sum(),
        }
    }
}
