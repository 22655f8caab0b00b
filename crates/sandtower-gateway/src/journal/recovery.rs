use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sandtower::core::Tick;
use sandtower::e2b::{CALL_KEY, CallId, Client, SandboxId, SandboxInfo};
use sandtower::stack::StackService;

use super::{Journal, Left};
use crate::gateway::Shared;
use crate::keys::{KeyStack, TenantId};

/// How long after its process ended a creation can still appear: E2B's API gives up after 70 s, a creation
/// in flight commits up to 20 s later, and a listing may lack it for 20 s more.
const APPEARS_WITHIN: Duration = Duration::from_secs(110);
/// Between two sweeps; after a failure, twice the time before, up to the most.
const EVERY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// For so long a service that fails is asked again; then the next start does it.
const GIVES_UP_AFTER: Duration = Duration::from_secs(3_600);

/// What an earlier process left behind, by key of the service: swept at the start if the key is in the
/// configuration, else once a request brings it.
#[derive(Debug)]
pub(crate) struct Recovery {
    left: Mutex<HashMap<TenantId, Calls>>,
    is_over: AtomicBool,
    started: Tick,
}

/// Calls whose sandboxes are killed, except the one that the caller may own.
type Calls = HashMap<CallId, Option<SandboxId>>;

impl Recovery {
    pub(crate) fn new(all: Vec<Left>) -> Self {
        if !all.is_empty() {
            let creations = all.len();
            tracing::info!(creations, "an earlier process ended with creations in flight");
        }
        let mut left: HashMap<_, Calls> = HashMap::new();
        for Left { call, tenant, offered } in all {
            left.entry(tenant).or_default().insert(call, offered);
        }
        let is_over = AtomicBool::new(left.is_empty());
        Self { left: Mutex::new(left), is_over, started: Tick::now() }
    }

    /// Sweeps for all keys in the configuration, in the runtime of this worker.
    pub(crate) fn start(&self, shared: &Arc<Shared>, worker: usize) {
        let generation = shared.generation.load_full();
        for place in generation.places() {
            for secret in place.own.secrets() {
                if let Ok((_, stack)) = place.keys.get(secret.expose()) {
                    self.seen(&stack, worker, shared);
                }
            }
        }
    }

    /// The key of this stack is there: what was left behind under it is swept in the background.
    pub(crate) fn seen(&self, stack: &Arc<KeyStack>, worker: usize, shared: &Arc<Shared>) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let calls = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = left.remove(&stack.tenant());
            self.is_over.store(left.is_empty(), Ordering::Relaxed);
            calls
        };
        let (Some(calls), Some(journal)) = (calls, &shared.journal) else { return };
        let sweep = Sweep {
            calls,
            stack: Arc::clone(stack),
            client: stack.client(stack.place().transport(worker)),
            shared: Arc::clone(shared),
            journal: Arc::clone(journal),
            appears_until: self.started + APPEARS_WITHIN,
        };
        // Not awaited: it ends by itself, and a runtime that ends leaves the rows to the next start.
        drop(tokio::spawn(sweep.run()));
    }
}

/// The sweep for one key.
struct Sweep {
    calls: Calls,
    stack: Arc<KeyStack>,
    client: Client<StackService>,
    shared: Arc<Shared>,
    journal: Arc<Journal>,
    appears_until: Tick,
}

impl Sweep {
    /// Until one sweep has succeeded that began when nothing could appear any more.
    async fn run(self) {
        let gives_up = Tick::now() + GIVES_UP_AFTER;
        let mut pause = EVERY.0;
        loop {
            let began = Tick::now();
            match self.once().await {
                Ok(()) if began >= self.appears_until => break,
                Ok(()) => pause = EVERY.0,
                Err(error) if began >= gives_up => {
                    tracing::warn!(key = %self.stack.tenant(), %error, "orphaned sandboxes were not swept");
                    return;
                }
                Err(_) => pause = (pause * 2).min(EVERY.1),
            }
            tokio::time::sleep(pause).await;
        }
        for sandbox in self.calls.values().flatten() {
            tracing::warn!(
                key = %self.stack.tenant(), sandbox = %sandbox,
                "the process ended while a sandbox was returned: it lives, though its caller may not have it"
            );
        }
        self.journal.forget(self.calls.keys().copied());
    }

    /// Kills what appeared.
    async fn once(&self) -> Result<(), sandtower::e2b::Error> {
        let owner = self.stack.config().owner_name();
        let killed = self.client.sweep(owner, |sandbox| !is_orphan(&self.calls, sandbox));
        for sandbox in killed.await? {
            self.shared.sandboxes.gone(&sandbox);
            self.shared.virtual_keys.stopped(&sandbox).await;
            tracing::info!(key = %self.stack.tenant(), %sandbox, "orphaned sandbox of an earlier process killed");
        }
        Ok(())
    }
}

/// Whether the sandbox is of one of these calls, and not the one that a caller may own.
fn is_orphan(calls: &Calls, sandbox: &SandboxInfo) -> bool {
    let call = sandbox.metadata.get(CALL_KEY).and_then(|call| call.parse().ok());
    let offered = call.and_then(|call: CallId| calls.get(&call));
    offered.is_some_and(|offered| offered.as_ref() != Some(&sandbox.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_caller_can_own_is_an_orphan() {
        let call = |number: u8| -> CallId { format!("{number:032x}").parse().unwrap() };
        let calls = Calls::from([(call(1), None), (call(2), Some("i2".parse().unwrap()))]);
        let is_orphan = |id: &str, mark: &str| {
            let sandbox = serde_json::json!({"sandboxID": id, "metadata": {CALL_KEY: mark}});
            is_orphan(&calls, &serde_json::from_value(sandbox).unwrap())
        };
        assert!(is_orphan("i1", &call(1).to_string()));
        assert!(is_orphan("i3", &call(2).to_string()), "a second one of a call with an owner");
        assert!(!is_orphan("i2", &call(2).to_string()));
        assert!(!is_orphan("i4", &call(3).to_string()), "a call that the journal does not know");
        assert!(!is_orphan("i5", "mine"));
    }
}
