use http_body_util::Full;
use sandtower_gateway::admin;
use sandtower_gateway::config::Source;
use serde_json::{Value, json};

use super::support::{Site, TOKEN};

pub(super) const PAGES: [&str; 12] = [
    "/",
    "/breakers",
    "/queues",
    "/limits",
    "/keys",
    "/sandboxes",
    "/creations",
    "/pool",
    "/latency",
    "/alerts",
    "/calls",
    "/audit",
];

#[tokio::test]
async fn each_described_path_is_served_by_its_methods_and_no_other() {
    let site = Site::new(&[]).await;
    let description = site.read("/api/v1/openapi.json").await;
    for (path, methods) in description["paths"].as_object().unwrap() {
        let path = path.replace("{breaker}", "data_plane").replace("{sandbox}", "i0");
        let path = path.replace("{id}", "0000000000000000");
        if path == "/api/v1/drain" || path.starts_with("/api/v1/events") {
            continue;
        }
        for method in ["GET", "POST", "PATCH", "DELETE", "PUT"] {
            let is_described = !methods[method.to_lowercase()].is_null();
            let (status, body) = site.by_program(method, &path, json!({})).await;
            let is_served = status != 405;
            assert_eq!(is_served, is_described, "{method} {path}: {status} {body}");
        }
    }
}

#[tokio::test]
async fn pages_are_whole_and_closed_to_what_is_not_theirs() {
    let site = Site::new(&[]).await;
    site.world.create().await;
    for path in PAGES {
        let response = site.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "same-origin");
        assert_eq!(header("cache-control"), "no-store");
        let page = response.body();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{path}");
        assert!(
            !page.contains(" style=") && !page.contains("<style"),
            "{path}: the policy forbids it"
        );
        assert!(!page.contains(TOKEN) && !page.contains(crate::support::KEY), "{path}");
    }
    let assets = ["/assets/style.css", "/assets/script.js", "/assets/icon.svg"];
    for path in assets {
        assert_eq!(site.get(path).await.status(), 200, "{path}");
    }
    assert_eq!(site.get("/nowhere").await.status(), 404);
}

