use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sandtower_e2b::NewSandbox;
use sandtower_pool::engine::Room;
use sandtower_pool::{Config, ScheduleRow, Wall};
use sandtower_sim::{FaultKind, FaultResponse};

use crate::world::{World, fault, pass, sim, three};

#[tokio::test(start_paused = true)]
async fn a_template_that_does_not_exist_is_tried_three_times_and_then_rarely() {
    let config = Config::new().min(5).shape(&NewSandbox::new("no-such-template")).create_burst(10);
    let world = World::new(config).stocked(25).await;
    let snapshot = world.snapshot();
    assert_eq!((world.creations(), snapshot.failed, snapshot.alerts), (3, 3, 1), "{snapshot:?}");
    assert!(snapshot.shapes[0].is_suspended);
    pass(3_600).await;
    assert!(world.creations() < 15, "{}", world.creations());
    assert_eq!(world.snapshot().alerts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_is_tried_rarely_and_the_stock_comes_back() {
    let world = World::new(three()).stocked(10).await;
    let mut failing = fault(FaultKind::Respond, "sandbox_create");
    failing.response = Some(FaultResponse::Internal500);
    world.sim.set_faults(vec![failing]).unwrap();
    let before = world.creations();
    pass(3_600).await;
    assert_eq!(world.snapshot().idle, 0);
    assert!(world.creations() - before < 20, "{}", world.creations() - before);
    world.sim.set_faults(Vec::new()).unwrap();
    pass(620).await;
    assert_eq!(world.snapshot().idle, 3, "{:?}", world.snapshot());
}

#[tokio::test(start_paused = true)]
async fn while_the_breaker_is_not_closed_nothing_is_created() {
    let world =
        World::over(sim(), "w", three(), |builder| builder.room(|| Room::unknown().closed(false)));
    let world = world.stocked(600).await;
    assert_eq!(world.creations(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_creates_no_loop() {
    let clock = Arc::new(AtomicI64::new(1_767_571_200));
    let seen = Arc::clone(&clock);
    let row = ScheduleRow::new("*", "08:00", "18:00", 2);
    let config = Config::new().max(6).shape(&NewSandbox::new("base")).schedule(row);
    let world = World::over(sim(), "w", config, |builder| {
        builder.wall(move || Wall(seen.load(Ordering::Relaxed)))
    });
    let world = world.stocked(10).await;
    for jump in [36_000, -86_400 * 365, i64::MAX / 2, 1_767_571_200] {
        clock.store(jump, Ordering::Relaxed);
        pass(30).await;
    }
    let snapshot = world.snapshot();
    assert!(snapshot.clock_jumps >= 3 && snapshot.most_in_stock <= 6, "{snapshot:?}");
    assert!(world.creations() <= 6, "{}", world.creations());
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds_whatever_the_demand() {
    let config = Config::new().min(8).max(8).budget(0.35).shape(&NewSandbox::new("base"));
    let world = World::new(config.create_burst(10)).stocked(60).await;
    for _ in 0..50 {
        world.client.create(&NewSandbox::new("base")).await.unwrap();
        assert!(world.snapshot().cost_per_hour <= 0.35);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    pass(5).await;
    let snapshot = world.snapshot();
    assert_eq!(snapshot.most_in_stock, 3);
    assert_eq!(serde_json::to_value(snapshot.shapes[0].capped_by).unwrap(), "budget");
}
