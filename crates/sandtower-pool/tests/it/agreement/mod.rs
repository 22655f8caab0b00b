//! The model of the example `policies` and the layer over the simulator agree.

#[expect(dead_code, reason = "the example uses all of it")]
#[path = "../../../examples/policies/demand.rs"]
mod demand;
#[path = "../../../examples/policies/model.rs"]
mod model;
#[expect(dead_code, reason = "the example uses all of it")]
#[path = "../../../examples/policies/policy.rs"]
mod policy;

use std::time::Duration;

use demand::Demand;
use model::{Service, Window};
use policy::Policy;
use sandtower_core::Tick;
use sandtower_e2b::NewSandbox;
use sandtower_sim::{Limits, Plan, Rate, World as SimWorld};

use crate::world::World;

const SEED: u64 = 1;
const LASTS: Duration = Duration::from_secs(1_800);

/// The share of hits and the mean of idle sandboxes, of the layer over the simulator.
async fn simulated(calls: &[Duration]) -> (f64, f64) {
    let service = Service::PRO;
    let world = SimWorld {
        create_median: service.median,
        create_spread: service.spread,
        ..SimWorld::calm()
    };
    let limits = Limits {
        create: Rate::new(service.create_every, service.create_burst),
        concurrent_sandboxes: 1_000,
        ..Plan::Pro.limits()
    };
    let sim = sandtower_sim::Config::new().seed(SEED).world(world).limits(limits).build().unwrap();
    let (engine, _) = Policy::Sandtower.build(service, Tick::now());
    let world = World::over(sim, "w", engine.config().clone(), |builder| builder);
    let world = world.stocked(0).await;
    let began = Tick::now();
    let (mut idle, mut at) = (0.0, Tick::now());
    for call in calls.iter().filter(|call| **call < LASTS) {
        while at + Duration::from_millis(100) <= began + *call {
            tokio::time::sleep(Duration::from_millis(100)).await;
            at = Tick::now();
            idle += f64::from(world.snapshot().idle) * 0.1;
        }
        let client = world.client.clone();
        tokio::spawn(async move {
            let sandbox = client.create(&NewSandbox::new("base")).await?;
            client.kill(sandbox.id()).await
        });
    }
    let seconds = Tick::now().since(began).as_secs_f64();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let snapshot = world.snapshot();
    let misses: u64 = snapshot.misses.values().sum();
    (snapshot.hits as f64 / (snapshot.hits + misses) as f64, idle / seconds)
}

#[tokio::test(start_paused = true)]
async fn the_model_and_the_simulator_agree() {
    for demand in [Demand::Smooth, Demand::Bursty] {
        let calls = demand.calls(SEED);
        let calls: Vec<_> = calls.into_iter().filter(|call| *call < LASTS).collect();
        let (hits, idle) = simulated(&calls).await;
        let window = Window { from: Duration::ZERO, to: LASTS };
        let built = Policy::Sandtower.build(Service::PRO, Tick::ZERO);
        let modelled = model::run(built, &calls, window, Service::PRO, SEED);
        let (modelled_hits, modelled_idle) = (modelled.hits(), modelled.idle_mean);
        println!(
            "{demand:?}: hits {hits:.4} and {modelled_hits:.4}, idle {idle:.2} and {modelled_idle:.2}"
        );
        assert!((hits - modelled_hits).abs() < 0.02, "{demand:?}: {hits} and {modelled_hits}");
        assert!((idle - modelled_idle).abs() < 1.0, "{demand:?}: {idle} and {modelled_idle}");
    }
}
