//! What really happens, whatever a caller sees of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::Duration;

use crate::common::{Created, base, control, creation, secs, send, try_send};
use http::Request;
use http_body_util::Full;
use sandtower_sim::{Config, ConnectionErrorKind, End, Ledger, Limits, Plan, Rate, Sim, World};
use serde_json::json;
use tokio::time;
use tower::{Service as _, ServiceExt};

fn in_world(world: World) -> Sim {
    let limits = Limits { create: Rate::new(Duration::ZERO, 1), ..Plan::Pro.limits() };
    Config::new().world(world).limits(limits).build().unwrap()
}

fn slow() -> World {
    World { create_median: secs(10), create_spread: 0.0, ..World::calm() }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_gives_up_leaves_a_sandbox_running() {
    let sim = in_world(slow());
    let given_up = time::timeout(secs(5), send(&sim, base())).await;
    assert!(given_up.is_err());
    assert_eq!((sim.active(), sim.ledger().creates.in_flight), (0, 1));
    time::sleep(secs(6)).await;
    let ledger = sim.ledger();
    assert_eq!((ledger.active, ledger.creates.in_flight), (1, 0));
    assert!(ledger.sandboxes[0].response_lost);
    let listed = send(&sim, control("GET", "/v2/sandboxes", "")).await;
    assert_eq!(listed.json()[0]["sandboxID"], json!(ledger.sandboxes[0].id));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_never_polled_is_never_sent() {
    let mut sim = in_world(World::calm());
    drop(sim.call(base()));
    time::sleep(secs(5)).await;
    assert_eq!(sim.ledger().creates.received, 0);
}

#[tokio::test(start_paused = true)]
async fn the_balancer_gives_up_at_the_deadline_and_the_work_may_commit_late() {
    for (late_commit, sandboxes) in [(0.0, 0), (1.0, 1)] {
        let sim = in_world(World { create_median: secs(80), late_commit, ..slow() });
        let response = send(&sim, base()).await;
        assert_eq!(sim.elapsed(), secs(70));
        assert_eq!((response.status.as_u16(), response.text()), (504, "upstream request timeout"));
        assert_eq!(sim.active(), 0);
        time::sleep(secs(11)).await;
        assert_eq!(sim.active(), sandboxes);
        let ledger = sim.ledger();
        assert_eq!(ledger.creates.created_late, sandboxes as u64);
        assert_eq!(ledger.creates.rejected[&504], 1);
        assert!(ledger.sandboxes.iter().all(|sandbox| sandbox.response_lost));
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_lost_was_work_that_was_done() {
    let sim = in_world(World { response_lost: 1.0, ..World::calm() });
    let lost = try_send(&sim, base()).await.unwrap_err();
    assert_eq!((lost.kind(), lost.processed()), (ConnectionErrorKind::Reset, true));
    assert_eq!(sim.active(), 1);
    assert!(sim.ledger().sandboxes[0].response_lost);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_refused_or_reset_before_did_nothing() {
    let refusing = World { connection_refused: 1.0, ..World::calm() };
    let resetting = World { connection_reset: 1.0, ..World::calm() };
    for (world, kind) in
        [(refusing, ConnectionErrorKind::Refused), (resetting, ConnectionErrorKind::Reset)]
    {
        let sim = in_world(world);
        let broken = try_send(&sim, base()).await.unwrap_err();
        assert_eq!((broken.kind(), broken.processed()), (kind, false));
        let ledger = sim.ledger();
        assert_eq!((ledger.creates.received, ledger.broken_connections), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn each_failure_of_a_creation_has_its_status_and_code() {
    let shares = |failed, capacity, timeout| World {
        create_failure: 1.0,
        create_failed_share: failed,
        capacity_share: capacity,
        placement_timeout_share: timeout,
        ..slow()
    };
    for (world, status, code) in [
        (shares(1.0, 0.0, 0.0), 500, "sandbox_create_failed"),
        (shares(0.0, 1.0, 0.0), 503, "sandbox_capacity_unavailable"),
        (shares(0.0, 0.0, 1.0), 504, "sandbox_placement_timeout"),
    ] {
        let sim = in_world(world);
        let response = send(&sim, base()).await;
        assert_eq!(sim.elapsed(), secs(10), "a failure takes as long as a success");
        assert_eq!(response.status.as_u16(), status);
        assert_eq!(response.json()["error_code"], code);
        let message = response.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Failed to place sandbox"), "{message}");
        assert_eq!(sim.ledger().creates.rejected[&status], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_has_no_capacity_until_a_sandbox_ends() {
    let sim = in_world(World { slots: 1.try_into().unwrap(), ..World::calm() });
    let first = Created::new(&sim).await;
    let refused = send(&sim, base()).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error_code"], "sandbox_capacity_unavailable");
    send(&sim, first.kill()).await;
    assert_eq!(send(&sim, base()).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_tells_the_call_that_a_sandbox_was_made_for() {
    let sim = in_world(World::calm());
    let named = json!({"templateID": "base", "metadata": {"sandtower-call": "from-metadata"}});
    send(&sim, creation(&named)).await;
    let mut request = base();
    request.headers_mut().insert("sandtower-call", "from-header".parse().unwrap());
    send(&sim, request).await;
    Created::new(&sim).await;
    let calls: Vec<_> = sim.ledger().sandboxes.into_iter().map(|sandbox| sandbox.call).collect();
    assert_eq!(calls, [Some("from-metadata".into()), Some("from-header".into()), None]);
}

#[tokio::test(start_paused = true)]
async fn the_ledger_is_bounded_and_counts_what_it_dropped() {
    let limits = Limits { create: Rate::new(Duration::ZERO, 1), ..Plan::Pro.limits() };
    let sim = Config::new().limits(limits).ledger_capacity(3).build().unwrap();
    for _ in 0..10 {
        let sandbox = Created::new(&sim).await;
        send(&sim, sandbox.kill()).await;
    }
    let running = Created::new(&sim).await;
    let ledger = sim.ledger();
    assert_eq!((ledger.killed, ledger.dropped, ledger.active), (10, 7, 1));
    assert_eq!(ledger.sandboxes.len(), 4);
    assert_eq!(ledger.sandboxes[3].id, running.id);
    assert_eq!(ledger.sandboxes[2].end, End::Killed);
}

/// Some traffic with all there is: quick and slow callers, kills, commands, mistakes.
fn ledger_of(seed: u64) -> Ledger {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World {
            create_exponent: 1.0,
            connection_reset: 0.05,
            response_lost: 0.05,
            ..World::stress()
        };
        let sim = Config::new().seed(seed).world(world).plan(Plan::Pro).build().unwrap();
        let mut callers = Vec::new();
        for caller in 0..5 {
            let sim = sim.clone();
            callers.push(tokio::spawn(async move {
                for _ in 0..20 {
                    time::sleep(secs(caller * 3)).await;
                    let created = time::timeout(secs(20), try_send(&sim, base())).await;
                    let Ok(Ok(response)) = created else { continue };
                    if response.status != 201 {
                        continue;
                    }
                    let sandbox = Created::of(&response);
                    drop(try_send(&sim, sandbox.start("sleep 1; exit 1")).await);
                    drop(try_send(&sim, sandbox.kill()).await);
                }
            }));
        }
        for caller in callers {
            caller.await.unwrap();
        }
        sim.ledger()
    })
}

#[test]
fn the_same_seed_gives_the_same_ledger() {
    let ledger = ledger_of(7);
    assert!(ledger.creates.created > 10 && ledger.creates.rejected.len() > 1, "{ledger:?}");
    assert_eq!(ledger, ledger_of(7));
    assert_ne!(ledger, ledger_of(8));
}

#[tokio::test(start_paused = true)]
async fn the_simulator_is_always_ready() {
    let mut sim = in_world(World::calm());
    for _ in 0..3 {
        ServiceExt::<Request<Full<bytes::Bytes>>>::ready(&mut sim).await.unwrap();
    }
}
