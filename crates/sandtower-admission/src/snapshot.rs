use serde::Serialize;

/// Admission control at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AdmissionSnapshot {
    /// The name that its user gave it.
    pub name: String,
    /// Whether it is being closed.
    pub draining: bool,
    /// A queue for each operation seen so far.
    pub queues: Vec<QueueSnapshot>,
    /// The weights of the calls in flight, of all operations. Only counted where a limit needs it.
    pub in_flight: u32,
    /// The most that they may be.
    pub concurrency_total: Option<u32>,
    /// Whether limits are in shadow mode.
    pub shadow: bool,
    /// Tenants that have calls waiting or in flight, or used something of a rate of their own.
    pub tenants: u32,
    /// How often a call came of a tenant for which there was no room: it shared the limits of others.
    pub tenants_overflowed: u64,
}

/// One operation's queue and what became of its calls. Counters begin when admission control is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueSnapshot {
    /// The operation.
    pub operation: &'static str,
    /// How many calls may be in flight.
    pub limit: u32,
    /// What an adaptive limit takes for the time of a call without a queue below, in milliseconds.
    pub baseline_ms: Option<u64>,
    /// How many are in flight.
    pub in_flight: u32,
    /// How many wait.
    pub waiting: u32,
    /// How many wait, by class: interactive, batch, background.
    pub waiting_by_priority: [u32; 3],
    /// Whether calls of a tenant have waited for too long, so that its newest go first.
    pub newest_first: bool,
    /// Calls that were let through.
    pub admitted: u64,
    /// Of those, the ones that had to wait.
    pub admitted_after_wait: u64,
    /// Rejected since the queue was full.
    pub rejected_full: u64,
    /// Of those, calls that waited and made room for one of a higher class, or of a tenant with fewer
    /// calls in the queue.
    pub shed: u64,
    /// Rejected since their deadline came, or would have come, before their turn.
    pub rejected_late: u64,
    /// Rejected by a gate.
    pub rejected_by_gate: u64,
    /// Rejected by a rate that has no room before their deadline.
    pub rejected_by_limit: u64,
    /// Rejected since admission control shuts down.
    pub rejected_draining: u64,
    /// Left the queue since their futures were dropped.
    pub left: u64,
    /// Let through in [shadow mode](crate::Config::shadow), where a limit would have kept them waiting.
    pub beyond_limit: u64,
}
