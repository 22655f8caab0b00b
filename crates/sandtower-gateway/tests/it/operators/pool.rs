use serde_json::{Value, json};

use super::support::Site;
use crate::keys::Folder;
use crate::support::World;

const POOL: [&str; 3] = [
    "stack.plan=pro",
    "stack.pool.min=2",
    r#"stack.pool.shapes=[{templateID="base"},{templateID="nowhere"}]"#,
];

async fn create(world: &World, new: Value) {
    let response = world.control("POST", "/v2/sandboxes", Some(new)).await;
    assert_eq!(response.status(), 201, "{:?}", response.body());
}

#[tokio::test]
async fn a_pool_is_shown_with_what_is_wrong_first() {
    let site = Site::new(&POOL).await;
    let before = site.read("/api/v1/pool").await;
    assert_eq!(
        (&before["is_configured"], &before["rows"]),
        (&json!(true), &json!([])),
        "no key has created one"
    );
    create(&site.world, json!({"templateID": "base"})).await;
    let is_full = |read: &Value| read["rows"][0]["idle"] == 2;
    site.until("/api/v1/pool", is_full).await;
    create(&site.world, json!({"templateID": "base"})).await;
    create(&site.world, json!({"templateID": "base", "metadata": {"user": "u"}})).await;

    // A template that does not exist is tried three times, and is said so in plain words.
    let has_problem = |read: &Value| read["problems"][0]["id"] == "pool: suspended";
    let read = site.until("/api/v1/pool", has_problem).await;
    let problem = &read["problems"][0];
    assert!(problem["what"].as_str().unwrap().contains("nowhere failed three times"), "{problem}");
    assert_eq!(problem["severity"], "warning");
    let row = &read["rows"][0];
    assert_eq!(
        (&row["hits"], &row["misses"]["empty"], &row["misses"]["metadata"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert!(row["cost"].as_f64().unwrap() > 0.0 && row["oldest_ms"].is_u64(), "{row}");
    let shape = |at: usize| &row["shapes"][at];
    let term = shape(0)["determined_by"].as_str().unwrap();
    assert!(shape(0)["name"] == "base" && ["rate", "min"].contains(&term), "{row}");
    assert_eq!(
        (&shape(1)["is_suspended"], &shape(1)["capped_by"]),
        (&json!(true), &json!("backoff"))
    );
    // The first page has the problem, too, and leads here.
    let overview = site.read("/api/v1/overview").await;
    let problems = overview["problems"].as_array().unwrap();
    let same = problems.iter().find(|it| it["id"] == "pool: suspended").unwrap();
    assert_eq!(same["press"], json!([{"label": "Pool", "page": "/pool"}]));
    let page = site.get("/pool").await.into_body();
    let (problem, table) =
        (page.find("creations for the stock are suspended"), page.find("hit rate"));
    assert!(problem.unwrap() < table.unwrap(), "what is wrong comes first");
    for text in
        ["none of its shape was in stock", "failed creations", "33.3 %", "idle, of the target"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
}

#[tokio::test]
async fn a_store_that_another_process_has_is_a_problem_in_words() {
    let folder = Folder::new();
    let store = format!("stack.pool.store={}", folder.path("pool"));
    let settings = [&POOL[..], &[&*store]].concat();
    let first = Site::new(&settings).await;
    create(&first.world, json!({"templateID": "base"})).await;
    first.until("/api/v1/pool", |read| read["rows"][0]["store_available"] == true).await;
    // Its owner and its key are the same.
    let second = Site::new(&settings).await;
    create(&second.world, json!({"templateID": "base"})).await;
    let has_problem = |read: &Value| read["problems"][0]["id"] == "pool: store";
    let read = second.until("/api/v1/pool", has_problem).await;
    let what = read["problems"][0]["what"].as_str().unwrap();
    assert!(what.contains("nothing is served from stock"), "{what}");
    assert_eq!(read["rows"][0]["store_available"], false);
}

#[tokio::test]
async fn without_a_pool_the_page_says_how_to_get_one() {
    let site = Site::new(&[]).await;
    create(&site.world, json!({"templateID": "base"})).await;
    let read = site.read("/api/v1/pool").await;
    assert_eq!(read, json!({"is_configured": false, "problems": [], "rows": [], "more": 0}));
    let page = site.get("/pool").await.into_body();
    assert!(page.contains("No warm pool is configured") && page.contains("[stack.pool]"), "{page}");
    let site =
        Site::new(&["stack.plan=pro", "stack.pool.max=3", r#"stack.disable=["pool"]"#]).await;
    assert_eq!(site.read("/api/v1/pool").await["is_configured"], false);
}
