//! One tenant that asks for far too much, tenants that all do, and batch work beside people who wait.

use std::sync::Arc;
use std::time::Duration;

use sandtower::E2b;
use sandtower::core::{BoxError, Priority};

use super::service::{Call, World, callers, client};
use super::{SERVICE, SLOTS, in_virtual_time, p99};

const TENANTS: u32 = 10;
const FIVE_MINUTES: Duration = Duration::from_secs(300);

/// What each tenant may have of the capacity, in calls a second.
fn share() -> f64 {
    f64::from(SLOTS) / SERVICE.as_secs_f64() / f64::from(TENANTS)
}

/// Whether the stack knows whose calls they are, and which are urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It does.
    Fair,
    /// It does not: one queue for all. What the other is compared with.
    Ignored,
}

/// What becomes of ten tenants, of which one offers 50 times its share and nine 80 % of theirs.
#[derive(Clone, Copy, Debug)]
pub struct Noisy {
    /// Of the nine: the least that one was served of what it offered.
    pub others_throughput_worst: f64,
    /// Of the nine: what they were served of what they offered.
    pub others_throughput: f64,
    /// The 99th percentile of their waits.
    pub others_wait_p99: Duration,
    /// What the greedy one was served, of what the others left.
    pub greedy_of_the_rest: f64,
    /// Jain's index of the nine.
    pub jain: f64,
}

/// Runs it for five minutes.
///
/// # Errors
///
/// The stack or the runtime cannot be built.
pub fn noisy_neighbour(order: Order, seed: u64) -> Result<Noisy, BoxError> {
    in_virtual_time(async move {
        let e2b = client(&Arc::new(World::default()), seed)?;
        let greedy = of_tenant(&e2b, order, 0);
        let greedy = callers(greedy, 50.0 * share(), FIVE_MINUTES, seed);
        let others: Vec<_> = (1..TENANTS)
            .map(|n| {
                let own_seed = seed * 1_000 + u64::from(n);
                callers(of_tenant(&e2b, order, n), 0.8 * share(), FIVE_MINUTES, own_seed)
            })
            .collect();
        let greedy = served(&greedy.at_the_end().await?);
        let mut all = Vec::new();
        let (mut shares, mut counts) = (Vec::new(), Vec::new());
        for other in others {
            let calls = other.done().await?;
            shares.push(served(&calls) / calls.len() as f64);
            counts.push(served(&calls));
            all.extend(calls);
        }
        let capacity = f64::from(TENANTS) * share() * FIVE_MINUTES.as_secs_f64();
        let waits = all.iter().filter(|call| call.served).map(Call::wait).collect();
        Ok(Noisy {
            others_throughput_worst: shares.iter().copied().fold(f64::INFINITY, f64::min),
            others_throughput: served(&all) / all.len() as f64,
            others_wait_p99: p99(waits),
            greedy_of_the_rest: greedy / (capacity - served(&all)),
            jain: jain(&counts),
        })
    })?
}

/// What becomes of ten tenants that all offer twice their share.
#[derive(Clone, Copy, Debug)]
pub struct Equal {
    /// Jain's index of what they were served.
    pub jain: f64,
    /// What they were served, of the capacity.
    pub used: f64,
}

/// Runs it for five minutes. The first tenant offers ten times its share, not twice, so that a queue
/// that goes by arrival alone is seen to be unfair.
///
/// # Errors
///
/// The stack or the runtime cannot be built.
pub fn equal_tenants(order: Order, seed: u64) -> Result<Equal, BoxError> {
    in_virtual_time(async move {
        let e2b = client(&Arc::new(World::default()), seed)?;
        let all: Vec<_> = (0..TENANTS)
            .map(|n| {
                let own_seed = seed * 1_000 + u64::from(n);
                let times = if n == 0 { 10.0 } else { 2.0 };
                callers(of_tenant(&e2b, order, n), times * share(), FIVE_MINUTES, own_seed)
            })
            .collect();
        let mut counts = Vec::new();
        for tenant in all {
            counts.push(served(&tenant.at_the_end().await?));
        }
        let capacity = f64::from(TENANTS) * share() * FIVE_MINUTES.as_secs_f64();
        Ok(Equal { jain: jain(&counts), used: counts.iter().sum::<f64>() / capacity })
    })?
}

/// What batch work of ten times the capacity costs interactive calls at half of it.
#[derive(Clone, Copy, Debug)]
pub struct Priorities {
    /// The 99th percentile of the wait of interactive calls without it.
    pub alone: Duration,
    /// The same beside it.
    pub beside: Duration,
    /// What batch calls were served, of the capacity.
    pub batch: f64,
}

/// Runs both for two minutes.
///
/// # Errors
///
/// The stack or the runtime cannot be built.
pub fn priorities(order: Order, seed: u64) -> Result<Priorities, BoxError> {
    let time = Duration::from_secs(120);
    let capacity = f64::from(SLOTS) / SERVICE.as_secs_f64();
    let run = |has_batch: bool| {
        in_virtual_time(async move {
            let e2b = client(&Arc::new(World::default()), seed)?;
            let batch = has_batch.then(|| {
                let batch = match order {
                    Order::Fair => e2b.priority(Priority::Batch),
                    Order::Ignored => e2b.clone(),
                };
                callers(batch, 10.0 * capacity, time, seed + 1)
            });
            let interactive = callers(e2b, capacity / 2.0, time, seed).done().await?;
            let batch = match batch {
                Some(batch) => served(&batch.at_the_end().await?),
                None => 0.0,
            };
            let lost = interactive.iter().any(|call| !call.served);
            let waits = interactive.iter().map(Call::wait).collect();
            let wait = if lost { Duration::MAX } else { p99(waits) };
            Ok::<_, BoxError>((wait, batch / capacity / time.as_secs_f64()))
        })?
    };
    let ((alone, _), (beside, batch)) = (run(false)?, run(true)?);
    Ok(Priorities { alone, beside, batch })
}

fn of_tenant(e2b: &E2b, order: Order, n: u32) -> E2b {
    match order {
        Order::Fair => {
            let name = format!("tenant {n}");
            e2b.tenant(e2b.handles().tenants.seen(&name, &name))
        }
        Order::Ignored => e2b.clone(),
    }
}

fn served(calls: &[Call]) -> f64 {
    calls.iter().filter(|call| call.served).count() as f64
}

/// Jain's index: 1 if all are equal, 1/n if one has it all.
fn jain(counts: &[f64]) -> f64 {
    let sum: f64 = counts.iter().sum();
    let squares: f64 = counts.iter().map(|count| count * count).sum();
    sum * sum / (counts.len() as f64 * squares)
}
