use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;

use super::{Component, Gates};
use crate::admission::{AdmissionControl, AdmissionSnapshot, Quota, QuotaSnapshot};
use crate::circuit_breaker::CircuitBreaker;
use crate::core::{Sleep, Tick};
use crate::e2b::{Events, EventsSnapshot, SandboxTracker, TrackerSnapshot};
use crate::health_check::{Monitor, MonitorSnapshot};
use crate::rate_limit::RateLimit;
use crate::{circuit_breaker, e2b, fallback, health_check, rate_limit, retry};

/// The handles of all layers of one stack: to read, and to steer. Those of components that were
/// disabled are there too, and count nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handles {
    /// What was tried again, and why not.
    pub retry: retry::Handle,
    /// What was made, or may have been, and is held by nobody: drain it before the program ends.
    pub tracker: SandboxTracker,
    /// What becomes of creations: how many began, succeeded, failed.
    pub events: Events,
    /// What was checked and released.
    pub health_check: health_check::Handle,
    /// The calls in flight and in the queues.
    pub admission: AdmissionControl<Gates>,
    /// How many sandboxes are in use; tell it of those whose end was seen elsewhere.
    pub quota: Quota,
    /// What was counted by operation.
    pub rate_limit: RateLimit,
    /// The breaker of the control plane: its state; reset it here.
    pub control_plane_breaker: CircuitBreaker,
    /// The breaker of what runs in sandboxes.
    pub data_plane_breaker: CircuitBreaker,
    /// How often the default template was used; `None`: there is none.
    pub default_template: Option<fallback::Handle>,
    /// How the service is, by a probe on a schedule; `None`: nobody [asked](super::Builder::monitor)
    /// for it.
    pub monitor: Option<Monitor>,
    /// The components that were disabled.
    pub disabled: Arc<[Component]>,
}

impl Handles {
    /// All of it at one moment, for a log or a dashboard.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            disabled: self.disabled.to_vec(),
            default_template: self.default_template.as_ref().map(fallback::Handle::snapshot),
            retry: self.retry.snapshot(),
            tracker: self.tracker.snapshot(),
            events: self.events.snapshot(),
            health_check: self.health_check.snapshot(),
            admission: self.admission.snapshot(),
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
    /// Something was left when the time was over.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn drain(&self) -> Result<(), Undrained> {
        self.drain_within(Duration::from_secs(300)).await
    }

    /// Shuts down for good, for the end of a program: calls that wait or arrive from now on are
    /// rejected, and those in flight are waited for; then orphaned sandboxes are cleaned up. Sandboxes
    /// that callers own are theirs: they can be listed and killed until the rest is done.
    ///
    /// It returns when all is done, or after `duration`. Dropped, it opens nothing again; what was sent
    /// or is being killed goes on.
    ///
    /// # Errors
    ///
    /// Something was left when the time was over; the error names it.
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

/// Whether `ended` does so in time.
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

/// What was left when a stack had to be shut down.
#[derive(Debug)]
#[non_exhaustive]
pub struct Undrained {
    /// Calls in flight.
    pub in_flight: u32,
    /// Sandboxes that failed their check and are not killed yet.
    pub releases: u64,
    /// What the tracker still cleans up.
    pub tracked: Option<e2b::OrphansLeft>,
}

impl std::fmt::Display for Undrained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { in_flight, releases, tracked } = self;
        write!(f, "shut down before all was done: {in_flight} calls in flight")?;
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

/// A whole stack at one moment. Components that are disabled count nothing.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The components that were disabled.
    pub disabled: Vec<Component>,
    /// Of the default template, if there is one.
    pub default_template: Option<fallback::Snapshot>,
    /// Of the retry layer.
    pub retry: retry::Snapshot,
    /// Of what nobody holds.
    pub tracker: TrackerSnapshot,
    /// What became of creations.
    pub events: EventsSnapshot,
    /// Of the health check.
    pub health_check: health_check::Snapshot,
    /// Of admission control.
    pub admission: AdmissionSnapshot,
    /// Of the quota of sandboxes.
    pub quota: QuotaSnapshot,
    /// Of the rate limit.
    pub rate_limit: rate_limit::Snapshot,
    /// Of the circuit breaker of the control plane.
    pub control_plane_breaker: circuit_breaker::Snapshot,
    /// Of that of what runs in sandboxes.
    pub data_plane_breaker: circuit_breaker::Snapshot,
    /// How the service is, if it is looked after.
    pub monitor: Option<MonitorSnapshot>,
}
