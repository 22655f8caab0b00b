//! Creations: none is lost, none is doubled, and what no caller got is killed.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::support::{KEY, LONG, World, until};

fn creation(body: &str, more: &str) -> Vec<u8> {
    format!(
        "POST /v2/sandboxes HTTP/1.1\r\nhost: gw\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{more}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

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
async fn a_caller_that_goes_before_its_response_leaves_nothing() {
    let world = World::new(&["workers=1"]).await;
    world.faults(
        json!([{"name": "slow", "kind": "slow", "on": ["sandbox_create"], "lasting": "300ms"}]),
    );
    for _ in 0..10 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(&creation(BASE, "")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stream);
    }
    // Requests that were dropped in the queue create nothing.
    until("requests have ended", || world.gateway.in_flight() == 0).await;
    let gone = || world.sim.ledger().active == 0;
    tokio::time::sleep(Duration::from_secs(1)).await;
    until("nothing is left", gone).await;
}

#[tokio::test]
async fn aborted_uploads_open_no_breaker() {
    let world = World::new(&[]).await;
    let (id, token) = world.create().await;
    for _ in 0..30 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!(
            "POST /files?path=a&username=user HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: {id}\r\n\
             e2b-sandbox-port: 49983\r\nx-access-token: {token}\r\ncontent-length: 10000000\r\n\r\n0123456789"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(stream);
    }
    until("requests have ended", || world.gateway.in_flight() == 0).await;
    let health = world.inside("GET", "/health", &id, &token).body(Default::default()).unwrap();
    let health = tokio::time::timeout(LONG, world.send(health)).await.unwrap();
    assert_eq!(health.status(), 204, "{:?}", health.body());
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
