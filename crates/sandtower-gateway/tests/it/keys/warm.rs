//! Virtual keys that are served from a warm pool: what a sandbox without a mark is, only the store knows.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use sandtower_gateway::virtual_keys::{KeyId, NewKey};
use serde_json::{Value, json};

use super::world::{Folder, json_of, roomy};
use crate::operators::support::Site;
use crate::support::World;

const STACK: [&str; 5] = [
    r#"stack.custom_plan={create_every="1ms",sandboxes=1100,concurrent_creates=200}"#,
    "stack.pool.min=4",
    "stack.pool.max=8",
    "stack.pool.create_burst=20",
    r#"stack.pool.shapes=[{templateID="base"}]"#,
];

/// A gateway with a pool and virtual keys.
async fn warm(folder: &Folder) -> Site {
    let mut all = folder.settings();
    all.extend(STACK.map(String::from));
    let settings: Vec<_> = all.iter().map(String::as_str).collect();
    let world = World::over(roomy().call_key("sandtower_key"), &settings).await;
    Site::over(world, &settings).await
}

impl Site {
    /// Waits until the stock is full, by the request of `key` that starts it if there is none.
    async fn stocked(&self) {
        let is_full = |read: &Value| {
            let stacks = read["keys"].as_object().unwrap();
            stacks.values().all(|it| {
                let pool = &it["pool"];
                pool["idle"].as_u64() >= Some(4)
                    && pool["idle"] == pool["target"]
                    && pool["creating"] == 0
            })
        };
        self.until("/api/v1/snapshot", is_full).await;
    }

    async fn hits(&self) -> u64 {
        let read = self.read("/api/v1/snapshot").await;
        read["keys"]
            .as_object()
            .unwrap()
            .values()
            .map(|it| it["pool"]["hits"].as_u64().unwrap())
            .sum()
    }
}

impl World {
    /// Creates a sandbox like those in stock.
    async fn create_plain(&self, key: &str) -> Result<String, StatusCode> {
        let new = json!({"templateID": "base", "timeout": 900});
        let response = self.by(key, "POST", "/v2/sandboxes", Some(new)).await;
        match response.status() {
            StatusCode::CREATED => Ok(json_of(&response)["sandboxID"].as_str().unwrap().to_owned()),
            status => Err(status),
        }
    }

    /// The ids of all pages of a listing.
    async fn listed_by(&self, key: &str, path: &str) -> BTreeSet<String> {
        let (mut all, mut next) = (BTreeSet::new(), None::<String>);
        for _ in 0..100 {
            let more = next.map_or_else(String::new, |token| format!("&nextToken={token}"));
            let response = self.by(key, "GET", &format!("{path}{more}"), None).await;
            assert_eq!(response.status(), 200, "{path}");
            for one in json_of(&response).as_array().unwrap() {
                assert!(!one.to_string().contains("sandtower_"), "{one}");
                let id = one["sandboxID"].as_str().unwrap().to_owned();
                assert!(all.insert(id), "{path}: {one} is there twice");
            }
            next = response.headers().get("x-next-token").map(|it| it.to_str().unwrap().to_owned());
            if next.is_none() {
                return all;
            }
        }
        panic!("{path} has no end");
    }

    fn used(&self, key: KeyId) -> u64 {
        self.gateway.virtual_keys().get(&key).unwrap().usage.concurrent_sandboxes.used
    }
}

fn limited(concurrent: u64) -> NewKey {
    let mut new = NewKey::new("limited");
    new.limits.concurrent_sandboxes = Some(concurrent);
    new
}

/// What a key may do with a sandbox of its own.
fn tries(id: &str) -> Vec<(&'static str, String, Option<Value>)> {
    vec![
        ("GET", format!("/sandboxes/{id}"), None),
        ("GET", format!("/sandboxes/{id}/metrics"), None),
        ("GET", format!("/sandboxes/metrics?sandbox_ids={id}"), None),
        ("GET", format!("/v2/sandboxes/{id}/logs"), None),
        ("POST", format!("/sandboxes/{id}/connect"), Some(json!({"timeout": 60}))),
        ("POST", format!("/v2/sandboxes/{id}-6532622b/connect"), Some(json!({"timeout": 60}))),
        ("POST", format!("/sandboxes/{id}/resume"), Some(json!({"timeout": 60}))),
        ("POST", format!("/sandboxes/{id}/timeout"), Some(json!({"timeout": 1}))),
        ("POST", format!("/sandboxes/{id}/refreshes"), Some(json!({"duration": 1}))),
        ("POST", format!("/sandboxes/{id}/pause"), Some(json!({}))),
        ("POST", format!("/sandboxes/{id}/snapshots"), Some(json!({}))),
        ("PUT", format!("/sandboxes/{id}/network"), Some(json!({}))),
        ("DELETE", format!("/sandboxes/{id}"), None),
    ]
}

