//! What one tenant, or one class of calls, costs the others; and what becomes of calls while E2B is down.
//! The recommended stack, in virtual time, in front of a model of E2B: `docs/fairness.md`.

mod noisy;
mod outage;
mod service;

pub use self::noisy::{
    Equal, Noisy, Order, Priorities, equal_tenants, noisy_neighbour, priorities,
};
pub use self::outage::{Outage, outage};

use std::future::Future;
use std::time::Duration;

use sandtower::core::BoxError;

/// Calls that E2B works on at once.
const SLOTS: u32 = 10;

/// How long each of them takes.
const SERVICE: Duration = Duration::from_secs(1);

/// Runs it in virtual time.
fn in_virtual_time<F: Future>(run: F) -> Result<F::Output, BoxError> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    Ok(runtime.enable_time().start_paused(true).build()?.block_on(run))
}

/// The 99th percentile.
fn p99(mut waits: Vec<Duration>) -> Duration {
    waits.sort_unstable();
    waits.get(waits.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default()
}
