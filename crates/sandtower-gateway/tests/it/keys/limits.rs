//! Limits are enforced: none of them lets in one more, however many callers there are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandtower_gateway::virtual_keys::{KeyChange, NewKey};
use serde_json::json;

use super::world::{Folder, json_of, keyed, roomy};
use crate::support::{KEY, World, until};

fn limited(name: &str, concurrent: u64) -> NewKey {
    let mut new = NewKey::new(name);
    new.limits.concurrent_sandboxes = Some(concurrent);
    new
}

/// How many sandboxes of each key run, by the simulator.
fn running(world: &World) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    for sandbox in world.sim.ledger().sandboxes {
        if sandbox.end == sandtower_sim::End::StillRunning {
            *all.entry(sandbox.id).or_default() += 1;
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_1000_keys_50_are_at_their_limits_and_none_is_over() {
    const EACH: u64 = 2;
    let folder = Folder::new();
    let world = Arc::new(keyed(&folder, roomy(), &[]).await);
    let keys: Vec<_> = (0..1_000).map(|n| world.key(limited(&format!("key {n}"), EACH))).collect();
    let mut calls = tokio::task::JoinSet::new();
    for (at, (_, secret)) in keys.iter().enumerate() {
        // 50 ask for four times what they may, the others for one of two.
        let asked = if at < 50 { 4 * EACH } else { u64::from(at % 10 == 0) };
        for _ in 0..asked {
            let (world, secret) = (Arc::clone(&world), secret.clone());
            calls.spawn(async move { (at, world.create_by(&secret, 600).await) });
        }
    }
    let mut created: BTreeMap<usize, u64> = BTreeMap::new();
    let mut owners: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(call) = calls.join_next().await {
        let (at, result) = call.unwrap();
        match result {
            Ok(id) => {
                *created.entry(at).or_default() += 1;
                owners.insert(id, at);
            }
            Err(response) => {
                assert_eq!(response.status(), 429, "{:?}", response.body());
                assert_eq!(response.headers()["should-retry"], "false");
                let message = json_of(&response)["message"].as_str().unwrap().to_owned();
                assert!(
                    message.starts_with(
                        "you have reached the maximum number of concurrent E2B sandboxes (2)"
                    ),
                    "{message}"
                );
            }
        }
    }
    assert_eq!(created.len(), 50 + 95);
    assert!(created.iter().all(|(at, count)| *count == if *at < 50 { EACH } else { 1 }));
    let running = running(&world);
    assert_eq!(running.len(), owners.len(), "none runs that was not returned");
    for (id, _) in keys.iter().take(50) {
        let used = world.gateway.virtual_keys().get(id).unwrap().usage.concurrent_sandboxes;
        assert_eq!(
            (used.used, used.limit, used.share, used.warning),
            (2, Some(2), Some(1.0), true)
        );
    }
}

#[tokio::test]
async fn a_place_is_free_when_its_sandbox_is_killed_paused_or_over() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let (id, key) = world.key(limited("one", 1));
    let used = || world.gateway.virtual_keys().get(&id).unwrap().usage.concurrent_sandboxes.used;

    let first = world.create_by(&key, 300).await.unwrap();
    assert_eq!(world.create_by(&key, 300).await.unwrap_err().status(), 429);
    assert_eq!(world.by(&key, "DELETE", &format!("/sandboxes/{first}"), None).await.status(), 204);
    let second = world.create_by(&key, 300).await.unwrap();

    let path = format!("/sandboxes/{second}/pause");
    assert_eq!(world.by(&key, "POST", &path, Some(json!({}))).await.status(), 204);
    let third = world.create_by(&key, 300).await.unwrap();
    // The paused one cannot come back beside it.
    let connect = format!("/sandboxes/{second}/connect");
    let body = Some(json!({"timeout": 60}));
    assert_eq!(world.by(&key, "POST", &connect, body.clone()).await.status(), 429);
    // A timeout of zero ends it.
    let path = format!("/sandboxes/{third}/timeout");
    assert_eq!(world.by(&key, "POST", &path, Some(json!({"timeout": 0}))).await.status(), 204);
    assert_eq!(world.by(&key, "POST", &connect, body).await.status(), 201);
    assert_eq!(used(), 1);

    world.by(&key, "DELETE", &format!("/sandboxes/{second}"), None).await;
    world.create_by(&key, 1).await.unwrap();
    assert_eq!(used(), 1);
    until("its time is over", || used() == 0).await;
}

#[tokio::test]
async fn a_creation_that_fails_takes_no_place_and_does_not_count() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let mut new = limited("one", 1);
    new.limits.creations_per_day = Some(1);
    let (id, key) = world.key(new);
    let unknown = json!({"templateID": "not-there"});
    let response = world.by(&key, "POST", "/v2/sandboxes", Some(unknown)).await;
    assert!(response.status().is_client_error(), "{:?}", response.body());
    let usage = || world.gateway.virtual_keys().get(&id).unwrap().usage;
    assert_eq!(usage().concurrent_sandboxes.used, 0);
    assert_eq!((usage().creations_per_day.used, usage().creations_per_minute.used), (0, 0));
}

#[tokio::test]
async fn creations_are_limited_by_the_minute_and_by_the_day() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let mut new = NewKey::new("one");
    new.limits.creations_per_minute = Some(2);
    let (id, key) = world.key(new);
    world.create_by(&key, 60).await.unwrap();
    world.create_by(&key, 60).await.unwrap();
    let rejected = world.create_by(&key, 60).await.unwrap_err();
    assert_eq!(rejected.status(), 429);
    let wait: u64 = rejected.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");

    let mut change = KeyChange::default();
    change.limits.creations_per_minute = Some(None);
    change.limits.creations_per_day = Some(Some(3));
    world.gateway.virtual_keys().update(&id, change).unwrap();
    world.create_by(&key, 60).await.unwrap();
    let rejected = world.create_by(&key, 60).await.unwrap_err();
    let wait: u64 = rejected.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert!(json_of(&rejected)["message"].as_str().unwrap().contains("3 sandboxes a day"));
}

