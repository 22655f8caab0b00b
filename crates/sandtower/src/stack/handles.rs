use serde::Serialize;

use crate::admission::{Quota, QuotaSnapshot, Room, RoomSnapshot};
use crate::circuit_breaker::CircuitBreaker;
use crate::e2b::{Creations, CreationsSnapshot};
use crate::rate_limit::RateLimit;
use crate::stack::Gates;
use crate::{circuit_breaker, health_check, rate_limit, retry};

/// The handles of all layers of one stack: to read, and to steer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handles {
    /// What was tried again, and why not.
    pub retry: retry::Handle,
    /// What was made, or may have been, and is held by nobody: drain it before the program ends.
    pub creations: Creations,
    /// What was checked and released.
    pub health_check: health_check::Handle,
    /// Who is inside, and who waits.
    pub room: Room<Gates>,
    /// How many sandboxes are in use; tell it of those whose end was seen elsewhere.
    pub quota: Quota,
    /// What was counted by operation.
    pub rate_limit: RateLimit,
    /// The breaker's state; reset it here.
    pub circuit_breaker: CircuitBreaker,
}

impl Handles {
    /// All of it at one moment, for a log or a dashboard.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            retry: self.retry.snapshot(),
            creations: self.creations.snapshot(),
            health_check: self.health_check.counts(),
            room: self.room.snapshot(),
            quota: self.quota.snapshot(),
            rate_limit: self.rate_limit.stats(),
            circuit_breaker: self.circuit_breaker.snapshot(),
        }
    }
}

/// A whole stack at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// Of the retry layer.
    pub retry: retry::Snapshot,
    /// Of what nobody holds.
    pub creations: CreationsSnapshot,
    /// Of the health check.
    pub health_check: health_check::Counts,
    /// Of the waiting room.
    pub room: RoomSnapshot,
    /// Of the quota of sandboxes.
    pub quota: QuotaSnapshot,
    /// Of the rate limit.
    pub rate_limit: rate_limit::Stats,
    /// Of the circuit breaker.
    pub circuit_breaker: circuit_breaker::Snapshot,
}
