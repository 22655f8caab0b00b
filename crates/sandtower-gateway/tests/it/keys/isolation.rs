//! A sandbox is there for the key that created it, and for no other one of the same upstream key.

use sandtower_gateway::virtual_keys::{KeyChange, NewKey};
use serde_json::json;

use super::world::{Folder, json_of, keyed, roomy};
use crate::support::{KEY, World, until};

#[tokio::test]
async fn another_key_neither_sees_nor_touches_a_sandbox() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let ((_, one), (_, other)) = (world.key(NewKey::new("one")), world.key(NewKey::new("other")));
    let id = world.create_by(&one, 300).await.unwrap();
    world.create_by(&other, 300).await.unwrap();
    for (method, path, body) in [
        ("GET", format!("/sandboxes/{id}"), None),
        ("GET", format!("/sandboxes/{id}/metrics"), None),
        ("GET", format!("/sandboxes/metrics?sandbox_ids={id}"), None),
        ("GET", format!("/v2/sandboxes/{id}/logs"), None),
        ("POST", format!("/sandboxes/{id}/connect"), Some(json!({"timeout": 60}))),
        ("POST", format!("/v2/sandboxes/{id}-6532622b/connect"), Some(json!({"timeout": 60}))),
        ("POST", format!("/sandboxes/{id}/timeout"), Some(json!({"timeout": 1}))),
        ("POST", format!("/sandboxes/{id}/refreshes"), Some(json!({"duration": 1}))),
        ("POST", format!("/sandboxes/{id}/pause"), Some(json!({}))),
        ("POST", format!("/sandboxes/{id}/snapshots"), Some(json!({}))),
        ("PUT", format!("/sandboxes/{id}/network"), Some(json!({}))),
        ("DELETE", format!("/sandboxes/{id}"), None),
    ] {
        let response = world.by(&other, method, &path, body.clone()).await;
        assert_eq!(response.status(), 404, "{method} {path}: {:?}", response.body());
        // Word for word as the service says it of one that is not there.
        let unknown = path.replace(&id, "i00000000000000000000");
        let absent = world.by(&other, method, &unknown, body).await;
        let absent = String::from_utf8_lossy(absent.body()).replace("i00000000000000000000", &id);
        assert_eq!(String::from_utf8_lossy(response.body()), absent, "{method} {path}");
    }
    for path in
        ["/sandboxes", "/v2/sandboxes", "/v2/sandboxes?limit=1", "/v2/sandboxes?metadata=user%3Du"]
    {
        let listed = world.by(&one, "GET", path, None).await;
        let all = json_of(&listed);
        assert_eq!(all.as_array().unwrap().len(), 1, "{path}: {all}");
        assert_eq!(all[0]["sandboxID"], id.as_str());
        assert_eq!(all[0]["metadata"], json!({"user": "u"}), "no marks are shown");
        assert!(listed.headers().get("x-next-token").is_none_or(|token| token.is_empty()));
    }
    let kill = world.by(&one, "DELETE", &format!("/sandboxes/{id}"), None).await;
    assert_eq!(kill.status(), 204);
}

#[tokio::test]
async fn what_no_key_owns_is_forbidden_or_the_same_for_all() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let (_, key) = world.key(NewKey::new("one"));
    assert_eq!(world.by(&key, "GET", "/templates", None).await.status(), 200);
    for (method, path) in [("GET", "/snapshots"), ("DELETE", "/templates/base"), ("GET", "/teams")]
    {
        let response = world.by(&key, method, path, None).await;
        assert_eq!(response.status(), 403, "{method} {path}");
        assert!(json_of(&response)["message"].as_str().unwrap().contains("virtual key"));
    }
    let stranger = world.by(KEY, "GET", "/v2/sandboxes", None).await;
    assert_eq!(stranger.status(), 401, "`pass_through` is off");
}

