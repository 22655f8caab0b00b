//! What a mock counts.

/// Counts of a [`Mock`](crate::Mock), over all of its instances.
///
/// Read with [`Handle::counts`](crate::Handle::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Clones made.
    pub clones: u64,
    /// Instances that exist now, the original included.
    pub instances_live: u64,
    /// Polls of readiness.
    pub readiness_polls: u64,
    /// Calls.
    pub calls: u64,
    /// Calls that completed, with success or failure.
    pub responses: u64,
    /// Calls whose future was dropped before it completed.
    pub dropped_early: u64,
    /// Calls that have neither completed nor been dropped.
    pub in_flight: u64,
    /// The most calls ever in flight together.
    pub in_flight_max: u64,
    /// Response futures that exist now, completed or not.
    pub futures_live: u64,
    /// Instances that are ready, but neither called nor dropped.
    pub reservations_held: u64,
    /// Instances queued for a reservation, where these are limited.
    pub reservations_awaited: u64,
    /// Wake-ups that the mock has sent.
    pub wakes: u64,
}
