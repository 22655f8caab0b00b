use std::sync::{Arc, Mutex};
use std::time::Duration;

use sandtower_core::{BoxError, Tick};
use sandtower_e2b::Config as E2bConfig;
use sandtower_pool::{MemoryStock, PoolLayer, Step, Stock};

use super::{KEY, Switched};
use crate::world::{World, pass, sim, three};

#[tokio::test(start_paused = true)]
async fn while_it_cannot_be_written_nothing_is_created_and_calls_are_misses() {
    let stock = Switched::over(&MemoryStock::new());
    let own = stock.clone();
    let world = World::over(sim(), "worker", three(), |builder| builder.stock(own));
    let world = world.stocked(10).await;
    assert_eq!((world.snapshot().idle, world.snapshot().store_available), (3, Some(true)));
    stock.fail(true);
    let before = world.creations();
    // The first finds out, and leases nothing for good.
    for number in 1..=3 {
        world.create().await;
        let snapshot = world.snapshot();
        assert_eq!((snapshot.hits, snapshot.misses["store"]), (0, number), "{snapshot:?}");
        assert_eq!((snapshot.idle, snapshot.leased, snapshot.dead), (3, 0, 0), "{snapshot:?}");
    }
    assert_eq!(world.sim.ledger().requests.get("sandbox_connect"), None, "none was tried");
    // Stock ends by its age, and none is created in its place.
    pass(600).await;
    let snapshot = world.snapshot();
    assert_eq!((world.creations() - before, snapshot.idle), (3, 0), "those of the callers");
    assert_eq!(snapshot.store_available, Some(false));
    let cap = serde_json::to_value(snapshot.shapes[0].capped_by).unwrap();
    assert_eq!((cap, snapshot.alerts), ("store".into(), 0));
    stock.fail(false);
    pass(10).await;
    world.create().await;
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.store_available), (1, Some(true)), "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn until_it_can_be_read_nothing_is_created() {
    let stock = Switched::over(&MemoryStock::new());
    stock.fail(true);
    let own = stock.clone();
    let world = World::over(sim(), "worker", three(), |builder| builder.stock(own));
    let world = world.stocked(60).await;
    assert_eq!((world.creations(), world.snapshot().store_available), (0, Some(false)));
    world.create().await;
    assert_eq!(world.snapshot().misses["store"], 1);
    stock.fail(false);
    pass(10).await;
    assert_eq!(world.snapshot().idle, 3);
    world.pool.shut_down(Duration::from_secs(5)).await;
}

/// Fails if it is to record such a step.
#[derive(Clone, Debug)]
struct Rejects(MemoryStock, fn(&Step) -> bool);

impl Stock for Rejects {
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError> {
        self.0.load()
    }

    fn record(&self, steps: &[Step]) -> Result<(), BoxError> {
        match steps.iter().any(self.1) {
            true => Err("it is not recorded".into()),
            false => self.0.record(steps),
        }
    }

    fn close(&self) {}
}

#[tokio::test(start_paused = true)]
async fn no_creation_is_sent_before_it_is_recorded() {
    let stock = Rejects(MemoryStock::new(), |step| matches!(step, Step::Ordered { .. }));
    let world = World::over(sim(), "worker", three(), |builder| builder.stock(stock));
    let world = world.stocked(60).await;
    let snapshot = world.snapshot();
    assert_eq!((world.creations(), snapshot.failed, snapshot.alerts), (0, 0, 0), "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn no_response_leaves_before_its_sandbox_is_recorded_as_taken() {
    let stock = Rejects(MemoryStock::new(), |step| matches!(step, Step::Taken { .. }));
    let world = World::over(sim(), "worker", three(), |builder| builder.stock(stock));
    let world = world.stocked(10).await;
    world.create().await;
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.misses["store"]), (0, 1), "{snapshot:?}");
    // It was connected to, and is stock again.
    assert_eq!((snapshot.idle, snapshot.leased, snapshot.dead), (3, 0, 0), "{snapshot:?}");
    assert_eq!(world.sim.ledger().requests["sandbox_connect"], 1);
}

/// Takes its time while it is held.
#[derive(Clone, Debug, Default)]
struct Slow {
    stock: MemoryStock,
    held: Arc<Mutex<()>>,
}

impl Stock for Slow {
    fn load(&self) -> Result<Option<Vec<Step>>, BoxError> {
        self.stock.load()
    }

    fn record(&self, steps: &[Step]) -> Result<(), BoxError> {
        let _held = self.held.lock().unwrap();
        self.stock.record(steps)
    }

    fn close(&self) {}
}

// In real time: virtual time stands still while a thread is busy.
#[tokio::test]
async fn a_disk_that_stands_still_delays_one_call_by_a_second_and_no_other() {
    let stock = Slow::default();
    let own = stock.clone();
    let quick = sandtower_sim::World {
        create_median: Duration::from_millis(20),
        ..sandtower_sim::World::calm()
    };
    let sim = sandtower_sim::Config::new().plan(sandtower_sim::Plan::Pro).world(quick);
    let world = World::over(sim.build().unwrap(), "worker", three(), |pool| pool.stock(own));
    assert!(world.service.start::<http_body_util::Full<bytes::Bytes>, _>());
    while world.snapshot().idle < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let held = Arc::clone(&stock.held);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (holds, is_held) = tokio::sync::oneshot::channel();
    let holder = std::thread::spawn(move || {
        let _held = held.lock().unwrap();
        holds.send(()).unwrap();
        _ = released.recv();
    });
    is_held.await.unwrap();
    let began = Tick::now();
    world.create().await;
    let first = Tick::now().since(began);
    world.create().await;
    let both = Tick::now().since(began);
    assert!(first >= Duration::from_secs(1) && both < first + Duration::from_secs(1), "{both:?}");
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.misses["store"]), (0, 2), "{snapshot:?}");
    drop(release);
    holder.join().unwrap();
    while world.snapshot().store_available != Some(true) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.create().await;
    assert_eq!(world.snapshot().hits, 1);
}

#[test]
fn without_an_owner_there_is_no_store() {
    let e2b = E2bConfig::new(KEY).unwrap();
    let built = PoolLayer::builder(three(), &e2b).stock(MemoryStock::new()).build();
    assert_eq!(
        built.unwrap_err().to_string(),
        "`store` needs an owner: the name of this process that outlives it, and is no other's, such as \
         \"worker-7\""
    );
}