#[tokio::test]
async fn a_listener_beyond_loopback_needs_a_token_to_start_and_to_read() {
    let error = Source::new().set("admin.listen=0.0.0.0:0").unwrap().read().unwrap_err();
    assert_eq!(error.setting(), "admin.token");
    assert!(error.to_string().contains("must be set"), "{error}");
    let short = Source::new().set("admin.token=0123456789abcde").unwrap().read().unwrap_err();
    assert!(short.to_string().contains("at least 16"), "{short}");
    assert!(!short.to_string().contains("0123456789abcde"), "{short}");

    let site = Site::new(&["admin.listen=0.0.0.0:0"]).await;
    let to = |path: &str| format!("http://127.0.0.1:{}{path}", site.address().port());
    let read = async |path: &str, token: Option<&str>| {
        let request = http::Request::builder().uri(to(path));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        site.send(request.body(Full::default()).unwrap()).await
    };
    for path in ["/api/v1/overview", "/api/v1/snapshot", "/metrics", "/api/v1/events?page=/"] {
        assert_eq!(read(path, None).await.status(), 401, "{path}");
    }
    for path in ["/api/v1/overview", "/metrics", "/audit"] {
        assert_eq!(read(path, Some(TOKEN)).await.status(), 200, "{path}");
    }
    let page = read("/queues", None).await;
    assert_eq!(
        (page.status().as_u16(), &page.headers()["location"]),
        (303, &"/login?next=/queues".parse().unwrap())
    );
    assert_eq!(read("/login", None).await.status(), 200);
    for path in ["/livez", "/readyz"] {
        assert_eq!(read(path, None).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn without_a_token_a_listener_on_loopback_makes_one_at_each_start() {
    let site = Site::new(&[]).await;
    assert!(site.admin.made_token().is_none(), "one is configured");
    let config = Source::new().set("admin.listen=127.0.0.1:0").unwrap().read().unwrap().admin;
    let mut made = Vec::new();
    for _ in 0..2 {
        let read = || Source::new().read();
        let admin = admin::start(&site.world.gateway, config.clone(), read).await.unwrap();
        made.push(admin.made_token().unwrap().expose().to_owned());
    }
    assert_ne!(made[0], made[1]);
    assert_eq!(made[0].len(), 64);
}

#[tokio::test]
async fn breakers_limits_and_sandboxes_obey() {
    let site = Site::new(&[]).await;
    let (sandbox, _) = site.world.create().await;
    let has_two = |read: &Value| read["rows"].as_array().unwrap().len() == 2;
    let breakers = site.until("/api/v1/breakers", has_two).await;
    let key = breakers["rows"][1]["breaker"].as_str().unwrap().to_owned();
    let state = async || {
        let all = site.read("/api/v1/breakers").await;
        let rows = all["rows"].as_array().unwrap().iter();
        let row = rows.into_iter().find(|row| row["breaker"] == *key).unwrap();
        (row["state"].as_str().unwrap().to_owned(), row["forced"].as_bool().unwrap())
    };
    for (action, expected) in [
        ("force_open", ("open", true)),
        ("release", ("half_open", false)),
        ("reset", ("closed", false)),
        ("force_closed", ("closed", true)),
        ("release", ("closed", false)),
    ] {
        let (status, body) =
            site.change(&format!("/api/v1/breakers/{key}/{action}"), json!({})).await;
        assert_eq!(status, 200, "{action}: {body}");
        let (name, forced) = state().await;
        assert_eq!((&*name, forced), expected, "{action}");
    }
    let limit =
        json!({"stack": key, "operation": "sandbox_create", "kind": "concurrency", "limit": 7});
    assert_eq!(site.change("/api/v1/limits", limit).await.0, 200);
    let rate = json!({"stack": key, "operation": "sandbox_create", "kind": "rate", "limit": 9});
    assert_eq!(site.change("/api/v1/limits", rate).await.0, 200);
    let limits = site.read("/api/v1/limits").await;
    let limit_of = |kind: &str| {
        let rows = limits["rows"].as_array().unwrap().iter();
        let row =
            rows.into_iter().find(|it| it["operation"] == "sandbox_create" && it["kind"] == kind);
        row.unwrap()["limit"].clone()
    };
    assert_eq!((limit_of("concurrency"), limit_of("rate")), (json!(7), json!(9)));

    let rows = site.read("/api/v1/sandboxes").await;
    assert_eq!((&rows["rows"][0]["id"], &rows["rows"][0]["stack"]), (&json!(sandbox), &json!(key)));
    let (status, killed) =
        site.change(&format!("/api/v1/sandboxes/{sandbox}/kill"), json!({})).await;
    assert_eq!((status.as_u16(), killed["killed"].clone()), (200, json!(true)));
    assert_eq!(site.world.sim.ledger().active, 0);
    assert_eq!(site.read("/api/v1/sandboxes").await["rows"], json!([]));
    let (status, _) = site.change(&format!("/api/v1/sandboxes/{sandbox}/kill"), json!({})).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_said() {
    let site = Site::new(&[]).await;
    let limit = |field: &str, value: Value| {
        let mut limit = json!({"stack": "data_plane", "operation": "sandbox_create", "kind": "rate", "limit": 1});
        limit[field] = value;
        limit
    };
    for (path, body, status, says) in [
        ("/api/v1/breakers/nowhere/reset", json!({}), 404, "`data_plane`"),
        ("/api/v1/breakers/all/force_open", json!({}), 422, "name one"),
        ("/api/v1/limits", limit("stack", json!("key_0")), 404, "no stack"),
        ("/api/v1/limits", limit("operation", json!("none")), 422, "sandbox_create"),
        ("/api/v1/limits", limit("limit", json!(0)), 422, "`limit`"),
        ("/api/v1/limits", limit("limit", json!(-1)), 422, "`limit`"),
        ("/api/v1/limits", limit("limit", json!("5")), 422, "`limit`"),
        ("/api/v1/limits", limit("kind", json!("e2b_5ec5e7")), 422, "`kind`"),
        ("/api/v1/limits", limit("more", json!(1)), 422, "unknown"),
        (
            "/api/v1/limits",
            json!({"stack": "data_plane", "operation": "health", "kind": "rate"}),
            422,
            "limit",
        ),
        (
            "/api/v1/limits",
            json!({"stack": "data_plane", "operation": "health", "kind": "concurrency", "limit": null}),
            422,
            "number",
        ),
        ("/api/v1/limits", json!([]), 422, ""),
        ("/api/v1/sandboxes/a%2Fb/kill", json!({}), 422, "id"),
        ("/api/v1/sandboxes/unknown/kill", json!({}), 404, "does not know"),
    ] {
        let (found, error) = site.change(path, body.clone()).await;
        assert_eq!(found, status, "{path} {body}: {error}");
        let error = error["error"].as_str().unwrap();
        assert!(error.contains(says) && !error.contains("5ec5e7"), "{path} {body}: {error}");
    }
}

#[tokio::test]
async fn an_operator_ends_the_gateway_as_a_signal_does() {
    let site = Site::new(&[]).await;
    let (status, _) = site.change("/api/v1/drain", json!({})).await;
    assert_eq!(status, 202);
    tokio::time::timeout(crate::support::LONG, site.admin.drain_requested()).await.unwrap();
}

#[tokio::test]
async fn changes_are_in_the_file_of_the_audit_log_too() {
    let folder = crate::keys::Folder::new();
    let file = folder.path("audit.jsonl");
    let site = Site::new(&[&format!("admin.audit_log={file}")]).await;
    site.change("/api/v1/breakers/data_plane/reset", json!({})).await;
    site.send(site.request("POST", "/api/v1/drain").body(Full::default()).unwrap()).await;
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    crate::support::until("both are written", || lines().lines().count() == 2).await;
    let lines: Vec<Value> =
        lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["actor"], &lines[0]["result"]), (&json!("token"), &json!("done")));
    assert_eq!((&lines[1]["actor"], &lines[1]["result"]), (&json!("anonymous"), &json!("denied")));
    assert!(lines.iter().all(|line| !line.to_string().contains(TOKEN)));
}
