//! Creations: none is lost, none is doubled, and what no caller got is killed.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::operators::support::Site;
use super::support::{World, creation, until};

const BASE: &str = r#"{"templateID":"base","timeout":300}"#;

#[tokio::test]
async fn lost_responses_are_adopted_and_leave_nothing_behind() {
    let world = World::new(&[]).await;
    world.faults(json!([
        {"name": "lost", "kind": "lose", "on": ["sandbox_create"], "rate": 0.4},
        {"name": "failing", "kind": "respond", "response": "internal_500", "on": ["control"], "rate": 0.1},
    ]));
    let mut created = Vec::new();
    for _ in 0..10 {
        let new = json!({"templateID": "base"});
        let response = world.control("POST", "/v2/sandboxes", Some(new)).await;
        if response.status() == StatusCode::CREATED {
            let sandbox: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            created.push(sandbox["sandboxID"].as_str().unwrap().to_owned());
        }
    }
    assert!(created.len() >= 9, "{created:?}\n{}", world.log.text());
    world.faults(json!([]));
    created.sort();
    let alive = || {
        let ledger = world.sim.ledger();
        let mut alive: Vec<_> = ledger
            .sandboxes
            .iter()
            .filter(|sandbox| sandbox.end == sandtower_sim::End::StillRunning)
            .map(|sandbox| sandbox.id.clone())
            .collect();
        alive.sort();
        alive
    };
    until("only what was returned is alive", || alive() == created).await;
}

#[tokio::test]
async fn a_second_call_with_the_callers_key_is_the_same_creation() {
    let world = World::new(&[]).await;
    let id = async || {
        let text = world.raw(&creation(BASE, "idempotency-key: mine-1\r\n")).await;
        assert!(text.starts_with("HTTP/1.1 201"), "{text}");
        let (_, rest) = text.split_once("\"sandboxID\":\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    assert_eq!(id().await, id().await);
    assert_eq!(world.sim.active(), 1);
}

#[tokio::test]
async fn a_second_call_with_the_callers_key_that_is_aborted_kills_nothing() {
    let world = World::new(&["workers=1", "client_timeout=2s"]).await;
    let key = "idempotency-key: mine-1\r\n";
    let first = world.raw(&creation(BASE, key)).await;
    assert!(first.starts_with("HTTP/1.1 201"), "{first}");
    world.faults(json!([
        {"name": "stall", "kind": "stall", "on": ["sandbox_create"], "lasting": "5s", "after_work": true},
    ]));
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    stream.write_all(&creation(BASE, key)).await.unwrap();
    until("it is in flight", || world.sim.ledger().creates.received == 2).await;
    drop(stream);
    until("it has ended", || world.gateway.in_flight() == 0).await;
    world.faults(json!([]));
    // Longer than the deadline of the call, before which its sandbox could not be killed.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(world.sim.active(), 1);
}

/// Their clients do not wait for as long as an attempt may take.
#[tokio::test]
async fn creations_of_a_service_that_accepts_them_and_says_nothing_open_the_circuit_breaker() {
    let plan = r#"stack.custom_plan={create_every="1ms",sandboxes=100,concurrent_creates=16}"#;
    let settings = ["client_timeout=1s", plan];
    let site = Site::new(&settings).await;
    site.world.faults(json!([{"name": "silent", "kind": "stall", "on": ["sandbox_create"]}]));
    let new = || site.world.control("POST", "/v2/sandboxes", Some(json!({"templateID": "base"})));
    let mut trips = 0;
    for _ in 0..30 {
        tokio::join!(new(), new(), new(), new());
        let read = site.read("/api/v1/snapshot").await;
        let mut keys = read["keys"].as_object().unwrap().values();
        let breaker = keys.next().map(|it| &it["control_plane_breaker"]).unwrap();
        trips = breaker["counters"]["trips"].as_u64().unwrap();
        if trips > 0 {
            break;
        }
    }
    assert!(trips > 0, "so many failures in a row are an outage");
}
