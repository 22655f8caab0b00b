//! A service that runs code for its users over the recommended stack: it shows them their position in the
//! queue, turns rejections into 429 or 503 with `Retry-After`, and shuts down in order.
//!
//! ```sh
//! cargo run -p examples --example axum_service
//! ```
//!
//! The service is in `service.rs`. Here it gets a simulated E2B with two sandboxes, and five users; then E2B
//! has no machines left; then the service shuts down while users wait.

mod service;
mod users;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use examples::simulated;
use sandtower::circuit_breaker::Trip;
use sandtower::core::BoxError;
use sandtower::e2b::operation as op;
use sandtower::stack::{Plan, Stack};
use sandtower_sim::{Fault, FaultKind, FaultResponse, Limits};
use sandtower_telemetry::{Durations, Registry};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use users::{Runs, Users};

const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let limits = Limits { concurrent_sandboxes: TWO.get(), ..sandtower_sim::Plan::Pro.limits() };
    let sim = sandtower_sim::Config::new().limits(limits).build()?;
    let config = simulated::config(&simulated::serve(sim.clone()).await?)?;

    // How long calls take, for `/metrics`.
    let durations = Durations::new(op::GROUPS, op::group);
    let registry = Registry::new();
    registry.add("e2b", durations.clone())?;

    let create_every = Duration::from_millis(200);
    let e2b = Stack::builder(config)
        .plan(Plan::Custom { create_every, sandboxes: TWO, concurrent_creates: TWO })
        // For the demonstration. The recommended configuration opens later and for a second at first, and needs no
        // operator to reset it.
        .circuit_breaker(|breaker| {
            breaker.trip(Trip::ConsecutiveFailures(3)).open_for(Duration::from_secs(30))
        })
        // During shutdown, a user with a sandbox may still run code in it.
        .admission(|room| room.admit_during_shutdown(op::CODE_EXECUTE))
        .observe_calls(Arc::new(durations))
        // Spans of calls and attempts, which go where the service's own spans go.
        .traces(|traces| traces)
        .build()?
        .connect()?;
    let breaker = e2b.handles().control_plane_breaker.clone();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let users = Users::of(listener.local_addr()?);
    // In a service of yours this is `tokio::signal::ctrl_c()`, or a SIGTERM.
    let (shut_down, shutdown) = oneshot::channel();
    let shutdown = async { shutdown.await.unwrap_or_default() };
    let service = tokio::spawn(service::serve(listener, e2b, registry, shutdown));

    say("Five users, and two sandboxes:");
    let runs = users.run(5);
    say(&format!("a waiting user reads: {}", users.see_one_wait(5).await?));
    show(runs).await?;

    say("\nE2B has no machine left:");
    sim.set_faults(vec![no_machine()])?;
    show(users.run(1)).await?;
    let (_, snapshot) = users.look("/snapshot").await?;
    say(&format!("the snapshot says: {}", snapshot["control_plane_breaker"]["state"]));
    sim.set_faults(Vec::new())?;
    breaker.reset();

    let failed = users.metric("sandtower_creations_failed_total").await?;
    say(&format!("its metrics say: {failed}"));

    say("\nThe service is shut down while users wait:");
    let runs = users.run(4);
    users.see_one_wait(4).await?;
    // If the service has failed there is no receiver; the failure is reported below.
    let _ = shut_down.send(());
    show(runs).await?;
    service.await??;
    say(&format!("shut down; sandboxes left behind: {}", sim.active()));
    Ok(())
}

fn no_machine() -> Fault {
    Fault {
        on: vec![String::from("sandbox_create")],
        response: Some(FaultResponse::Capacity503),
        ..Fault::new("no machine", FaultKind::Respond)
    }
}

async fn show(mut runs: Runs) -> Result<(), BoxError> {
    while let Some(run) = runs.join_next().await {
        say(&run??);
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
