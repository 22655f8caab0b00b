//! The small load that took an application down, before and after.
//!
//! Six users ask two queries each; every query has its agent run code in a sandbox of E2B, here a
//! simulated one whose creations are limited in rate and in parallel, and slower and failing as load
//! grows. First the application retries blindly, as it did; then it runs over the recommended stack.

mod app;
mod policy;
mod table;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sandtower::core::BoxError;
use sandtower::e2b::Config;
use sandtower_sim::{Sim, World};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub use self::app::{Load, Query};
pub use self::table::{Outcome, Table};

use self::policy::{Protected, Transport, Unprotected};

/// How the application runs code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Every failure is retried twice, whatever it was.
    Before,
    /// Over the recommended stack.
    After,
}

/// On a paused clock, in a runtime of its own: the same seed gives the same run.
///
/// # Errors
///
/// The world makes no sense, or no runtime can be had.
pub fn in_process(load: Load, way: Way, world: World) -> Result<Outcome, BoxError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let sim = simulator(load.seed, world)?;
        let config = config("http://e2b.test")?;
        let mut outcome = measure(load, way, sim.clone(), config).await;
        // What was given up on may still come into being: until E2B itself gives up on it.
        tokio::time::sleep(E2B_GIVES_UP).await;
        outcome.count(&sim);
        Ok(outcome)
    })
}

const E2B_GIVES_UP: Duration = Duration::from_secs(90);

/// In real time, over loopback sockets. Takes minutes.
///
/// # Errors
///
/// The world makes no sense, or no socket can be had.
pub async fn over_sockets(load: Load, way: Way, world: World) -> Result<Outcome, BoxError> {
    let sim = simulator(load.seed, world)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let config = config(&format!("http://{}", listener.local_addr()?))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(sandtower_sim::serve(listener, sim.clone(), async {
        // Dropping the sender stops the server too.
        let _ended = stopped.await;
    }));
    let transport = Client::builder(TokioExecutor::new()).build_http();
    let mut outcome = measure(load, way, transport, config).await;
    drop(stop);
    server.await??;
    outcome.count(&sim);
    Ok(outcome)
}

fn simulator(seed: u64, world: World) -> Result<Sim, BoxError> {
    Ok(sandtower_sim::Config::new().seed(seed).world(world).build()?)
}

/// The simulator takes any key of this form.
fn config(url: &str) -> Result<Config, BoxError> {
    Ok(Config::new("e2b_0000000000000000000000000000000000000000")?
        .api_url(url)?
        .sandbox_url(url)?)
}

async fn measure(load: Load, way: Way, transport: impl Transport, config: Config) -> Outcome {
    let (policy, queries, retries) = match way {
        Way::Before => {
            let unprotected = Arc::new(Unprotected::new(transport, config));
            let queries = app::run(load, Arc::clone(&unprotected)).await;
            ("unprotected", queries, unprotected.retries())
        }
        Way::After => {
            let protected = Arc::new(Protected::new(transport, config, load.seed));
            let queries = app::run(load, Arc::clone(&protected)).await;
            ("sandtower", queries, protected.retries())
        }
    };
    Outcome { policy, queries, retries, creates: 0, left: 0 }
}
