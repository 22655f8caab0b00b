use serde::Serialize;

/// A snapshot of admission control.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AdmissionSnapshot {
    /// The name given in the configuration.
    pub name: String,
    /// Whether it is shutting down.
    pub draining: bool,
    /// A queue for each operation seen so far.
    pub queues: Vec<QueueSnapshot>,
    /// Total weight of the calls in flight, of all operations. Counted only if a limit needs it.
    pub in_flight: u32,
    /// The limit on that weight.
    pub concurrency_total: Option<u32>,
    /// Whether limits are in shadow mode.
    pub shadow: bool,
    /// Number of tenants with calls queued or in flight, or with usage of a rate per tenant.
    pub tenants: u32,
    /// Number of calls whose tenant found the tenant table full and shared its limits with others.
    pub tenants_overflowed: u64,
}

/// The queue of one operation and the outcomes of its calls. Counters start when admission control is
/// created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueSnapshot {
    /// The operation.
    pub operation: &'static str,
    /// Maximum calls in flight.
    pub limit: u32,
    /// Baseline latency of an adaptive or stepwise limit, in milliseconds.
    pub baseline_ms: Option<u64>,
    /// Calls in flight.
    pub in_flight: u32,
    /// Queued calls.
    pub waiting: u32,
    /// Queued calls by class: interactive, batch, background.
    pub waiting_by_priority: [u32; 3],
    /// Whether calls of a tenant have waited so long that its newest go first.
    pub newest_first: bool,
    /// Admitted calls.
    pub admitted: u64,
    /// Admitted calls that were queued first.
    pub admitted_after_wait: u64,
    /// Calls rejected because the queue was full.
    pub rejected_full: u64,
    /// Those of them that were queued and displaced by a call of a higher class, or of a tenant with fewer
    /// queued calls.
    pub shed: u64,
    /// Calls rejected because their deadline passed, or would have passed, in the queue.
    pub rejected_late: u64,
    /// Calls rejected by a gate.
    pub rejected_by_gate: u64,
    /// Calls rejected because a rate would not admit them before their deadline.
    pub rejected_by_limit: u64,
    /// Calls rejected because admission control was shutting down.
    pub rejected_draining: u64,
    /// Calls that left the queue because their futures were dropped.
    pub left: u64,
    /// Calls admitted in [shadow mode](crate::Config::shadow) that a limit would have queued.
    pub beyond_limit: u64,
}
