use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandtower::core::{BoxError, Rejection, Rng, Seed};
use sandtower::e2b::{Client, Config, Error, NewSandbox, Sandbox, TrackerSnapshot, operation};
use sandtower::stack::{Plan, Stack, StackService};
use sandtower_sim::{Fault, Limits, Sim, World};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::weather;

/// SandboxTracker, and what they meet with.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// How many.
    pub creations: u32,
    /// Whether half of the callers go before they have their sandbox.
    pub callers_go: bool,
    /// Whether the listing lags.
    pub listing_lags: bool,
    /// Where all chance comes from.
    pub seed: u64,
}

/// What became of them all.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Callers who got their sandbox.
    pub got: u64,
    /// Callers who got an error, by what it was.
    pub errors: BTreeMap<String, u64>,
    /// Callers who went first.
    pub went: u64,
    /// Sandboxes that two callers got.
    pub handed_out_twice: u64,
    /// Sandboxes that ended while their caller held them.
    pub lost_while_held: u64,
    /// Sandboxes alive in the end that nobody holds.
    pub leaked: u64,
    /// Sandboxes that only the end of their lifetime has ended.
    pub expired: u64,
    /// Requests to make a sandbox that arrived.
    pub attempts: u64,
    /// Of those, the ones whose result nobody could know.
    pub unknown: u64,
    /// Sandboxes that were made.
    pub made: u64,
    /// What the stack did about it.
    pub creations: TrackerSnapshot,
    /// Time on the simulator's clock.
    pub virtual_time: Duration,
}

impl Report {
    /// Whether nobody lost anything, nothing was left behind, and each caller heard what became of
    /// the call.
    pub fn is_clean(&self) -> bool {
        let wrong = [self.handed_out_twice, self.lost_while_held, self.leaked, self.expired];
        wrong == [0; 4] && !self.errors.keys().any(|error| error.starts_with("unclear"))
    }
}

/// Callers at a time.
const CALLERS: u32 = 16;
/// SandboxTracker in flight.
const IN_FLIGHT: u32 = 10;
/// Callers who keep their sandbox until the end.
const KEEPERS: usize = 5;
/// Longer than any run: nothing ends by itself.
const LIFETIME: Duration = Duration::from_secs(30 * 86_400);

impl Storm {
    /// Lets it pass, in virtual time: the runtime is made here, with a paused clock.
    ///
    /// # Errors
    ///
    /// A runtime cannot be made, or a constant of this file is wrong.
    pub fn pass(self) -> Result<Report, BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build()?;
        runtime.block_on(self.rage())
    }

    async fn rage(self) -> Result<Report, BoxError> {
        let mut faults = weather::unknown_results();
        let unknown: BTreeSet<String> = faults.iter().map(|fault| fault.name.clone()).collect();
        faults.extend(weather::troubled_calls());
        if self.listing_lags {
            faults.extend(weather::lagging_listing());
        }
        let sim = sim(faults, self.seed)?;
        let config = Config::new("e2b_storm")?.api_url("http://e2b.test")?;
        let config = config.sandbox_url("http://e2b.test")?;
        // A limit that learns would take this weather for a cluster that is weak: what is looked at
        // here is the end of each creation, not their pace.
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
        // Whatever could still commit has done so.
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
            made: ledger.creates.created,
            creations: stack.handles().tracker.snapshot(),
            virtual_time: sim.elapsed(),
            ..report
        })
    }

    async fn caller(self, client: Caller, share: u32, mut rng: Rng, seen: Arc<Mutex<Seen>>) {
        for _ in 0..share {
            let new = NewSandbox::new("base").timeout(LIFETIME);
            // Anywhere: in line, while it is made, while it is looked for, while it is checked.
            let patience = match self.callers_go && rng.bool() {
                true => Duration::from_millis(rng.u64(..8_000)),
                false => Duration::from_secs(1_000),
            };
            let Ok(made) = timeout(patience, client.create(&new)).await else {
                lock(&seen).report.went += 1;
                continue;
            };
            match made {
                Ok(sandbox) => {
                    if lock(&seen).keeps(&sandbox) {
                        continue;
                    }
                    sleep(Duration::from_millis(rng.u64(..10_000))).await;
                    end(&client, &sandbox, &seen).await;
                }
                Err(error) => {
                    lock(&seen).failed(&error);
                    // Who is rejected comes back when told to.
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
    /// Whether the caller who got this sandbox is to keep it.
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
            (None, Some(status)) => format!("answered {}", status.as_u16()),
            (None, None) => format!("no answer: {}", error.verdict().outcome),
        };
        let what = if error.call().id.is_some() { what } else { format!("unclear: {error}") };
        *self.report.errors.entry(what).or_default() += 1;
    }
}

/// Ends a sandbox for good. It has to have been alive until then.
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
