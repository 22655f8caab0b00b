//! A creation that is sent again under its key makes no second sandbox.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::common::{base, creation, secs, send};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sandtower_sim::{Config, Sim, World};
use serde_json::{Value, json};
use tokio::time;

fn keyed(key: &str) -> Request<Full<Bytes>> {
    with_key(base(), key)
}

fn with_key(mut request: Request<Full<Bytes>>, key: &str) -> Request<Full<Bytes>> {
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

fn in_world(world: World) -> Sim {
    Config::new().world(world).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_key_gives_the_same_sandbox() {
    let sim = in_world(World::calm());
    let first = send(&sim, keyed("a-1")).await;
    let again = send(&sim, keyed("a-1")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!(sim.active(), 1);
    assert_eq!(send(&sim, keyed("a-2")).await.status, 201);
    assert_eq!(sim.active(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_good_for_one_request_only() {
    let sim = in_world(World::calm());
    send(&sim, keyed("a-1")).await;
    let other = creation(&json!({"templateID": "base", "timeout": 60}));
    let refused = send(&sim, with_key(other, "a-1")).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["error_code"], "idempotency_request_mismatch");
    time::sleep(secs(5)).await;
    for key in ["", "A", "a_b", "a b", &"a".repeat(256)] {
        assert_eq!(send(&sim, keyed(key)).await.status, 400, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_response_of_a_late_creation_can_be_had_by_its_key() {
    let slow = |late_commit| World {
        create_median: secs(80),
        create_spread: 0.0,
        late_commit,
        ..World::calm()
    };
    for (late_commit, code) in [(1.0, Value::Null), (0.0, json!("idempotency_outcome_unknown"))] {
        let sim = in_world(slow(late_commit));
        assert_eq!(send(&sim, keyed("a-1")).await.status, 504);
        let refused = send(&sim, keyed("a-1")).await;
        assert_eq!(refused.status, 409);
        assert_eq!(refused.json()["error_code"], "idempotency_in_progress");
        time::sleep(secs(11)).await;
        assert_eq!(send(&sim, keyed("a-1")).await.json()["error_code"], code);
        assert_eq!(sim.ledger().creates.created, late_commit as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_failed_may_be_sent_again_under_its_key() {
    let sim = in_world(World { create_failure: 0.5, ..World::calm() });
    while send(&sim, keyed("a-1")).await.status != 201 {
        time::sleep(secs(1)).await;
    }
    assert_eq!(sim.active(), 1);
}
