//! Virtual keys: their limits hold over all places together, and each sees its own sandboxes there.

use bytes::Bytes;
use http::Response;
use sandtower_gateway::virtual_keys::NewKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::world::{Two, settled};

const SECRET: &str = "e2b_00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff";

impl Two {
    fn limited(&self, name: &str, most: u32) -> String {
        let mut new = NewKey::new(name);
        new.limits.concurrent_sandboxes = Some(most.into());
        self.key(new).1
    }

    async fn status(&self, key: &str, method: &str, path: &str) -> u16 {
        let body = (method == "POST").then(|| json!({"timeout": 100}));
        self.by(key, method, path, body).await.status().as_u16()
    }
}

fn ids(response: &Response<Bytes>) -> Vec<String> {
    let all: Vec<Value> = serde_json::from_slice(response.body()).unwrap();
    all.iter().map(|one| one["sandboxID"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_limit_holds_over_all_places_and_each_key_has_its_own_sandboxes() {
    let two = Two::new(&[]).await;
    let (one, other) = (two.limited("one", 2), two.limited("other", 2));
    let at_home = two.create_by(&one, 300).await.unwrap();
    two.home_is_down(true);
    let elsewhere = two.create_by(&one, 300).await.unwrap();
    assert_eq!((two.sim.active(), two.eu.active()), (1, 1));
    let rejected = two.create_by(&one, 300).await.unwrap_err();
    assert_eq!(rejected.status(), 429, "{:?}", rejected.body());
    two.home_is_down(false);
    settled(async || two.status(&one, "GET", "/v2/sandboxes").await == 200).await;
    assert_eq!(two.create_by(&one, 300).await.unwrap_err().status(), 429);

    let mut listed = ids(&two.by(&one, "GET", "/v2/sandboxes?limit=2", None).await);
    listed.sort();
    let mut all = [at_home.clone(), elsewhere.clone()];
    all.sort();
    assert_eq!(listed, all);
    assert!(ids(&two.by(&other, "GET", "/v2/sandboxes", None).await).is_empty());
    let metrics = format!("/sandboxes/metrics?sandbox_ids={at_home},{elsewhere}");
    assert_eq!(two.status(&one, "GET", &metrics).await, 200);
    assert_eq!(two.status(&other, "GET", &metrics).await, 404);
    let path = format!("/sandboxes/{elsewhere}");
    let timeout = format!("{path}/timeout");
    for (method, path, own) in
        [("GET", &path, 200), ("POST", &timeout, 204), ("DELETE", &path, 204)]
    {
        assert_eq!(two.status(&other, method, path).await, 404, "{method} {path}");
        assert_eq!(two.status(&one, method, path).await, own, "{method} {path}");
    }
    assert_eq!(two.eu.active(), 0);
    two.keys_are_apart();
    two.create_by(&one, 300).await.unwrap();
    assert_eq!(two.create_by(&one, 300).await.unwrap_err().status(), 429);
}

#[tokio::test]
async fn after_a_restart_sandboxes_of_all_places_count() {
    let mut two = Two::new(&[]).await;
    let hash: String = Sha256::digest(SECRET).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!(
        "[[key]]\nname = \"search\"\nsha256 = \"{hash}\"\nlimits = {{ concurrent_sandboxes = 2 }}\n"
    );
    std::fs::write(two.path("keys.toml"), key).unwrap();
    two.set(format!("keys.file={}", two.path("keys.toml")));
    two.restart();
    two.create_by(SECRET, 300).await.unwrap();
    two.home_is_down(true);
    let elsewhere = two.create_by(SECRET, 300).await.unwrap();
    two.home_is_down(false);
    // Without a store: what is counted is what the listings of both places show.
    two.restart();
    let used = || two.gateway.virtual_keys().list()[0].usage.concurrent_sandboxes.used;
    crate::support::until("both are counted", || used() == 2).await;
    assert_eq!(two.create_by(SECRET, 300).await.unwrap_err().status(), 429);
    assert_eq!(two.status(SECRET, "DELETE", &format!("/sandboxes/{elsewhere}")).await, 204);
    assert_eq!((two.eu.active(), used()), (0, 1));
}

#[tokio::test]
async fn with_warm_pools_in_all_places_a_limit_holds_as_well() {
    let two = Two::new(&["stack.pool.max=3", "stack.pool.idle_for=60s"]).await;
    let (one, other) = (two.limited("one", 3), two.limited("other", 3));
    let mut all = Vec::new();
    for is_down in [false, true, false] {
        two.home_is_down(is_down);
        all.push(two.create_by(&one, 300).await.unwrap());
    }
    assert_eq!(two.create_by(&one, 300).await.unwrap_err().status(), 429);
    settled(async || two.status(&one, "GET", "/v2/sandboxes").await == 200).await;
    let mut listed = ids(&two.by(&one, "GET", "/v2/sandboxes", None).await);
    listed.sort();
    all.sort();
    assert_eq!(listed, all);
    assert!(ids(&two.by(&other, "GET", "/v2/sandboxes", None).await).is_empty());
    for id in &all {
        let path = format!("/sandboxes/{id}");
        assert_eq!(two.status(&other, "DELETE", &path).await, 404, "{id}");
        assert_eq!(two.status(&one, "DELETE", &path).await, 204, "{id}");
    }
    two.create_by(&one, 300).await.unwrap();
}
