//! What operators see and do of several places.

use std::net::SocketAddr;
use std::time::Duration;

use sandtower_gateway::admin::{self, Admin};
use serde_json::{Value, json};

use super::world::Two;
use crate::support::ask;

const TOKEN: &str = "5ec5e75ec5e75ec5e75ec5e7";

impl Two {
    async fn operated(&self) -> (Admin, SocketAddr) {
        let own = json!({"listen": "127.0.0.1:0", "token": TOKEN});
        let own = serde_json::from_value(own).unwrap();
        let again = self.settings(&[]);
        let admin = admin::start(&self.gateway, own, move || Ok(again.clone())).await.unwrap();
        let address = admin.address().unwrap();
        (admin, address)
    }
}

async fn json_of(address: SocketAddr, path: &str) -> Value {
    let text = ask(address, None, "GET", path).await;
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn stacks_of_other_places_are_named_by_them_and_their_sandboxes_killed() {
    let two = Two::new(&[]).await;
    let (_admin, address) = two.operated().await;
    let (at_home, elsewhere) = (two.create().await.0, two.create_in_eu().await.0);

    let metrics = ask(address, None, "GET", "/metrics").await;
    for source in ["\"data_plane\"", "\"eu.data_plane\"", "\"key_", "\"eu.key_"] {
        assert!(metrics.contains(&format!("source={source}")), "{source}");
    }
    let snapshot = json_of(address, "/api/v1/snapshot").await;
    for place in [&snapshot, &snapshot["places"]["eu"]] {
        assert!(place["data_plane"]["data_plane_breaker"]["state"].is_string(), "{place}");
        assert_eq!(place["keys"].as_object().unwrap().len(), 1);
    }
    let breakers = json_of(address, "/api/v1/breakers").await;
    let labels: Vec<&str> = breakers["rows"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|row| row["label"].as_str())
        .collect();
    for label in ["upstream team", "upstream team at eu", "all sandboxes at eu"] {
        assert!(labels.contains(&label), "{labels:?}");
    }
    let reset = ask(address, Some(TOKEN), "POST", "/api/v1/breakers/eu.data_plane/reset").await;
    assert!(reset.starts_with("HTTP/1.1 200"), "{reset}");

    let page = ask(address, None, "GET", "/sandboxes").await;
    assert!(page.contains(&elsewhere) && page.contains(" at eu"), "{page}");
    for (id, left) in [(elsewhere, (1, 0)), (at_home, (0, 0))] {
        let killed =
            ask(address, Some(TOKEN), "POST", &format!("/api/v1/sandboxes/{id}/kill")).await;
        assert!(killed.contains("\"killed\":true"), "{killed}");
        assert_eq!((two.sim.active(), two.eu.active()), left);
    }
    for page in ["/", "/breakers", "/limits", "/queues", "/creations", "/alerts"] {
        let page = ask(address, None, "GET", page).await;
        assert!(page.starts_with("HTTP/1.1 200") && !page.contains("e2b_"), "{page}");
    }
}

#[tokio::test]
async fn an_operator_takes_home_out_by_its_circuit_breaker() {
    let two = Two::new(&[]).await;
    let (_admin, address) = two.operated().await;
    two.create().await;
    let breakers = json_of(address, "/api/v1/breakers").await;
    let rows = breakers["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["label"] == "upstream team").unwrap();
    let press = async |what: &str| {
        let path = format!("/api/v1/breakers/{}/{what}", row["breaker"].as_str().unwrap());
        let pressed = ask(address, Some(TOKEN), "POST", &path).await;
        assert!(pressed.starts_with("HTTP/1.1 200"), "{pressed}");
    };
    press("force_open").await;
    two.create().await;
    assert_eq!((two.sim.active(), two.eu.active()), (1, 1));
    press("force_closed").await;
    two.create().await;
    assert_eq!((two.sim.active(), two.eu.active()), (2, 1));
}

#[tokio::test]
async fn a_drain_waits_for_what_each_place_may_have_left() {
    let two = Two::new(&["workers=1"]).await;
    // It takes no call, so nothing can be left there.
    let full = json!({"name": "full", "kind": "respond", "response": "rate_429", "on": ["sandbox_create"]});
    two.faults(json!([full]));
    two.create().await;
    assert_eq!((two.sim.active(), two.eu.active()), (0, 1));
    // Its response is lost with its caller.
    let stall =
        json!([{"name": "stall", "kind": "stall", "on": ["sandbox_create"], "after_work": true}]);
    two.eu.set_faults(serde_json::from_value(stall).unwrap()).unwrap();
    let created = || two.eu.ledger().creates.created;
    let body = r#"{"templateID":"base","timeout":300}"#;
    let mut stream = tokio::net::TcpStream::connect(two.address()).await.unwrap();
    let request = crate::support::creation(body, "");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await.unwrap();
    crate::support::until("it is created", || created() == 2).await;
    drop(stream);
    crate::support::until("it has ended", || two.gateway.in_flight() == 0).await;
    two.eu.set_faults(Vec::new()).unwrap();
    let (_admin, address) = two.operated().await;
    let open = async || {
        let snapshot = json_of(address, "/api/v1/snapshot").await;
        [&snapshot["keys"], &snapshot["places"]["eu"]["keys"]].map(|keys| {
            let stacks = keys.as_object().unwrap().values();
            stacks.map(|stack| stack["tracker"]["open"].as_u64().unwrap()).sum::<u64>()
        })
    };
    assert_eq!(open().await, [0, 1]);
    let drained = tokio::time::timeout(Duration::from_secs(2), two.gateway.drain()).await;
    assert!(drained.is_err(), "more may appear");
    crate::support::until("what is known is killed", || two.eu.active() == 1).await;
}
