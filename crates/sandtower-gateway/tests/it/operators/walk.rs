//! What an operator does in one night, through the API.

use std::sync::Arc;

use serde_json::{Value, json};

use super::support::{Site, TOKEN};
use crate::keys::{Folder, keyed, roomy};
use crate::support::{LONG, World};

async fn create(world: &World, secret: &str) -> u16 {
    let new = json!({"templateID": "base", "metadata": {"user": "u"}});
    world.by(secret, "POST", "/v2/sandboxes", Some(new)).await.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_seen_its_calls_are_let_go_a_limit_is_halved_and_a_key_revoked() {
    let folder = Folder::new();
    let world = keyed(&folder, roomy(), &[]).await;
    let settings = folder.settings();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let site = Arc::new(Site::over(world, &settings).await);
    assert_eq!(site.read("/api/v1/overview").await["status"], "ok");

    // A team gets its key, and works.
    let new = json!({"name": "search", "limits": {"concurrent_sandboxes": 40}});
    let (status, key) = site.change("/api/v1/keys", new).await;
    assert_eq!(status, 201, "{key}");
    let (id, secret) = (key["id"].as_str().unwrap(), key["secret"].as_str().unwrap().to_owned());
    assert_eq!(create(&site.world, &secret).await, 201);

    // E2B fails. The page says what, for whom, since when, what is done and what to press.
    site.world.faults(json!([{"name": "outage", "kind": "respond", "response": "internal_500", "on": ["control"]}]));
    let call = || {
        let (site, secret) = (Arc::clone(&site), secret.clone());
        tokio::spawn(async move { create(&site.world, &secret).await })
    };
    let first: Vec<_> = (0..20).map(|_| call()).collect();
    let is_outage = |read: &Value| read["status"] == "critical";
    let overview = site.until("/api/v1/overview", is_outage).await;
    let problem = overview["problems"][0].clone();
    let text = |name: &str| problem[name].as_str().unwrap();
    assert!(
        text("what").contains("control plane") && text("what").contains("calls failed"),
        "{problem}"
    );
    assert!(text("whom").contains("upstream team") && text("whom").contains("wait"), "{problem}");
    assert!(problem["since_ms"].as_u64().unwrap() < 60_000, "{problem}");
    assert!(text("does").contains("holds calls") && text("does").contains("probe"), "{problem}");
    let calls: Vec<_> = (0..10).map(|_| call()).collect();
    let row_of = |read: &Value| {
        let rows = read["waiting"]["rows"].as_array().unwrap().iter();
        rows.into_iter().find(|row| row["tenant"] == "search").cloned()
    };
    let queues = site.until("/api/v1/queues", |read| row_of(read).is_some()).await;
    let row = row_of(&queues).unwrap();
    assert_eq!(
        (&row["operation"], &row["priority"]),
        (&json!("sandbox_create"), &json!("interactive"))
    );
    assert!(row["why"].as_str().unwrap().starts_with("circuit breaker"), "{row}");

    // E2B is back before its breaker's next probe: an operator lets the calls go.
    site.world.faults(json!([]));
    let press = problem["press"][0]["post"]["path"].as_str().unwrap();
    let (status, done) = site.change(press, json!({})).await;
    assert_eq!(status, 200, "{done}");
    let mut succeeded = 0;
    for call in calls {
        let status = tokio::time::timeout(LONG, call).await.unwrap().unwrap();
        succeeded += u32::from(status == 201);
    }
    assert_eq!(succeeded, 10, "of the calls that waited");
    for call in first {
        tokio::time::timeout(LONG, call).await.unwrap().unwrap();
    }
    site.until("/api/v1/overview", |read| read["status"] != "critical").await;

    // The team takes too much: half of its limit is enough.
    let change = json!({"limits": {"concurrent_sandboxes": 20}});
    let path = format!("/api/v1/keys/{id}");
    assert_eq!(site.by_program("PATCH", &path, change).await.0, 200);
    assert_eq!(site.read(&path).await["limits"]["concurrent_sandboxes"], 20);
    // Its key is on a public page: it is revoked, and works no more.
    assert_eq!(site.by_program("DELETE", &path, json!({})).await.0, 200);
    assert_eq!(create(&site.world, &secret).await, 401);

    // The audit log tells all of it, the newest first, and no secret.
    let audit = site.read("/api/v1/audit").await;
    let told: Vec<(String, String)> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (it["what"].as_str().unwrap().to_owned(), it["result"].as_str().unwrap().to_owned())
        })
        .collect();
    let expected = [
        format!("DELETE {path}"),
        format!("PATCH {path}"),
        format!("POST {press}"),
        String::from("POST /api/v1/keys"),
    ];
    assert_eq!(told, expected.map(|what| (what, String::from("done"))));
    assert_eq!(audit[1]["parameters"], json!({"limits": {"concurrent_sandboxes": 20}}));
    assert!(
        audit
            .as_array()
            .unwrap()
            .iter()
            .all(|it| it["actor"] == "token" && it["time"].as_f64().unwrap() > 1e9)
    );
    assert!(!audit.to_string().contains(&secret) && !audit.to_string().contains(TOKEN));
}
