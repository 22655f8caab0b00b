//! A service that creates, probes and kills sandboxes, and tracks them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{BoxError, Effect, Verdict};
use sandtower_health_check::{Check, Config, Handle as Checks, HealthCheckLayer, check_fn};
use sandtower_testkit::{Handle, Mock, Reply};
use tower::{Layer, Service, ServiceExt, util::BoxCloneService};

/// Creates a sandbox; the response is its number.
pub(crate) const CREATE: u64 = 0;
/// Added to the number of a sandbox: probes it.
pub(crate) const PROBE: u64 = 1 << 32;
/// Added to the number of a sandbox: kills it.
pub(crate) const KILL: u64 = 1 << 33;
/// The response of a sandbox that is alive, or was killed.
pub(crate) const YES: u64 = u64::MAX;

/// The sandboxes that were created and not killed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alive(Arc<Mutex<BTreeSet<u64>>>);

impl Alive {
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().copied().collect()
    }
}

/// Tracks what was created and killed.
fn track(alive: &Alive, response: u64) -> u64 {
    let mut alive = alive.0.lock().unwrap();
    match response {
        YES => {}
        killed if killed >= KILL => drop(alive.remove(&(killed - KILL))),
        created => drop(alive.insert(created)),
    }
    response
}

/// The service below the check.
pub(crate) type Below = BoxCloneService<u64, u64, BoxError>;

/// How long each request takes.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Sandboxes are numbered from 0; `probe` returns the response of each.
pub(crate) fn sandboxes(
    mut probe: impl FnMut(u64) -> Reply<u64> + Send + 'static,
) -> (Mock<u64, u64>, Handle<u64, u64>) {
    let mut numbers = 0..;
    Mock::new(move |request, _| match request {
        CREATE => Reply::ok(numbers.next().unwrap()).after(SECOND),
        killed if killed >= KILL => Reply::ok(killed).after(SECOND),
        probed => probe(probed - PROBE),
    })
}

/// Probes and kills by requests to the service below.
pub(crate) fn by_request() -> impl Check<Below, u64, Probe: Send> + Clone {
    check_fn(
        |inner: Below, sandbox: &u64| Some(probe(inner, *sandbox)),
        |inner: Below, sandbox: &u64| {
            let kill = inner.oneshot(KILL + sandbox);
            async move { drop(kill.await) }
        },
    )
}

async fn probe(inner: Below, sandbox: u64) -> Verdict {
    match inner.oneshot(PROBE + sandbox).await {
        Ok(_) => Verdict::success(),
        Err(_) => Verdict::transient(Effect::None),
    }
}

/// A checked service over `mock`, its counters, and the sandboxes that are alive.
pub(crate) fn checked(
    mock: Mock<u64, u64>,
    config: Config,
) -> (
    impl Service<u64, Response = u64, Error = BoxError, Future: Send> + Clone + Send + 'static,
    Checks,
    Alive,
) {
    let alive = Alive::default();
    let kept = alive.clone();
    let below = BoxCloneService::new(mock.map_response(move |response| track(&kept, response)));
    let layer = HealthCheckLayer::new(by_request(), config).unwrap();
    (layer.layer(below), layer.handle().clone(), alive)
}
