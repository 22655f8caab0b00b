use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Gates, Part};
use crate::admission::{AdmissionControl, AdmissionSnapshot, Quota, QuotaSnapshot};
use crate::circuit_breaker::CircuitBreaker;
use crate::e2b::{Creations, CreationsSnapshot, EventCounts, Events};
use crate::health_check::{Monitor, MonitorSnapshot};
use crate::rate_limit::RateLimit;
use crate::{circuit_breaker, fallback, health_check, rate_limit, retry};

/// The handles of all layers of one stack: to read, and to steer. Those of layers that were dropped
/// from it are there too, and count nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handles {
    /// What was tried again, and why not.
    pub retry: retry::Handle,
    /// What was made, or may have been, and is held by nobody: drain it before the program ends.
    pub creations: Creations,
    /// What becomes of creations: how many began, succeeded, failed.
    pub events: Events,
    /// What was checked and released.
    pub health_check: health_check::Handle,
    /// Who is inside, and who waits.
    pub room: AdmissionControl<Gates>,
    /// How many sandboxes are in use; tell it of those whose end was seen elsewhere.
    pub quota: Quota,
    /// What was counted by operation.
    pub rate_limit: RateLimit,
    /// The breaker of the control plane: its state; reset it here.
    pub circuit_breaker: CircuitBreaker,
    /// The breaker of what runs in sandboxes.
    pub sandbox_breaker: CircuitBreaker,
    /// How often the default template was used; `None`: there is none.
    pub default_template: Option<fallback::Handle>,
    /// How the service is, by a probe on a schedule; `None`: nobody [asked](super::Builder::monitor)
    /// for it.
    pub monitor: Option<Monitor>,
    /// The parts that were dropped.
    pub without: Arc<[Part]>,
}

impl Handles {
    /// All of it at one moment, for a log or a dashboard.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            without: self.without.to_vec(),
            default_template: self.default_template.as_ref().map(fallback::Handle::snapshot),
            retry: self.retry.snapshot(),
            creations: self.creations.snapshot(),
            events: self.events.counts(),
            health_check: self.health_check.counts(),
            room: self.room.snapshot(),
            quota: self.quota.snapshot(),
            rate_limit: self.rate_limit.stats(),
            circuit_breaker: self.circuit_breaker.snapshot(),
            sandbox_breaker: self.sandbox_breaker.snapshot(),
            monitor: self.monitor.as_ref().map(Monitor::snapshot),
        }
    }

    /// Closes for good, for the end of a program: calls that wait or come from now on are rejected, and
    /// those that were sent are waited for; then what nobody holds is ended. Sandboxes that callers
    /// hold are theirs: they can be listed and killed until the rest is done.
    ///
    /// It takes as long as the calls do, and at most 5 minutes more. What was sent or is being killed
    /// goes on if it is dropped; nothing opens again.
    ///
    /// # Errors
    ///
    /// Something that nobody holds is not ended yet.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self) -> Result<(), Undrained> {
        if let Some(monitor) = &self.monitor {
            monitor.stop();
        }
        self.room.begin_shutdown().await;
        let checks = self.health_check.drain(LONGEST_RELEASE).await;
        let creations = self.creations.drain(LONGEST_RELEASE).await;
        self.room.drain().await;
        match (checks, creations) {
            (Ok(()), Ok(())) => Ok(()),
            (checks, creations) => {
                let left = checks.err().map_or(0, |undrained| undrained.left);
                Err(Undrained { left: left + creations.err().map_or(0, |open| open.left) })
            }
        }
    }
}

/// An attempt without a known result is settled after about 2 minutes; a kill is tried for longer.
const LONGEST_RELEASE: Duration = Duration::from_secs(150);

/// A stack was closed before all that nobody holds was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} things that nobody holds are not ended yet")]
#[non_exhaustive]
pub struct Undrained {
    /// How many.
    pub left: u64,
}

/// A whole stack at one moment. What was dropped from it counts nothing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The parts that were dropped.
    pub without: Vec<Part>,
    /// Of the default template, if there is one.
    pub default_template: Option<fallback::Snapshot>,
    /// Of the retry layer.
    pub retry: retry::Snapshot,
    /// Of what nobody holds.
    pub creations: CreationsSnapshot,
    /// What became of creations.
    pub events: EventCounts,
    /// Of the health check.
    pub health_check: health_check::Counts,
    /// Of the waiting room.
    pub room: AdmissionSnapshot,
    /// Of the quota of sandboxes.
    pub quota: QuotaSnapshot,
    /// Of the rate limit.
    pub rate_limit: rate_limit::Stats,
    /// Of the circuit breaker of the control plane.
    pub circuit_breaker: circuit_breaker::Snapshot,
    /// Of that of what runs in sandboxes.
    pub sandbox_breaker: circuit_breaker::Snapshot,
    /// How the service is, if it is looked after.
    pub monitor: Option<MonitorSnapshot>,
}
