//! Requests go where their sandbox is.

use serde_json::{Value, json};

use super::world::Two;

#[tokio::test]
async fn sandboxes_of_both_places_are_used_at_once() {
    let two = Two::new(&[]).await;
    let (at_home, elsewhere) = (two.create().await, two.create_in_eu().await);
    use_both(&two, &at_home, &elsewhere).await;
    for (id, _) in [&at_home, &elsewhere] {
        assert_eq!(two.kill(id).await, 204);
    }
    assert_eq!((two.sim.active(), two.eu.active()), (0, 0));
}

async fn use_both(two: &Two, at_home: &(String, String), elsewhere: &(String, String)) {
    for (id, token) in [at_home, elsewhere] {
        assert_eq!(two.health(id, token).await.status(), 204, "{id}");
        let info = two.control("GET", &format!("/sandboxes/{id}"), None).await;
        assert_eq!(info.status(), 200, "{id}");
        let info: Value = serde_json::from_slice(info.body()).unwrap();
        assert_eq!(info["metadata"], json!({"user": "u"}), "{id}");
        let timeout = Some(json!({"timeout": 100}));
        for (path, status) in [("timeout", 204), ("connect", 200)] {
            let path = format!("/sandboxes/{id}/{path}");
            assert_eq!(two.control("POST", &path, timeout.clone()).await.status(), status, "{id}");
        }
    }
    two.keys_are_apart();
}

#[tokio::test]
async fn after_a_restart_each_sandbox_is_found_where_it_is() {
    let mut two = Two::new(&[]).await;
    let (at_home, elsewhere) = (two.create().await, two.create_in_eu().await);
    two.restart();
    use_both(&two, &at_home, &elsewhere).await;
    // By the control plane first.
    two.restart();
    let info = two.control("GET", &format!("/sandboxes/{}", elsewhere.0), None).await;
    assert_eq!(info.status(), 200);
    let ids = format!("/sandboxes/metrics?sandbox_ids={},{}", at_home.0, elsewhere.0);
    let metrics = two.control("GET", &ids, None).await;
    let metrics: Value = serde_json::from_slice(metrics.body()).unwrap();
    assert_eq!(metrics["sandboxes"].as_object().map(serde_json::Map::len), Some(2), "{metrics}");
    // Several at once are one search.
    two.restart();
    let sent = || two.sent().map(|sent| sent.matches("GET /health").count());
    let before = sent();
    let health = || two.health(&elsewhere.0, &elsewhere.1);
    let four = tokio::join!(health(), health(), health(), health());
    for response in [four.0, four.1, four.2, four.3] {
        assert_eq!(response.status(), 204);
    }
    let after = sent();
    assert!(after[0] - before[0] <= 1 && after[1] - before[1] <= 5, "{before:?} {after:?}");
}

#[tokio::test]
async fn a_sandbox_that_is_nowhere_is_so_in_the_words_of_the_service() {
    let two = Two::new(&[]).await;
    let inside = two.health("i0nowhere", "token").await;
    assert_eq!(inside.status(), 502);
    let body = String::from_utf8(inside.body().to_vec()).unwrap();
    assert!(body.contains("The sandbox was not found"), "{body}");
    let info = two.control("GET", "/sandboxes/i0nowhere", None).await;
    assert_eq!(info.status(), 404);
    let body = String::from_utf8(info.body().to_vec()).unwrap();
    assert!(body.contains("doesn't exist"), "{body}");
}

#[tokio::test]
async fn a_sandbox_is_not_said_to_be_gone_by_places_that_do_not_respond() {
    let mut two = Two::new(&[]).await;
    let (at_home, elsewhere) = (two.create().await, two.create_in_eu().await);
    two.restart();
    two.eu_is_down(true);
    // Home's is found, and does not wait for the other place.
    assert_eq!(two.health(&at_home.0, &at_home.1).await.status(), 204);
    assert_eq!(two.control("GET", &format!("/sandboxes/{}", at_home.0), None).await.status(), 200);
    let response = two.health(&elsewhere.0, &elsewhere.1).await;
    assert_eq!(response.status(), 503, "{:?}", response.body());
    let path = format!("/sandboxes/{}", elsewhere.0);
    assert_eq!(two.control("GET", &path, None).await.status(), 503);
    two.eu_is_down(false);
    super::world::settled(async || two.health(&elsewhere.0, &elsewhere.1).await.status() == 204)
        .await;
    super::world::settled(async || two.control("GET", &path, None).await.status() == 200).await;
}

#[tokio::test]
async fn a_place_that_does_not_accept_its_key_has_nothing_and_its_401_is_no_callers() {
    let mut two = Two::new(&[]).await;
    let (at_home, elsewhere) = (two.create().await, two.create_in_eu().await);
    std::fs::write(two.path("eu"), "e2b_ffff").unwrap();
    let status = async |id: &str| {
        two.control("GET", &format!("/sandboxes/{id}"), None).await.status().as_u16()
    };
    two.gateway.reload(two.settings(&[])).unwrap();
    // It is known where it is.
    assert_eq!((status(&at_home.0).await, status(&elsewhere.0).await), (200, 503));
    two.restart();
    let status = async |id: &str| {
        two.control("GET", &format!("/sandboxes/{id}"), None).await.status().as_u16()
    };
    assert_eq!((status(&at_home.0).await, status(&elsewhere.0).await), (200, 503));
    // Requests into it need none.
    assert_eq!(two.health(&elsewhere.0, &elsewhere.1).await.status(), 204);
}
