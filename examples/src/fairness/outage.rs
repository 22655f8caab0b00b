//! E2B is down for a minute while calls of all classes arrive.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use sandtower::circuit_breaker::State;
use sandtower::core::{BoxError, Priority, Tick};
use tokio::time::sleep;

use super::service::{Call, World, callers, client};
use super::{SERVICE, SLOTS, in_virtual_time};

const BEFORE: Duration = Duration::from_secs(30);
const DOWN: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(60);

/// What became of the calls.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Interactive calls that were rejected while the breaker was open, and of those, how many took longer
    /// than 50 ms: those that were sent as probes.
    pub rejected: usize,
    /// Of those, the ones that took longer than 50 ms.
    pub rejected_late: usize,
    /// Batch and background calls that arrived while the breaker was open.
    pub held: usize,
    /// Of those, the ones that were served.
    pub held_served: usize,
    /// When the last of them was done, after the recovery.
    pub last_after: Duration,
    /// The most requests in a second, of the ten after the recovery, as a multiple of the capacity.
    pub peak: f64,
    /// Requests sent between the opening of the breaker and the recovery, and how many of them were probes.
    pub sent_while_open: u64,
    /// Those of them that were probes.
    pub probes: u64,
}

/// Runs it, with calls of each class at `load` of the capacity.
///
/// # Errors
///
/// The stack or the runtime cannot be built.
pub fn outage(load: f64, seed: u64) -> Result<Outage, BoxError> {
    in_virtual_time(async move {
        let world = Arc::new(World::default());
        let e2b = client(&world, seed)?;
        let capacity = f64::from(SLOTS) / SERVICE.as_secs_f64();
        let arrive = |priority: Priority| {
            let own_seed = seed * 10 + priority.index() as u64;
            let time = BEFORE + DOWN + AFTER;
            callers(e2b.priority(priority), load * capacity, time, own_seed)
        };
        let [interactive, batch, background] = Priority::ALL.map(arrive);
        sleep(BEFORE).await;
        world.down.store(true, SeqCst);
        let end = Tick::now() + DOWN;
        let breaker = &e2b.handles().control_plane_breaker;
        while breaker.snapshot().state == State::Closed && Tick::now() < end {
            sleep(Duration::from_millis(1)).await;
        }
        let opened = Tick::now();
        sleep(end.since(opened)).await;
        let probes = breaker.snapshot().counters.probes;
        world.down.store(false, SeqCst);
        let while_open = |call: &&Call| call.arrived >= opened && call.arrived < end;
        let interactive = interactive.done().await?;
        let rejected = interactive.iter().filter(while_open).filter(|call| call.rejected);
        let late = |call: &&Call| call.done.since(call.arrived) > Duration::from_millis(50);
        let held = [batch.done().await?, background.done().await?].concat();
        let held: Vec<_> = held.iter().filter(while_open).collect();
        let last = held.iter().map(|call| call.done).max().unwrap_or(end);
        let requests = world.requests();
        let between = |from: Tick, to: Tick| {
            requests.iter().filter(|&&at| at >= from && at < to).count() as u64
        };
        let peak = (0..90).map(|tenth| {
            let from = end + Duration::from_millis(100 * tenth);
            between(from, from + Duration::from_secs(1))
        });
        Ok(Outage {
            rejected: rejected.clone().count(),
            rejected_late: rejected.filter(late).count(),
            held: held.len(),
            held_served: held.iter().filter(|call| call.served).count(),
            last_after: last.since(end),
            peak: peak.max().unwrap_or(0) as f64 / capacity,
            // A retry that was decided on before may be on its way in the millisecond of the opening.
            sent_while_open: between(opened, end),
            probes,
        })
    })?
}
