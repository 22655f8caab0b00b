//! Warm sandboxes, as the callers of a gateway with a pool see them.

use sandtower_sim::Plan;
use serde_json::{Value, json};

use super::keys::Folder;
use super::operators::support::Site;
use super::support::{Caller, KEY, World, until};

const POOL: [&str; 4] = [
    "stack.plan=pro",
    "stack.pool.min=3",
    "stack.pool.max=5",
    r#"stack.pool.shapes=[{templateID="base"}]"#,
];

/// Creates a sandbox like those in stock.
async fn create(world: &World) -> String {
    let new = json!({"templateID": "base", "timeout": 300});
    let response = world.control("POST", "/v2/sandboxes", Some(new)).await;
    assert_eq!(response.status(), 201, "{:?}", response.body());
    let sandbox: Value = serde_json::from_slice(response.body()).unwrap();
    sandbox["sandboxID"].as_str().unwrap().to_owned()
}

/// The ids that a listing has, over all of its pages, sorted.
async fn listed(world: &World, path: &str) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), None::<String>);
    loop {
        let more = next.map_or_else(String::new, |token| format!("&nextToken={token}"));
        let response = world.control("GET", &format!("{path}{more}"), None).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().get("x-total-running").is_none(), "it counts the stock");
        let page: Vec<Value> = serde_json::from_slice(response.body()).unwrap();
        for one in page {
            assert!(!one.to_string().contains("sandtower_"), "{one}");
            all.push(one["sandboxID"].as_str().unwrap().to_owned());
        }
        next = response.headers().get("x-next-token").map(|it| it.to_str().unwrap().to_owned());
        if next.is_none() {
            all.sort();
            return all;
        }
    }
}

/// Waits until three are idle, and no other is being created.
async fn stocked(site: &Site) {
    let is_full = |read: &Value| {
        let stacks = read["keys"].as_object().unwrap();
        stacks.values().all(|it| it["pool"]["idle"] == 3 && it["pool"]["creating"] == 0)
    };
    site.until("/api/v1/snapshot", is_full).await;
}

#[tokio::test]
async fn listings_have_what_callers_own_and_not_the_stock() {
    let mut site = Site::new(&POOL).await;
    let mut mine = vec![create(&site.world).await];
    stocked(&site).await;
    mine.push(create(&site.world).await);
    mine.sort();
    stocked(&site).await;
    let world = &mut site.world;
    for path in ["/sandboxes?", "/v2/sandboxes?limit=1", "/v2/sandboxes?state=running"] {
        assert_eq!(listed(world, path).await, mine, "{path}");
    }
    // The next process knows the stock of this one by its marks, whether it has a pool or not.
    world.restart(&["stack.plan=pro"]);
    for path in ["/sandboxes?", "/v2/sandboxes?limit=2"] {
        let response = world.control("GET", path, None).await;
        let all: Vec<Value> = serde_json::from_slice(response.body()).unwrap();
        assert!(all.iter().all(|one| mine.contains(&one["sandboxID"].as_str().unwrap().into())));
    }
    // To kill all that is listed does not kill the stock.
    for id in &mine {
        let killed = world.control("DELETE", &format!("/sandboxes/{id}"), None).await;
        assert_eq!(killed.status(), 204);
    }
    assert_eq!(world.sim.active(), 3);
}

/// With these settings more.
async fn reload(more: &[&str]) {
    let site = Site::new(&[&POOL[..], more].concat()).await;
    let world = &site.world;
    create(world).await;
    stocked(&site).await;
    // Other settings of the stack, then another pool: what is warm stays.
    let other = [&POOL[..], more, &["stack.retry.attempts=3"]].concat();
    let larger = [&POOL[..2], &POOL[3..], more, &["stack.pool.max=6"]].concat();
    for settings in [other, larger] {
        world.gateway.reload(world.config(&settings)).unwrap();
        create(world).await;
        stocked(&site).await;
    }
    // Each of the two was a hit, which was replaced by one.
    let ledger = world.sim.ledger();
    assert_eq!((ledger.creates.created, ledger.killed), (6, 0));
    assert_eq!(listed(world, "/sandboxes?").await.len(), 3);
    // Without a pool, nothing is warm.
    world.gateway.reload(world.config(&["stack.plan=pro"])).unwrap();
    until("the stock is killed", || world.sim.active() == 3).await;
}

#[tokio::test]
async fn a_reload_of_the_stack_keeps_the_stock() {
    reload(&[]).await;
}

#[tokio::test]
async fn a_reload_of_the_stack_keeps_stock_that_is_recorded() {
    let folder = Folder::new();
    reload(&[&format!("stack.pool.store={}", folder.path("pool"))]).await;
}

#[tokio::test]
async fn a_drain_kills_the_stock() {
    let site = Site::new(&POOL).await;
    let world = &site.world;
    create(world).await;
    stocked(&site).await;
    assert!(world.gateway.drain().await);
    assert_eq!(world.sim.active(), 1, "that of the caller stays");
}

#[tokio::test]
async fn a_made_up_key_has_no_stock_and_sends_nothing_of_its_own() {
    let sim = sandtower_sim::Config::new().plan(Plan::Pro).api_keys([KEY]);
    let site = Site::over(World::over(sim, &POOL).await, &POOL).await;
    let made_up = "e2b_1111111111111111111111111111111111111111";
    let stranger = Caller::new(site.world.address(), made_up);
    let new = json!({"templateID": "base", "timeout": 300});
    for _ in 0..2 {
        let response = stranger.control("POST", "/v2/sandboxes", Some(new.clone())).await;
        assert_eq!(response.status(), 401);
    }
    // By then a pool of the other key would have tried as often.
    assert_eq!(site.world.control("GET", "/v2/sandboxes", None).await.status(), 200);
    let sum = |name: &'static str| {
        move |read: &Value| {
            let all = read["keys"].as_object().unwrap();
            all.values().map(|it| it["pool"][name].as_u64().unwrap()).sum::<u64>()
        }
    };
    let read = site.until("/api/v1/snapshot", |read| sum("idle")(read) == 3).await;
    assert_eq!((sum("failed")(&read), sum("creating")(&read)), (0, 0));
}
