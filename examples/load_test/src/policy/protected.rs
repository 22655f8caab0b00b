//! The application over the recommended stack.

use sandtower::core::Seed;
use sandtower::e2b::{Client, Config, operation as op};
use sandtower::stack::{Handles, Plan, Stack, StackService};

use super::{Execute, Failure, Job, Look, Transport, compute, make};

/// It retries nothing itself.
#[derive(Debug)]
pub(crate) struct Protected {
    client: Client<StackService>,
    handles: Handles,
}

impl Protected {
    pub(crate) fn new(transport: impl Transport, config: Config, plan: Plan, seed: u64) -> Self {
        let stack = Stack::seeded(config, plan, Seed::fixed(seed));
        Self { client: stack.client(transport), handles: stack.handles().clone() }
    }
}

impl Protected {
    pub(crate) fn handles(&self) -> &Handles {
        &self.handles
    }
}

impl Execute for Protected {
    async fn execute(&self, job: &Job) -> Result<(), Failure> {
        let (sandbox, held) = make(&self.client, job).await?;
        let sandbox = self.client.kill_on_drop(sandbox);
        let done = compute(&self.client, &sandbox, job).await;
        // A sandbox that cannot be killed now is killed in the background.
        let _ended = sandbox.close().await;
        drop(held);
        done
    }

    fn look(&self) -> Look {
        let retry = self.handles.retry.snapshot();
        let queues = self.handles.admission.snapshot().queues;
        let creates = queues.iter().find(|queue| queue.operation == op::SANDBOX_CREATE.name());
        Look {
            retries: retry.retries + retry.returns,
            breaker: Some(self.handles.control_plane_breaker.snapshot().state.label()),
            limit: creates.map(|queue| u64::from(queue.limit)),
            waiting: queues.iter().map(|queue| u64::from(queue.waiting)).sum(),
        }
    }
}