#[tokio::test]
async fn a_sandbox_from_stock_is_its_keys_alone_and_idle_stock_is_no_keys() {
    let folder = Folder::new();
    let site = warm(&folder).await;
    let world = &site.world;
    let ((id, one), (_, other)) = (world.key(limited(5)), world.key(NewKey::new("other")));
    world.create_plain(&other).await.unwrap();
    site.stocked().await;
    let mine = world.create_plain(&one).await.unwrap();
    assert_eq!((site.hits().await, world.used(id)), (1, 1));
    // It has no mark, unlike one that was created for its key.
    let marks = world.sim.ledger().sandboxes.into_iter().filter(|it| it.call.is_some());
    assert_eq!(marks.count(), 1);
    for (method, path, body) in tries(&mine) {
        let response = world.by(&other, method, &path, body).await;
        assert_eq!(response.status(), 404, "{method} {path}: {:?}", response.body());
    }
    site.stocked().await;
    let idle = world.sim.ledger().sandboxes.into_iter().map(|it| it.id);
    let seen = world.listed_by(&other, "/v2/sandboxes?").await;
    let idle: Vec<_> = idle.filter(|id| *id != mine && !seen.contains(id)).collect();
    assert!(idle.len() >= 4 && seen.len() == 1, "{idle:?} {seen:?}");
    for (method, path, body) in idle.iter().flat_map(|id| tries(id)) {
        for key in [&one, &other] {
            let response = world.by(key, method, &path, body.clone()).await;
            assert_eq!(response.status(), 404, "{method} {path}: {:?}", response.body());
        }
    }
    // Its own key does all of it.
    let kill = tries(&mine).pop().unwrap();
    for (method, path, body) in tries(&mine).into_iter().take(6).chain([kill]) {
        let response = world.by(&one, method, &path, body).await;
        assert!(response.status().is_success(), "{method} {path}: {:?}", response.body());
    }
    assert_eq!(world.used(id), 0, "it is killed");
    let gone = world.by(&one, "GET", &format!("/sandboxes/{mine}"), None).await;
    assert_eq!(gone.status(), 404);
}

#[tokio::test]
async fn limits_hold_for_hits_and_misses_alike() {
    let folder = Folder::new();
    let site = warm(&folder).await;
    let site = Arc::new(site);
    let (id, key) = site.world.key(limited(6));
    let first = site.world.create_plain(&key).await.unwrap();
    site.stocked().await;
    // Four are in stock: of ten at once, five are served, from it or not.
    let mut calls = tokio::task::JoinSet::new();
    for at in 0..10 {
        let (site, key) = (Arc::clone(&site), key.clone());
        calls.spawn(async move {
            match at % 3 {
                0 => site.world.create_by(&key, 900).await.map_err(|response| response.status()),
                _ => site.world.create_plain(&key).await,
            }
        });
    }
    let mut created = vec![first];
    while let Some(one) = calls.join_next().await {
        match one.unwrap() {
            Ok(id) => created.push(id),
            Err(status) => assert_eq!(status, 429),
        }
    }
    let world = &site.world;
    assert_eq!((created.len(), world.used(id)), (6, 6));
    assert!((1..=4).contains(&site.hits().await));
    let all: BTreeSet<_> = created.iter().cloned().collect();
    assert_eq!(world.listed_by(&key, "/v2/sandboxes?").await, all);
    for sandbox in &created {
        let killed = world.by(&key, "DELETE", &format!("/sandboxes/{sandbox}"), None).await;
        assert_eq!(killed.status(), 204);
    }
    assert_eq!(world.used(id), 0);
}