#[tokio::test]
async fn one_idempotency_key_is_two_for_two_keys() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let ((one_id, one), (_, other)) =
        (world.key(NewKey::new("one")), world.key(NewKey::new("other")));
    let create = async |key: &str| {
        let request = http::Request::post(world.uri("/v2/sandboxes"))
            .header("x-api-key", key)
            .header("idempotency-key", "job-1")
            .body(http_body_util::Full::from(r#"{"templateID":"base"}"#))
            .unwrap();
        let response = world.send(request).await;
        assert_eq!(response.status(), 201, "{:?}", response.body());
        json_of(&response)["sandboxID"].as_str().unwrap().to_owned()
    };
    let (first, again, others) = (create(&one).await, create(&one).await, create(&other).await);
    assert_eq!(first, again);
    assert_ne!(first, others);
    let usage = world.gateway.virtual_keys().get(&one_id).unwrap().usage;
    assert_eq!(usage.concurrent_sandboxes.used, 1, "the two calls have one sandbox");
}

#[tokio::test]
async fn a_key_of_e2b_that_is_rejected_is_not_blamed_on_the_caller() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy().api_keys(["e2b_other"]), &[]).await;
    let (_, key) = world.key(NewKey::new("one"));
    for response in [
        world.create_by(&key, 60).await.unwrap_err(),
        world.by(&key, "GET", "/v2/sandboxes", None).await,
    ] {
        assert_eq!(response.status(), 503);
        assert!(json_of(&response)["message"].as_str().unwrap().contains("the gateway's own key"));
    }
}

/// Metadata tells whose a sandbox is, whatever becomes of the store.
#[tokio::test]
async fn a_gateway_without_a_store_knows_after_a_restart_whose_sandboxes_run() {
    let folder = Folder::new();
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let key = format!(
        "[[key]]\nname = \"search\"\nsha256 = \"{hash}\"\nlimits = {{ concurrent_sandboxes = 1 }}\n"
    );
    std::fs::write(folder.0.join("keys.toml"), key).unwrap();
    let settings = [
        format!("keys.upstream.team.file={}", folder.path("upstream")),
        format!("keys.file={}", folder.path("keys.toml")),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut world = World::over(roomy(), &settings).await;
    let id = world.create_by("abc", 300).await.unwrap();
    world.restart(&settings);
    let used = || world.gateway.virtual_keys().list()[0].usage.concurrent_sandboxes.used;
    until("the listing has found it", || used() == 1).await;
    assert_eq!(world.create_by("abc", 300).await.unwrap_err().status(), 429);
    assert_eq!(world.by("abc", "DELETE", &format!("/sandboxes/{id}"), None).await.status(), 204);
    assert_eq!(used(), 0);
}

#[tokio::test]
async fn templates_that_are_not_allowed_are_forbidden() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let mut new = NewKey::new("one");
    new.templates = Some(vec!["code-interpreter-v1".to_owned()]);
    let (id, key) = world.key(new);
    let rejected = world.create_by(&key, 60).await.unwrap_err();
    assert_eq!(rejected.status(), 403);
    let message = json_of(&rejected)["message"].as_str().unwrap().to_owned();
    assert!(message.contains("\"base\"") && message.contains("code-interpreter-v1"), "{message}");
    for body in [
        r#"{"templateID":"code-interpreter-v1","TemplateID":"base"}"#,
        r#"{"templateID":"code-interpreter-v1","templateID":"base"}"#,
        r#"{"templateid":"base"}"#,
        r#"{"templateID":["base"]}"#,
        "{}",
    ] {
        let request = http::Request::post(world.uri("/v2/sandboxes"))
            .header("x-api-key", &key)
            .body(http_body_util::Full::from(body))
            .unwrap();
        let status = world.send(request).await.status().as_u16();
        assert!([400, 403].contains(&status), "{status}");
    }
    assert_eq!(world.sim.ledger().sandboxes.len(), 0);
    let mut change = KeyChange::default();
    change.templates = Some(None);
    world.gateway.virtual_keys().update(&id, change).unwrap();
    world.create_by(&key, 60).await.unwrap();
}
