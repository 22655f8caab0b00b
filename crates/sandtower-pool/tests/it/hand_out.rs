use std::time::Duration;

use http_body_util::BodyExt;
use sandtower_core::Tick;
use sandtower_e2b::{Command, NewSandbox, OWNER_KEY, POOL_KEY, RawCreation};
use sandtower_pool::{Config, OnShutdown};
use sandtower_sim::FaultKind;
use tower::ServiceExt;

use crate::world::{World, base, fault, pass, room, sim, three};

#[tokio::test(start_paused = true)]
async fn a_creation_is_served_from_stock_and_works() {
    let world = World::new(three()).stocked(10).await;
    assert_eq!(world.snapshot().idle, 3, "{:?}", world.snapshot());
    let (creations, began) = (world.creations(), Tick::now());
    let sandbox = world.create().await;
    let took = Tick::now().since(began);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(world.creations(), creations, "none was created for it");
    assert!(sandbox.template().is_some());
    assert!(sandbox.access_token().is_some(), "it is secured, as one that is created");
    let output = world.client.run(&sandbox, &Command::new("echo hi")).await.unwrap();
    assert_eq!(output.stdout_text(), "hi\n");
    // It lives for as long as was asked, not for as long as stock does.
    pass(590).await;
    assert!(world.client.envd_health(&sandbox).await.unwrap());
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.idle), (1, 3), "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_short_life_gets_a_short_life() {
    let world = World::new(three()).stocked(10).await;
    let new = base().timeout(Duration::from_secs(30));
    let sandbox = world.client.create(&new).await.unwrap();
    assert_eq!(world.snapshot().hits, 1);
    pass(25).await;
    assert!(world.client.info(sandbox.id()).await.is_ok());
    pass(10).await;
    assert!(world.client.info(sandbox.id()).await.is_err());
}