#[tokio::test]
async fn pages_of_a_listing_have_all_that_a_key_has_and_nothing_else() {
    let folder = Folder::new();
    let site = warm(&folder).await;
    let world = &site.world;
    let ((_, one), (_, other)) = (world.key(NewKey::new("one")), world.key(NewKey::new("other")));
    let mut mine = BTreeSet::from([world.create_plain(&one).await.unwrap()]);
    let mut marked = BTreeSet::new();
    for at in 0..9 {
        site.stocked().await;
        if at % 3 == 0 {
            let id = world.create_by(&one, 900).await.unwrap();
            marked.insert(id.clone());
            mine.insert(id);
        } else {
            mine.insert(world.create_plain(&one).await.unwrap());
        }
        world.create_plain(&other).await.unwrap();
    }
    assert!(site.hits().await >= 9);
    for limit in [1, 2, 3, 7, 100] {
        let path = format!("/v2/sandboxes?limit={limit}");
        assert_eq!(world.listed_by(&one, &path).await, mine, "{path}");
        let first = world.by(&one, "GET", &path, None).await;
        assert!(json_of(&first).as_array().unwrap().len() <= limit, "{path}");
    }
    assert_eq!(world.listed_by(&one, "/sandboxes?").await, mine);
    assert_eq!(world.listed_by(&one, "/v2/sandboxes?metadata=user%3Du").await, marked);
    assert_eq!(world.listed_by(&one, "/v2/sandboxes?state=paused").await, BTreeSet::new());
}

#[tokio::test]
async fn a_restart_forgets_no_owner_of_what_runs_or_is_paused() {
    let folder = Folder::new();
    let mut site = warm(&folder).await;
    let ((id, key), (_, other)) =
        (site.world.key(limited(5)), site.world.key(NewKey::new("other")));
    site.world.create_plain(&other).await.unwrap();
    site.stocked().await;
    let runs = site.world.create_plain(&key).await.unwrap();
    let paused = site.world.create_plain(&key).await.unwrap();
    assert_eq!(site.hits().await, 2);
    let pause = format!("/sandboxes/{paused}/pause");
    assert_eq!(site.world.by(&key, "POST", &pause, Some(json!({}))).await.status(), 204);
    assert_eq!(site.world.used(id), 1);
    let Site { world, .. } = &mut site;
    let killed = folder.killed();
    let mut all = killed.settings();
    all.extend(STACK.map(String::from));
    let settings: Vec<_> = all.iter().map(String::as_str).collect();
    world.restart(&settings);
    assert_eq!(world.used(id), 1);
    for sandbox in [&runs, &paused] {
        let info = format!("/sandboxes/{sandbox}");
        assert_eq!(world.by(&other, "GET", &info, None).await.status(), 404);
        assert_eq!(world.by(&key, "GET", &info, None).await.status(), 200);
    }
    let all = world.listed_by(&key, "/v2/sandboxes?state=running,paused").await;
    assert_eq!(all, BTreeSet::from([runs.clone(), paused.clone()]));
    let connect = format!("/sandboxes/{paused}/connect");
    let connected = world.by(&key, "POST", &connect, Some(json!({"timeout": 60}))).await;
    assert!(connected.status().is_success(), "{:?}", connected.body());
    assert_eq!(world.used(id), 2);
    // A revoked key opens nothing of it any more.
    let token = json_of(&connected)["envdAccessToken"].as_str().unwrap_or_default().to_owned();
    let inside = || {
        let request = world.inside("GET", "/health", &paused, &token);
        request.body(http_body_util::Full::default()).unwrap()
    };
    assert!(world.send(inside()).await.status().is_success());
    world.gateway.virtual_keys().revoke(&id).unwrap();
    assert_eq!(world.send(inside()).await.status(), 401);
}

#[tokio::test]
async fn without_a_store_no_key_is_served_from_stock() {
    let folder = Folder::new();
    let mut all = vec![format!("keys.upstream.team.file={}", folder.path("upstream"))];
    all.extend(STACK.map(String::from));
    let settings: Vec<_> = all.iter().map(String::as_str).collect();
    let world = World::over(roomy(), &settings).await;
    let site = Site::over(world, &settings).await;
    let (_, key) = site.world.key(NewKey::new("one"));
    for _ in 0..2 {
        site.world.create_plain(&key).await.unwrap();
        site.stocked().await;
    }
    let read = site.read("/api/v1/snapshot").await;
    let pool = &read["keys"].as_object().unwrap().values().next().unwrap()["pool"];
    assert_eq!((&pool["hits"], &pool["misses"]["metadata"]), (&json!(0), &json!(2)));
}
