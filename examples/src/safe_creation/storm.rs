use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower::core::{BoxError, Rejection, Rng, Seed};
use sandtower::e2b::{Client, Config, Error, NewSandbox, Sandbox, TrackerSnapshot, operation};
use sandtower::stack::{Plan, Stack, StackService};
use sandtower_sim::{Fault, Limits, Sim, World};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::faults;

/// Creations, and their faults.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// The number of creations.
    pub creations: u32,
    /// Whether half of the callers go away before they have their sandbox.
    pub callers_go: bool,
    /// Whether the listing lags.
    pub listing_lags: bool,
    /// The seed of the run.
    pub seed: u64,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Callers that got their sandbox.
    pub got: u64,
    /// Callers that got an error, by its kind.
    pub errors: BTreeMap<String, u64>,
    /// Callers that went away first.
    pub went: u64,
    /// Sandboxes that two callers got.
    pub handed_out_twice: u64,
    /// Sandboxes that ended while their caller owned them.
    pub lost_while_held: u64,
    /// Sandboxes alive at the end without an owner.
    pub leaked: u64,
    /// Sandboxes that only the end of their lifetime ended.
    pub expired: u64,
    /// Requests to create a sandbox that arrived.
    pub attempts: u64,
    /// Of those, the ones whose result was unknown.
    pub unknown: u64,
    /// Sandboxes that were created.
    pub created: u64,
    /// What the stack did.
    pub creations: TrackerSnapshot,
    /// Time on the simulator's clock.
    pub virtual_time: Duration,
}

impl Report {
    /// Whether no sandbox was lost or left behind, and each caller learned the result of its call.
    pub fn is_clean(&self) -> bool {
        let wrong = [self.handed_out_twice, self.lost_while_held, self.leaked, self.expired];
        wrong == [0; 4] && !self.errors.keys().any(|error| error.starts_with("unclear"))
    }
}

/// Concurrent callers.
const CALLERS: u32 = 16;
/// Creations in flight.
const IN_FLIGHT: u32 = 10;
/// Callers that keep their sandbox until the end.
const KEEPERS: usize = 5;
/// Longer than any run: no sandbox ends by itself.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

