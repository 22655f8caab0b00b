use serde::Serialize;

/// What a waiting room looks like at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AdmissionSnapshot {
    /// The name that its user gave it.
    pub name: String,
    /// Whether it is being closed.
    pub draining: bool,
    /// A lane for each operation seen so far.
    pub lanes: Vec<QueueSnapshot>,
}

/// One operation's line and what it led to. Counters count since the room was made.
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
    /// Whether the line stands, so that the newest goes first.
    pub newest_first: bool,
    /// Calls that were let through.
    pub admitted: u64,
    /// Of those, the ones that had to wait.
    pub admitted_after_wait: u64,
    /// Rejected since the line was full.
    pub rejected_full: u64,
    /// Rejected since their deadline came, or would have come, before their turn.
    pub rejected_late: u64,
    /// Rejected by a gate.
    pub rejected_by_gate: u64,
    /// Rejected since the room is being closed.
    pub rejected_draining: u64,
    /// Left the line of their own will: their futures were dropped.
    pub left: u64,
}
