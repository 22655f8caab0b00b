//! The load that took an application down, before and after.
//!
//! Six users send two queries each; the agent of every query runs code in a sandbox of E2B, which is
//! simulated: its creations are limited in rate and in parallel, and get slower and fail as load grows. The
//! application runs in three ways: unprotected, with a widespread hand-written pattern, and over the
//! recommended stack. Other scenarios are loads at a rate.

mod app;
mod books;
mod load;
mod options;
mod outcome;
mod policy;
mod run;
mod scenario;
mod status;
mod table;
mod target;
mod wire;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sandtower::core::{BoxError, Seed};
use sandtower::e2b::Config;
use sandtower_load::{PolicyReport, SeedFigures, medians, series, worst};
use sandtower_sim::{Sim, World};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub use self::load::{Callers, Load, Shape};
pub use self::options::{Clock, Options, TargetOptions, USAGE};
pub use self::outcome::{Outcome, QueryResult};
pub use self::policy::Policy;
pub use self::scenario::Setup;
pub use self::status::{Status, Unwatched, Watch};
pub use self::table::{Summary, Table};
pub use self::target::{Target, TargetError};

use self::run::{Test, run, tell_truth};
use self::wire::Meter;

/// On a paused clock, in a new runtime: the same seed gives the same run.
///
/// # Errors
///
/// The load or the world is invalid, or no runtime can be created.
pub fn in_process(
    setup: &Setup,
    policy: Policy,
    seed: u64,
    watch: &mut dyn Watch,
) -> Result<Outcome, BoxError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let sim = simulator(setup, seed)?;
        let config = config("http://e2b.test", seed)?;
        let test = Test { clock: "virtual", ..test(setup, policy, seed) };
        let (mut outcome, handed_out) = run(&test, sim.clone(), config, watch).await?;
        // Creations of unknown outcome may still appear: until E2B itself times them out, and then until they
        // are found.
        tokio::time::sleep(E2B_GIVES_UP + LOOKED_FOR).await;
        tell_truth(&mut outcome, &handed_out, &sim);
        Ok(outcome)
    })
}

/// The stress scenario in `world`: [`in_process`], without progress.
///
/// # Errors
///
/// The world is invalid, or no runtime can be created.
pub fn stress_in(world: World, policy: Policy, seed: u64) -> Result<Outcome, BoxError> {
    let setup = Setup::stress_in(world).ok_or("there is no stress scenario")?;
    in_process(&setup, policy, seed, &mut Unwatched)
}

/// The API's own timeout for a request, and how late it may still commit.
const E2B_GIVES_UP: Duration = Duration::from_secs(90);
/// A listing lags, and a kill may fail for a while.
const LOOKED_FOR: Duration = Duration::from_secs(60);

/// In real time, over loopback sockets. Takes minutes.
///
/// # Errors
///
/// The load or the world is invalid, or no socket can be had.
pub fn over_sockets<'a>(
    setup: &'a Setup,
    policy: Policy,
    seed: u64,
    watch: &'a mut dyn Watch,
) -> Running<'a, Outcome> {
    Box::pin(async move {
        let sim = simulator(setup, seed)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let config = config(&format!("http://{}", listener.local_addr()?), seed)?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(sandtower_sim::serve(listener, sim.clone(), async {
            // Dropping the sender stops the server too.
            let _ended = stopped.await;
        }));
        let transport = plaintext();
        let test = Test { clock: "real", ..test(setup, policy, seed) };
        let (mut outcome, handed_out) = run(&test, transport, config, watch).await?;
        let patience = tokio::time::sleep(E2B_GIVES_UP + LOOKED_FOR);
        tokio::select! {
            () = patience => {}
            () = nothing_is_left(&sim) => {}
        }
        tell_truth(&mut outcome, &handed_out, &sim);
        drop(stop);
        server.await??;
        Ok(outcome)
    })
}

/// What runs until it is dropped. Boxed, so that it is compiled here and not once more in the program.
pub type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + 'a>>;

/// HTTP without TLS.
type Plaintext = Client<HttpConnector, Full<Bytes>>;

fn plaintext() -> Plaintext {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn nothing_is_left(sim: &Sim) {
    while sim.active() > 0 || sim.ledger().creates.in_flight > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn test(setup: &Setup, policy: Policy, seed: u64) -> Test<'_> {
    Test { setup, policy, seed, clock: "", mark: None, meter: Meter::new(u64::MAX) }
}

fn simulator(setup: &Setup, seed: u64) -> Result<Sim, BoxError> {
    let config = sandtower_sim::Config::new().seed(seed).ledger_capacity(1_000_000);
    Ok(config.scenario(setup.scenario.clone()).build()?)
}

/// The simulator accepts any key of this form.
fn config(url: &str, seed: u64) -> Result<Config, BoxError> {
    let config = Config::new("e2b_0000000000000000000000000000000000000000")?;
    Ok(config.seed(Seed::fixed(seed)).api_url(url)?.sandbox_url(url)?)
}

/// The results of all seeds of one policy in one scenario.
pub fn report(outcomes: &[Outcome]) -> PolicyReport {
    let runs: Vec<SeedFigures> = outcomes.iter().map(Outcome::figures).collect();
    let Some(place) = worst(&runs) else { return PolicyReport::default() };
    let outcome = &outcomes[place];
    PolicyReport {
        median: medians(&runs),
        worst: runs[place].clone(),
        series: series(&outcome.calls(), &outcome.samples),
        slowest: outcome.slowest(),
        queries: outcome.queries(),
        runs,
    }
}
