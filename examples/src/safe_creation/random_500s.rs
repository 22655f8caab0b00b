use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower::core::{BoxError, Seed};
use sandtower::e2b::{Client, Config, NewSandbox};
use sandtower::stack::{Plan, Stack};
use tokio::time::sleep;
use tower_service::Service;

use super::faults;
use super::storm::sim;

/// What users see of random 500s, with the stack and without.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random500s {
    /// Creations of each client.
    pub creations: u32,
    /// How many of the bare client's calls failed with a 500.
    pub bare: u32,
    /// How many of the stack client's calls failed with a 500.
    pub stack: u32,
    /// How many of the stack client's calls failed in any way.
    pub stack_failed: u32,
    /// Sandboxes alive at the end, after all that were returned were killed.
    pub leaked: u64,
}

impl Random500s {
    /// A tenth of all calls of the control plane gets a 500; a client without layers and one with the
    /// recommended stack create this many sandboxes each on the same simulator.
    ///
    /// # Errors
    ///
    /// A runtime cannot be created, or a constant of this file is wrong.
    pub fn run(creations: u32, seed: u64) -> Result<Self, BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build()?;
        runtime.block_on(async {
            let sim = sim(faults::random_500s(0.1), seed)?;
            let config = Config::new("e2b_storm")?.api_url("http://e2b.test")?;
            let config = config.sandbox_url("http://e2b.test")?;
            let bare = Client::new(sim.clone(), config.clone());
            let stack = Stack::seeded(config, Plan::Pro, Seed::fixed(seed));
            let client = stack.client(sim.clone());
            let mut seen = Self { creations, ..Self::default() };
            for _ in 0..creations {
                let failed = lives_once(&bare).await;
                seen.bare += u32::from(failed == Some(Some(StatusCode::INTERNAL_SERVER_ERROR)));
                let failed = lives_once(&client).await;
                seen.stack += u32::from(failed == Some(Some(StatusCode::INTERNAL_SERVER_ERROR)));
                seen.stack_failed += u32::from(failed.is_some());
            }
            stack.handles().tracker.drain_within(Duration::from_secs(3_600)).await?;
            sleep(Duration::from_secs(200)).await;
            seen.leaked = sim.ledger().active;
            Ok(seen)
        })
    }
}

/// Creates and kills a sandbox; if the creation failed, the status.
async fn lives_once<S, B>(client: &Client<S>) -> Option<Option<StatusCode>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    // At the pace of the plan: this is about 500s, not 429s.
    sleep(Duration::from_secs(1)).await;
    let created = client.create(&NewSandbox::new("base")).await;
    let sandbox = match created {
        Ok(sandbox) => sandbox,
        Err(error) => return Some(error.status()),
    };
    while client.kill(sandbox.id()).await.is_err() {
        sleep(Duration::from_secs(1)).await;
    }
    None
}