/// An end like that of stock would make a later process take it for stock, and kill it.
#[tokio::test(start_paused = true)]
async fn whatever_lifetime_is_asked_for_no_callers_sandbox_ends_when_stock_does() {
    for timeout in [280, 288, 290, 292, 295, 298, 300, 305, 310] {
        let world = World::new(three()).stocked(10).await;
        let new = base().timeout(Duration::from_secs(timeout));
        let sandbox = world.client.create(&new).await.unwrap();
        pass(5).await;
        assert_eq!(world.snapshot().hits, 1);
        let info = world.client.info(sandbox.id()).await.unwrap();
        let (start, end) = (info.started_at.unwrap(), info.end_at.unwrap());
        let mark = &info.metadata[sandtower_e2b::POOL_KEY];
        assert!(!sandtower_pool::is_stock(mark, &start, &end), "{timeout}: {start} to {end}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_match_is_created_as_always() {
    let world = World::new(three().learn(0)).stocked(10).await;
    let metadata = base().metadata("user", "u-1");
    let sandbox = world.client.create(&metadata).await.unwrap();
    assert_eq!(world.client.info(sandbox.id()).await.unwrap().metadata["user"], "u-1");
    world.client.create(&base().env("A", "1")).await.unwrap();
    world.client.create(&base().timeout(Duration::from_secs(7_200))).await.unwrap();
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.idle), (0, 3));
    let reasons: Vec<_> = snapshot.misses.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(reasons, [("lifetime", 1), ("metadata", 1), ("unknown", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_key_of_its_callers_is_never_served_from_stock() {
    let world = World::new(three()).stocked(10).await;
    for _ in 0..2 {
        let request =
            world.e2b.control_request(http::Method::POST, "/v2/sandboxes", Default::default());
        let mut request = request.unwrap().map(|_| bytes::Bytes::from(r#"{"templateID":"base"}"#));
        request.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
        let (creation, request) =
            RawCreation::begin::<http_body_util::Full<bytes::Bytes>>(&world.e2b, request);
        let result = world.service.clone().oneshot(request).await;
        creation.unwrap().end(&result);
    }
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.misses["keyed"]), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_shape_is_learned_when_it_is_asked_for_again() {
    let world = World::new(Config::new().create_burst(10));
    for _ in 0..2 {
        world.create().await;
        assert_eq!(world.snapshot().idle, 0);
    }
    pass(10).await;
    assert!(world.snapshot().idle > 0, "{:?}", world.snapshot());
    world.create().await;
    assert_eq!(world.snapshot().hits, 1);
    // Without demand it ends by itself.
    pass(4_000).await;
    let snapshot = world.snapshot();
    assert_eq!((snapshot.idle, snapshot.creating), (0, 0), "{snapshot:?}");
    assert_eq!(world.sim.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_sandbox_is_never_returned() {
    let world = World::new(three()).stocked(10).await;
    // The newest two die unseen.
    let all = world.client.list_all(Default::default()).await.unwrap();
    for info in &all[..2] {
        let path = format!("http://e2b.test/sandboxes/{}", info.id);
        let request = http::Request::delete(path)
            .header("x-api-key", "e2b_0000000000000000000000000000000000000000");
        let request = request.body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
        let killed = world.sim.clone().oneshot(request).await.unwrap();
        assert!(killed.status().is_success());
        drop(killed.into_body().collect().await);
    }
    for _ in 0..3 {
        let sandbox = world.create().await;
        assert!(world.client.envd_health(&sandbox).await.unwrap());
    }
    let snapshot = world.snapshot();
    assert!(snapshot.dead >= 1, "{snapshot:?}");
}

#[tokio::test(start_paused = true)]
async fn zombies_are_killed_and_the_call_succeeds_all_the_same() {
    let world = World::new(three()).stocked(10).await;
    world.sim.set_faults(vec![fault(FaultKind::Stall, "envd_process")]).unwrap();
    let began = Tick::now();
    world.create().await;
    assert!(Tick::now().since(began) < Duration::from_secs(8));
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.misses["late"]), (0, 1), "{snapshot:?}");
    world.sim.set_faults(Vec::new()).unwrap();
    pass(200).await;
    assert_eq!(world.snapshot().idle, 3, "{:?}", world.snapshot());
    assert_eq!(world.sim.active(), 4, "three in stock and that of the caller");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_at_any_moment_leaves_nothing() {
    let world = World::new(three()).stocked(10).await;
    for millis in 0..40 {
        let client = world.client.clone();
        let call = tokio::spawn(async move { client.create(&base()).await.map(drop) });
        tokio::time::sleep(Duration::from_millis(millis)).await;
        call.abort();
        let handed_out = call.await.is_ok();
        pass(30).await;
        let expected = 3 + usize::from(handed_out);
        assert!(world.sim.active() >= 3 && world.sim.active() <= expected + 40, "{millis}");
    }
    pass(620).await;
    assert_eq!(world.sim.active(), 3, "{:?}", world.snapshot());
    assert_eq!(world.tracker.snapshot().abandoned, 0);
}

#[tokio::test(start_paused = true)]
async fn stock_is_never_checked_by_connect_or_commands() {
    let world = World::new(three()).stocked(700).await;
    let requests = world.sim.ledger().requests;
    assert_eq!(requests.get("sandbox_connect"), None, "{requests:?}");
    assert_eq!(requests.get("envd_process"), None);
    assert!(requests["sandbox_list"] >= 10);
    assert_eq!(world.snapshot().idle, 3);
    // Each lived for no longer than it was created for.
    for record in world.sim.ledger().sandboxes {
        let ended = record.ended_at.unwrap_or(world.sim.elapsed());
        assert!(ended - record.created_at <= Duration::from_secs(300), "{record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn warm_stock_yields_the_moment_a_creation_needs_the_slot() {
    let free = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(10));
    let seen = std::sync::Arc::clone(&free);
    let world = World::over(sim(), "w", three(), |builder| {
        builder.room(move || room(seen.load(std::sync::atomic::Ordering::Relaxed)))
    });
    let world = world.stocked(10).await;
    free.store(0, std::sync::atomic::Ordering::Relaxed);
    world.client.create(&NewSandbox::new("code-interpreter-v1")).await.unwrap();
    let snapshot = world.snapshot();
    assert_eq!((snapshot.yielded, snapshot.idle), (1, 2), "{snapshot:?}");
    pass(60).await;
    assert_eq!(world.snapshot().idle, 2, "nothing is created while there is no slot");
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_start_kills_the_stock_and_nothing_else() {
    let sim = sim();
    let world = World::over(sim.clone(), "worker", three(), |builder| builder).stocked(10).await;
    let handed_out = world.create().await;
    let info = world.client.info(handed_out.id()).await.unwrap();
    assert_eq!(info.metadata[OWNER_KEY], "worker");
    assert!(info.metadata.contains_key(POOL_KEY));
    pass(10).await;
    // What a crash does: the process is gone, without a farewell.
    drop(world);
    assert_eq!(sim.active(), 4);
    let epoch = 1_767_225_600;
    let seen = sim.clone();
    let wall = move || sandtower_pool::Wall(epoch + seen.elapsed().as_secs() as i64);
    let next = World::over(sim.clone(), "worker", Config::new(), |builder| {
        builder.wall(wall).seed(&sandtower_core::Seed::fixed(99))
    });
    let next = next.stocked(30).await;
    assert_eq!(sim.active(), 1, "{:?}", next.snapshot());
    assert!(next.client.info(handed_out.id()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_stock_is_killed_or_kept_for_the_next_start() {
    let world = World::new(three()).stocked(10).await;
    world.pool.shut_down(Duration::from_secs(10)).await;
    assert_eq!(world.sim.active(), 0);
    world.create().await;
    assert_eq!(world.snapshot().misses["shut_down"], 1);

    let (sim, epoch) = (sim(), 1_767_225_600);
    let keep = || three().on_shutdown(OnShutdown::Keep);
    let world = World::over(sim.clone(), "worker", keep(), |builder| builder).stocked(10).await;
    world.pool.shut_down(Duration::from_secs(10)).await;
    drop(world);
    assert_eq!(sim.active(), 3);
    let seen = sim.clone();
    let wall = move || sandtower_pool::Wall(epoch + seen.elapsed().as_secs() as i64);
    let next = World::over(sim.clone(), "worker", keep().min(0), |builder| {
        builder.wall(wall).seed(&sandtower_core::Seed::fixed(99))
    });
    let next = next.stocked(5).await;
    assert_eq!(next.snapshot().idle, 3, "{:?}", next.snapshot());
    next.create().await;
    assert_eq!(next.snapshot().hits, 1);
    assert!(sim.ledger().sandboxes.iter().all(|record| record.ended_at.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_prepares_each_sandbox_before_it_is_in_stock() {
    let world = World::over(sim(), "w", three(), |builder| {
        builder.warm_up(|hooked| async move {
            let command = Command::new("echo warm > /home/user/ready");
            hooked.client.run(&hooked.sandbox, &command).await?;
            Ok(())
        })
    });
    let world = world.stocked(10).await;
    let sandbox = world.create().await;
    let output = world.client.run(&sandbox, &Command::new("cat /home/user/ready")).await.unwrap();
    assert_eq!((world.snapshot().hits, output.stdout_text()), (1, "warm\n".into()));
}

#[tokio::test(start_paused = true)]
async fn stock_of_a_template_that_was_built_anew_is_retired() {
    let world = World::new(three()).stocked(130).await;
    let before = world.snapshot();
    assert_eq!((before.idle, before.retired), (3, 0), "{before:?}");
    world.sim.rebuild("base");
    pass(130).await;
    let rebuilt = world.snapshot();
    assert_eq!((rebuilt.idle, rebuilt.retired), (3, 3), "{rebuilt:?}");
    pass(170).await;
    assert_eq!(world.snapshot().retired, 3, "once");
    let requests = world.sim.ledger().requests;
    assert!((5..=8).contains(&requests["template_list"]), "{requests:?}");
    // A list that fails, or that no key may read, changes nothing.
    let mut failing = fault(FaultKind::Respond, "template_list");
    failing.response = Some(sandtower_sim::FaultResponse::Internal500);
    world.sim.set_faults(vec![failing]).unwrap();
    world.sim.rebuild("base");
    pass(130).await;
    assert_eq!((world.snapshot().idle, world.snapshot().retired), (3, 3));
}

/// The requests of an outage must not kill the stock, one each.
#[tokio::test(start_paused = true)]
async fn stock_outlives_a_service_that_fails_for_a_while_and_no_sandbox_fails_forever() {
    let world = World::new(three().learn(0)).stocked(10).await;
    let mut failing = fault(FaultKind::Respond, "sandbox_connect");
    failing.response = Some(sandtower_sim::FaultResponse::Internal500);
    world.sim.set_faults(vec![failing]).unwrap();
    for _ in 0..2 {
        world.create().await;
    }
    let snapshot = world.snapshot();
    assert_eq!((snapshot.hits, snapshot.misses["dead"], snapshot.dead), (0, 2, 0), "{snapshot:?}");
    assert_eq!(snapshot.idle, 3);
    world.create().await;
    assert_eq!(world.snapshot().dead, 1, "it has failed three times");
    world.sim.set_faults(Vec::new()).unwrap();
    let creations = world.creations();
    world.create().await;
    assert_eq!(world.snapshot().hits, 1);
    assert!(world.creations() <= creations + 1, "only the stock is refilled");
    pass(700).await;
    assert_eq!(world.sim.active(), 3, "the stock alone is left");
}
