//! A pool over a simulated service, with what it needs in between.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use sandtower_core::Seed;
use sandtower_e2b::{
    Client, Config as E2bConfig, E2bInterpret, NewSandbox, Sandbox, SandboxTracker, Tracking,
    TrackingLayer,
};
use sandtower_http::{InterpretLayer, Interpreter};
use sandtower_pool::engine::Room;
use sandtower_pool::{Config, Pool, PoolBuilder, PoolLayer, PoolSnapshot, Pooled};
use sandtower_sim::{Fault, FaultKind, Sim};
use tower_layer::Layer;

pub(crate) type Below = Tracking<Interpreter<Sim, E2bInterpret>>;

/// A simulated service, a pool over it, and a client over that.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) pool: Pool,
    pub(crate) tracker: SandboxTracker,
    pub(crate) e2b: E2bConfig,
    pub(crate) service: Pooled<Below>,
    pub(crate) client: Client<Pooled<Below>>,
}

pub(crate) fn sim() -> Sim {
    let world = sandtower_sim::World {
        create_median: Duration::from_secs(1),
        ..sandtower_sim::World::calm()
    };
    let sim = sandtower_sim::Config::new().seed(7).plan(sandtower_sim::Plan::Pro).world(world);
    sim.build().unwrap()
}

pub(crate) fn base() -> NewSandbox {
    NewSandbox::new("base").timeout(Duration::from_secs(600))
}

/// Always three warm sandboxes of `base`.
pub(crate) fn three() -> Config {
    Config::new().min(3).max(3).shape(&base()).create_burst(10)
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::over(sim(), "worker", config, |builder| builder)
    }

    pub(crate) fn over(
        sim: Sim,
        owner: &str,
        config: Config,
        change: impl FnOnce(PoolBuilder) -> PoolBuilder,
    ) -> Self {
        let e2b = E2bConfig::new("e2b_0000000000000000000000000000000000000000").unwrap();
        let e2b = e2b.api_url("http://e2b.test").unwrap().sandbox_url("http://e2b.test").unwrap();
        let e2b = e2b.seed(Seed::fixed(3)).owner(owner.parse().unwrap());
        let tracker = SandboxTracker::new(&e2b);
        let builder = PoolLayer::builder(config, &e2b).tracker(tracker.clone());
        let layer = change(builder).build().unwrap();
        let below = InterpretLayer::new(E2bInterpret::default()).layer(sim.clone());
        let service = layer.layer(TrackingLayer::new(tracker.clone()).layer(below));
        let client = Client::new(service.clone(), e2b.clone()).tracker(tracker.clone());
        Self { sim, pool: layer.pool().clone(), tracker, e2b, service, client }
    }

    /// Starts to stock the pool, and waits.
    pub(crate) async fn stocked(self, seconds: u64) -> Self {
        assert!(self.service.start::<Full<Bytes>, _>());
        pass(seconds).await;
        self
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        self.pool.snapshot()
    }

    pub(crate) async fn create(&self) -> Sandbox {
        self.client.create(&base()).await.unwrap()
    }

    /// Requests of callers and of the pool that created a sandbox.
    pub(crate) fn creations(&self) -> u64 {
        self.sim.ledger().creates.received
    }
}

pub(crate) async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

pub(crate) fn fault(kind: FaultKind, on: &str) -> Fault {
    let mut fault = Fault::new(format!("{kind:?} {on}"), kind);
    fault.on = if on.is_empty() { Vec::new() } else { vec![on.to_owned()] };
    fault
}

pub(crate) fn room(free: u32) -> Room {
    Room::unknown().free_slots(Some(free))
}