impl Storm {
    /// Runs it in virtual time: the runtime is created here, with a paused clock.
    ///
    /// # Errors
    ///
    /// A runtime cannot be created, or a constant of this file is wrong.
    pub fn pass(self) -> Result<Report, BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build()?;
        runtime.block_on(self.rage())
    }

    async fn rage(self) -> Result<Report, BoxError> {
        let mut injected = faults::unknown_results();
        let unknown: BTreeSet<String> = injected.iter().map(|fault| fault.name.clone()).collect();
        injected.extend(faults::troubled_calls());
        if self.listing_lags {
            injected.extend(faults::lagging_listing());
        }
        let sim = sim(injected, self.seed)?;
        let config = Config::new("e2b_storm")?.api_url("http://e2b.test")?;
        let config = config.sandbox_url("http://e2b.test")?;
        // An adaptive limit would take these faults for an overloaded cluster: this is about the end of each
        // creation, not about their pace.
        let stack = Stack::builder(config)
            .plan(Plan::Pro)
            .admission(|room| room.concurrency_for(operation::SANDBOX_CREATE, IN_FLIGHT))
            .seed(Seed::fixed(self.seed))
            .build()?;
        let client = stack.client(sim.clone());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let share = self.creations / CALLERS + u32::from(caller < self.creations % CALLERS);
            let rng = Rng::with_seed(self.seed ^ u64::from(caller).wrapping_mul(0x9e37_79b9));
            callers.spawn(self.caller(client.clone(), share, rng, Arc::clone(&seen)));
        }
        while let Some(ended) = callers.join_next().await {
            ended?;
        }
        stack.handles().tracker.drain_within(Duration::from_secs(3_600)).await?;
        // Everything that could still commit has done so.
        sleep(Duration::from_secs(200)).await;
        let kept = std::mem::take(&mut lock(&seen).kept);
        let held = kept.len() as u64;
        let ledger = sim.ledger();
        let leaked = (ledger.active + ledger.paused).saturating_sub(held);
        for sandbox in &kept {
            end(&client, sandbox, &seen).await;
        }
        let report = lock(&seen).report.clone();
        Ok(Report {
            leaked,
            expired: ledger.expired,
            attempts: ledger.creates.received,
            unknown: unknown.iter().filter_map(|name| ledger.injected.get(name)).sum(),
            created: ledger.creates.created,
            creations: stack.handles().tracker.snapshot(),
            virtual_time: sim.elapsed(),
            ..report
        })
    }

    async fn caller(self, client: Caller, share: u32, mut rng: Rng, seen: Arc<Mutex<Seen>>) {
        for _ in 0..share {
            let new = NewSandbox::new("base").timeout(LIFETIME);
            // At any point: queued, during the creation, the reconciliation or the check.
            let patience = match self.callers_go && rng.bool() {
                true => Duration::from_millis(rng.u64(..8_000)),
                false => Duration::from_secs(1_000),
            };
            let Ok(created) = timeout(patience, client.create(&new)).await else {
                lock(&seen).report.went += 1;
                continue;
            };
            match created {
                Ok(sandbox) => {
                    if lock(&seen).keeps(&sandbox) {
                        continue;
                    }
                    sleep(Duration::from_millis(rng.u64(..10_000))).await;
                    end(&client, &sandbox, &seen).await;
                }
                Err(error) => {
                    lock(&seen).failed(&error);
                    // A rejected caller comes back after `retry_after`.
                    sleep(error.rejection().and_then(Rejection::retry_after).unwrap_or_default())
                        .await;
                }
            }
        }
    }
}

type Caller = Client<StackService>;

pub(super) fn sim(faults: Vec<Fault>, seed: u64) -> Result<Sim, BoxError> {
    let world =
        World { create_median: Duration::from_secs(2), create_spread: 0.3, ..World::calm() };
    let limits = Limits { max_lifetime: LIFETIME, ..sandtower_sim::Plan::Pro.limits() };
    let config = sandtower_sim::Config::new().seed(seed).world(world).limits(limits);
    Ok(config.faults(faults).call_key(sandtower::e2b::CALL_KEY).build()?)
}

/// What the callers saw.
#[derive(Debug, Default)]
struct Seen {
    report: Report,
    handed_out: BTreeSet<String>,
    kept: Vec<Sandbox>,
}

impl Seen {
    /// Whether the caller that got this sandbox keeps it.
    fn keeps(&mut self, sandbox: &Sandbox) -> bool {
        self.report.got += 1;
        if !self.handed_out.insert(sandbox.id().to_string()) {
            self.report.handed_out_twice += 1;
        }
        let keeps = self.kept.len() < KEEPERS;
        if keeps {
            self.kept.push(sandbox.clone());
        }
        keeps
    }

    fn failed(&mut self, error: &Error) {
        let what = match (error.rejection(), error.status()) {
            (Some(rejection), _) => format!("rejected: {}", rejection.reason().label()),
            (None, Some(status)) => format!("status {}", status.as_u16()),
            (None, None) => format!("no response: {}", error.verdict().outcome),
        };
        let what = if error.call().id.is_some() { what } else { format!("unclear: {error}") };
        *self.report.errors.entry(what).or_default() += 1;
    }
}

/// Kills a sandbox. It has to have been alive until then.
async fn end(client: &Caller, sandbox: &Sandbox, seen: &Mutex<Seen>) {
    let mut failed = false;
    loop {
        match client.kill(sandbox.id()).await {
            Ok(was_there) => {
                lock(seen).report.lost_while_held += u64::from(!was_there && !failed);
                return;
            }
            Err(_) => failed = true,
        }
        sleep(Duration::from_secs(1)).await;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