#[tokio::test]
async fn seconds_that_are_used_up_end_what_runs_at_its_timeout() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let mut new = NewKey::new("one");
    new.limits.sandbox_seconds_per_day = Some(1);
    let (id, key) = world.key(new);
    let sandbox = world.create_by(&key, 300).await.unwrap();
    let used = || world.gateway.virtual_keys().get(&id).unwrap().usage.sandbox_seconds_per_day.used;
    until("a second was used", || used() >= 1).await;
    let rejected = world.create_by(&key, 60).await.unwrap_err();
    assert_eq!(rejected.status(), 429);
    assert!(json_of(&rejected)["message"].as_str().unwrap().contains("1 seconds a day"));
    let set = async |seconds: u32| {
        let path = format!("/sandboxes/{sandbox}/timeout");
        world.by(&key, "POST", &path, Some(json!({"timeout": seconds}))).await.status()
    };
    assert_eq!(set(600).await, 429, "no longer");
    assert_eq!(set(60).await, 204, "shorter is right");
    assert_eq!(world.sim.active(), 1, "it runs on");
}

#[tokio::test]
async fn a_revoked_key_is_rejected_at_once_and_so_is_what_it_created() {
    let folder = Folder::new();
    // Even where the callers' own keys work.
    let world = keyed(&folder, roomy(), &["keys.pass_through=true"]).await;
    let (id, key) = world.key(NewKey::new("one"));
    let sandbox = world.create_by(&key, 300).await.unwrap();
    let health = || {
        let request = world.inside("GET", "/health", &sandbox, "");
        request.body(http_body_util::Full::default()).unwrap()
    };
    assert_ne!(world.send(health()).await.status(), 401);
    world.gateway.virtual_keys().revoke(&id).unwrap();
    let rejected = world.by(&key, "GET", "/v2/sandboxes", None).await;
    assert_eq!(rejected.status(), 401);
    assert_eq!(json_of(&rejected)["message"], "the API key is revoked");
    assert_eq!(world.send(health()).await.status(), 401);
    let own = world.control("GET", "/v2/sandboxes", None).await;
    assert_eq!(own.status(), 200, "the team's own key works");
    assert_eq!(json_of(&own)[0]["metadata"], json!({"user": "u"}), "marks are hidden from it");
}

#[tokio::test]
async fn a_rotation_may_let_the_old_secret_live() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let (id, old) = world.key(NewKey::new("one"));
    let keys = world.gateway.virtual_keys();
    let status =
        async |key: &str| world.by(key, "GET", "/v2/sandboxes", None).await.status().as_u16();
    let grace = sandtower_gateway::virtual_keys::Rotation::grace(Duration::from_secs(3600));
    let (info, newer) = keys.rotate_with(&id, grace).unwrap();
    assert!(info.old_secret_until.is_some());
    assert_eq!((status(&old).await, status(newer.expose()).await), (200, 200));
    let (_, newest) = keys.rotate(&id).unwrap();
    assert_eq!((status(&old).await, status(newer.expose()).await), (401, 401));
    assert_eq!(status(newest.expose()).await, 200);
}

/// Of 40 % of the creations the response is lost, others fail, callers go away, sandboxes are killed: at no
/// moment do more run than the limit says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_responses_let_in_no_more() {
    const LIMIT: u64 = 4;
    let folder = Folder::new();
    let world = Arc::new(keyed(&folder, roomy(), &[]).await);
    let (id, key) = world.key(limited("one", LIMIT));
    world.faults(json!([
        {"name": "lost", "kind": "lose", "on": ["sandbox_create"], "rate": 0.4},
        {"name": "500", "kind": "respond", "response": "internal_500", "on": ["control"], "rate": 0.1},
    ]));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8_u64 {
        let (world, key) = (Arc::clone(&world), key.clone());
        callers.spawn(async move {
            let mut created = 0;
            for round in 0..6_u64 {
                let patience =
                    Duration::from_millis(if (caller + round) % 5 == 0 { 20 } else { 20_000 });
                let call = world.create_by(&key, 600);
                match tokio::time::timeout(patience, call).await {
                    Ok(Ok(sandbox)) => {
                        created += 1;
                        let path = format!("/sandboxes/{sandbox}");
                        world.by(&key, "DELETE", &path, None).await;
                    }
                    Ok(Err(response)) => assert_ne!(response.status(), 502),
                    Err(_) => {}
                }
            }
            created
        });
    }
    let mut created = 0;
    while let Some(next) = tokio::select! {
        ended = callers.join_next() => ended.map(Some),
        () = tokio::time::sleep(Duration::from_millis(1)) => Some(None),
    } {
        created += next.map_or(0, Result::unwrap);
        assert!(world.sim.active() as u64 <= LIMIT, "{}", world.log.text());
    }
    let used = world.gateway.virtual_keys().get(&id).unwrap().usage.concurrent_sandboxes.used;
    assert!(created > 0, "no creation succeeded");
    assert!(used as usize >= world.sim.active());
    let log = world.log.text();
    assert!(
        log.contains(&format!("\"key\":\"{id}\"")) && !log.contains(&key) && !log.contains(KEY)
    );
}
