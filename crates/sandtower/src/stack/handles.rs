use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;

use super::{Component, Gates};
use crate::admission::{AdmissionControl, AdmissionSnapshot, Quota, QuotaSnapshot};
use crate::circuit_breaker::CircuitBreaker;
use crate::core::{Sleep, Tenants, TenantsSnapshot, Tick};
use crate::e2b::{Events, EventsSnapshot, SandboxTracker, TrackerSnapshot};
use crate::health_check::{Monitor, MonitorSnapshot};
#[cfg(feature = "pool")]
use crate::pool::{Pool, PoolSnapshot};
use crate::rate_limit::RateLimit;
use crate::{circuit_breaker, e2b, fallback, health_check, rate_limit, retry};

/// The handles of all layers of a stack, to read and to control them. Those of disabled components exist
/// too, and count nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handles {
    /// Counts of retries.
    pub retry: retry::Handle,
    /// The tracker of orphaned sandboxes: drain it before the program ends.
    pub tracker: SandboxTracker,
    /// Counts of creations: started, succeeded, failed.
    pub events: Events,
    /// Counts of checked and released sandboxes.
    pub health_check: health_check::Handle,
    /// Calls in flight and in the queues.
    pub admission: AdmissionControl<Gates>,
    /// The tenants of requests: name those that appear in them, change those that are known.
    pub tenants: Tenants,
    /// The warm pool; `None`: not [enabled](super::Builder::pool).
    #[cfg(feature = "pool")]
    pub pool: Option<Pool>,
    /// The sandboxes in use; report to it sandboxes whose end was seen elsewhere.
    pub quota: Quota,
    /// Counts by operation.
    pub rate_limit: RateLimit,
    /// The breaker of the control plane: its state; can be reset.
    pub control_plane_breaker: CircuitBreaker,
    /// The breaker of the data plane.
    pub data_plane_breaker: CircuitBreaker,
    /// How often the default template was used; `None`: none is configured.
    pub default_template: Option<fallback::Handle>,
    /// The health of the service, by periodic probes; `None`: not [enabled](super::Builder::monitor).
    pub monitor: Option<Monitor>,
    /// The components that were disabled.
    pub disabled: Arc<[Component]>,
}

impl Handles {
    /// A snapshot of all layers, for a log or a dashboard.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            disabled: self.disabled.to_vec(),
            default_template: self.default_template.as_ref().map(fallback::Handle::snapshot),
            retry: self.retry.snapshot(),
            tracker: self.tracker.snapshot(),
            events: self.events.snapshot(),
            health_check: self.health_check.snapshot(),
            admission: self.admission.snapshot(),
            tenants: self.tenants.snapshot(),
            #[cfg(feature = "pool")]
            pool: self.pool.as_ref().map(Pool::snapshot),
            quota: self.quota.snapshot(),
            rate_limit: self.rate_limit.snapshot(),
            control_plane_breaker: self.control_plane_breaker.snapshot(),
            data_plane_breaker: self.data_plane_breaker.snapshot(),
            monitor: self.monitor.as_ref().map(Monitor::snapshot),
        }
    }

    /// Shuts down within 5 minutes: see [`drain_within`](Self::drain_within).
    ///
    /// # Errors
    ///
    /// Work was left after 5 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self) -> Result<(), Undrained> {
        self.drain_within(Duration::from_secs(300)).await
    }

    /// Shuts down for good, before the program ends: calls that wait or arrive from now on are rejected,
    /// and those in flight are awaited; then orphaned sandboxes are cleaned up. Sandboxes that callers own
    /// are not touched: they can be listed and killed until the shutdown is complete. Warm sandboxes are
    /// killed first.
    ///
    /// Returns when all is done, or after `duration`. If the future is dropped, the stack stays shut down,
    /// and requests in flight and kills continue.
    ///
    /// # Errors
    ///
    /// Work was left after `duration`; the error lists it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain_within(&self, duration: Duration) -> Result<(), Undrained> {
        let until = Tick::now() + duration;
        let left = || until.since(Tick::now());
        if let Some(monitor) = &self.monitor {
            monitor.stop();
        }
        #[cfg(feature = "pool")]
        if let Some(pool) = &self.pool {
            pool.shut_down(left()).await;
        }
        let calls = ends_by(until, self.admission.begin_shutdown()).await;
        let releases = self.health_check.drain(left()).await;
        let tracked = self.tracker.drain_within(left()).await;
        let last = ends_by(until, self.admission.drain()).await;
        if calls && last && releases.is_ok() && tracked.is_ok() {
            return Ok(());
        }
        let queues = self.admission.snapshot().queues;
        Err(Undrained {
            in_flight: queues.iter().map(|queue| queue.in_flight).sum(),
            releases: releases.err().map_or(0, |undrained| undrained.left),
            tracked: tracked.err(),
        })
    }
}

/// Whether `ended` completes in time.
async fn ends_by(until: Tick, ended: impl Future<Output = ()>) -> bool {
    let mut ended = pin!(ended);
    let mut late = pin!(Sleep::until(until));
    poll_fn(|cx| {
        if ended.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        late.as_mut().poll(cx).map(|()| false)
    })
    .await
}

/// The work that was left when a stack was shut down.
#[derive(Debug)]
#[non_exhaustive]
pub struct Undrained {
    /// Calls in flight.
    pub in_flight: u32,
    /// Sandboxes that failed their check and are not killed yet.
    pub releases: u64,
    /// Orphaned sandboxes that the tracker is still cleaning up.
    pub tracked: Option<e2b::OrphansLeft>,
}

impl std::fmt::Display for Undrained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { in_flight, releases, tracked } = self;
        write!(f, "shutdown incomplete: {in_flight} calls in flight")?;
        if *releases > 0 {
            write!(f, ", {releases} failed sandboxes being killed")?;
        }
        match tracked {
            Some(tracked) => write!(f, "; {tracked}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Undrained {}

/// A snapshot of a stack. Disabled components count nothing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The components that were disabled.
    pub disabled: Vec<Component>,
    /// The default template, if there is one.
    pub default_template: Option<fallback::Snapshot>,
    /// Retries.
    pub retry: retry::Snapshot,
    /// Orphaned sandboxes.
    pub tracker: TrackerSnapshot,
    /// What became of creations.
    pub events: EventsSnapshot,
    /// Of the health check.
    pub health_check: health_check::Snapshot,
    /// Of admission control.
    pub admission: AdmissionSnapshot,
    /// The table of tenants.
    pub tenants: TenantsSnapshot,
    /// The warm pool, if there is one.
    #[cfg(feature = "pool")]
    pub pool: Option<PoolSnapshot>,
    /// The quota of sandboxes.
    pub quota: QuotaSnapshot,
    /// Of the rate limit.
    pub rate_limit: rate_limit::Snapshot,
    /// Of the circuit breaker of the control plane.
    pub control_plane_breaker: circuit_breaker::Snapshot,
    /// The circuit breaker of the data plane.
    pub data_plane_breaker: circuit_breaker::Snapshot,
    /// The health of the service, if it is monitored.
    pub monitor: Option<MonitorSnapshot>,
}
