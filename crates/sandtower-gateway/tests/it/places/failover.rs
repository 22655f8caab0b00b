//! Where sandboxes are created.

use std::time::Duration;

use http_body_util::Full;
use sandtower::core::Tick;
use sandtower_sim::Sim;
use serde_json::{Value, json};

use super::world::Two;
use crate::support::{KEY, until};

#[tokio::test]
async fn creations_fail_over_during_an_outage_and_come_back() {
    let two = Two::new(&[]).await;
    let at_home = two.create().await;
    two.home_is_down(true);
    let began = Tick::now();
    let mut elsewhere = Vec::new();
    for _ in 0..10 {
        elsewhere.push(two.create().await);
    }
    println!("10 creations during an outage took {:?}", Tick::now().since(began));
    assert_eq!((two.sim.active(), two.eu.active()), (1, 10));
    // As the place calls it.
    let [home, eu] = two.sent();
    assert!(home.contains(r#""templateID":"base""#) && !home.contains("base-eu"));
    assert!(eu.contains(r#""templateID":"base-eu""#) && !eu.contains(r#""templateID":"base""#));

    let logged = || two.log.text().matches(r#""place":"eu""#).count();
    until("the log names the place", || logged() == 10).await;
    two.home_is_down(false);
    two.until_home_creates().await;
    for (id, token) in elsewhere.iter().chain([&at_home]) {
        assert_eq!(two.health(id, token).await.status(), 204, "{id}");
    }
    two.keys_are_apart();
}

#[tokio::test]
async fn a_creation_leaves_a_place_that_does_not_respond() {
    let two = Two::new(&[]).await;
    // It creates the sandbox, and says nothing.
    let silent =
        json!({"name": "silent", "kind": "stall", "on": ["sandbox_create"], "after_work": true});
    two.faults(json!([silent]));
    let began = Tick::now();
    let (id, token) = two.create().await;
    assert!(Tick::now().since(began) < Duration::from_secs(10), "{:?}", Tick::now().since(began));
    assert_eq!(two.health(&id, &token).await.status(), 204);
    until("what was left at home is killed", || two.sim.active() == 0).await;
    assert_eq!((two.sim.ledger().creates.created, two.eu.active()), (1, 1));
}

#[tokio::test]
async fn a_place_that_says_nothing_for_some_creations_is_passed_by_by_the_others() {
    let two = Two::new(&[]).await;
    two.faults(json!([{"name": "silent", "kind": "stall", "on": ["control"]}]));
    for round in 0.. {
        let began = Tick::now();
        tokio::join!(two.create(), two.create(), two.create(), two.create());
        let took = Tick::now().since(began);
        if took < Duration::from_secs(1) {
            break;
        }
        assert!(round < 10, "{took:?}");
    }
    assert_eq!(two.sim.active(), 0);
    two.faults(json!([]));
    two.until_home_creates().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_creation_is_said_by_home() {
    let two = Two::new(&[]).await;
    let create = async |body: Value| {
        two.control("POST", "/v2/sandboxes", Some(body)).await.status().as_u16()
    };
    assert_eq!(create(json!({"templateID": "base", "timeout": -1})).await, 400);
    assert_eq!(create(json!({"templateID": "nowhere"})).await, 404);
    // Neither is that of another place to say, also if home takes longer.
    let slow = json!({"name": "slow", "kind": "slow", "on": ["sandbox_create"], "lasting": "3s"});
    two.faults(json!([slow]));
    assert_eq!(create(json!({"templateID": "nowhere"})).await, 404);
    two.home_is_down(true);
    let began = Tick::now();
    let status = create(json!({"templateID": "nowhere"})).await;
    assert!(status >= 500, "{status} after {:?}", Tick::now().since(began));
    assert_eq!((two.sim.active(), two.eu.active()), (0, 0));
}

#[tokio::test]
async fn a_creation_under_an_own_idempotency_key_stays_at_home() {
    let two = Two::new(&["client_timeout=6s"]).await;
    let create = async || {
        let request = http::Request::post(two.uri("/v2/sandboxes"))
            .header("x-api-key", KEY)
            .header("content-type", "application/json")
            .header("idempotency-key", "mine")
            .body(Full::from(r#"{"templateID":"base"}"#));
        two.send(request.unwrap()).await
    };
    two.home_is_down(true);
    assert!(create().await.status().is_server_error());
    assert_eq!(two.eu.active(), 0);
    two.home_is_down(false);
    two.until_home_creates().await;
    let id = |body: &[u8]| {
        let sandbox: Value = serde_json::from_slice(body).unwrap();
        sandbox["sandboxID"].as_str().unwrap().to_owned()
    };
    let first = create().await;
    assert_eq!(first.status(), 201);
    assert_eq!(id(create().await.body()), id(first.body()));
}

#[tokio::test]
async fn a_key_that_stands_for_none_elsewhere_has_only_home() {
    let two = Two::new(&["client_timeout=4s"]).await;
    two.home_is_down(true);
    let request = http::Request::post(two.uri("/v2/sandboxes"))
        .header("x-api-key", "e2b_0123")
        .header("content-type", "application/json")
        .body(Full::from(r#"{"templateID":"base"}"#));
    assert!(two.send(request.unwrap()).await.status().is_server_error());
    assert_eq!(two.eu.active(), 0);
    let [_, eu] = two.sent();
    assert!(!eu.contains("e2b_0123"));
}

#[tokio::test]
async fn nothing_is_left_in_either_place_after_lost_responses_and_an_outage() {
    let two = Two::new(&[]).await;
    let lost = json!({"name": "lost", "kind": "lose", "on": ["sandbox_create"], "rate": 0.2});
    two.faults(json!([lost]));
    two.eu.set_faults(serde_json::from_value(json!([lost])).unwrap()).unwrap();
    let (mut created, mut failed) = (Vec::new(), 0);
    for round in 0..3 {
        if round == 1 {
            two.faults(json!([lost, {"name": "outage", "kind": "reset"}]));
        }
        let new = || two.control("POST", "/v2/sandboxes", Some(json!({"templateID": "base"})));
        for _ in 0..5 {
            let four = tokio::join!(new(), new(), new(), new());
            for response in [four.0, four.1, four.2, four.3] {
                if response.status() != 201 {
                    failed += 1;
                    continue;
                }
                let sandbox: Value = serde_json::from_slice(response.body()).unwrap();
                created.push(sandbox["sandboxID"].as_str().unwrap().to_owned());
            }
        }
        two.faults(json!([lost]));
    }
    assert_eq!((created.len(), failed), (60, 0));
    let lost = |sim: &Sim| sim.ledger().sandboxes.iter().filter(|it| it.response_lost).count();
    println!("{} and {} responses were lost", lost(&two.sim), lost(&two.eu));
    assert!(two.eu.active() > 0 && lost(&two.sim) > 0 && lost(&two.eu) > 0);
    for id in &created {
        assert_eq!(two.kill(id).await, 204, "{id}");
    }
    until("no orphan is left", || two.sim.active() == 0 && two.eu.active() == 0).await;
}
