//! Each place has a warm pool of its own: its stock is no one's, and what came from it is its key's.

use std::collections::BTreeSet;

use sandtower_gateway::virtual_keys::NewKey;
use serde_json::{Value, json};

use super::world::{Two, settled};
use crate::support::{KEY, until};

const POOL: [&str; 2] =
    ["stack.pool.min=2", r#"stack.pool.shapes=[{templateID="base"},{templateID="base-eu"}]"#];

impl Two {
    async fn create_plain(&self, key: &str) -> String {
        let new = json!({"templateID": "base", "timeout": 300});
        let response = self.by(key, "POST", "/v2/sandboxes", Some(new)).await;
        assert_eq!(response.status(), 201, "{:?}", response.body());
        let sandbox: Value = serde_json::from_slice(response.body()).unwrap();
        sandbox["sandboxID"].as_str().unwrap().to_owned()
    }

    async fn all_of(&self, key: &str, path: &str) -> BTreeSet<String> {
        let (mut all, mut next) = (BTreeSet::new(), None::<String>);
        for _ in 0..100 {
            let more = next.map_or_else(String::new, |token| format!("&nextToken={token}"));
            let response = self.by(key, "GET", &format!("{path}{more}"), None).await;
            assert_eq!(response.status(), 200, "{:?}", response.body());
            let page: Vec<Value> = serde_json::from_slice(response.body()).unwrap();
            let ids = page.iter().map(|one| one["sandboxID"].as_str().unwrap().to_owned());
            ids.for_each(|id| assert!(all.insert(id), "{path}: twice"));
            next = response.headers().get("x-next-token").map(|it| it.to_str().unwrap().to_owned());
            if next.is_none() {
                return all;
            }
        }
        panic!("{path} has no end");
    }
}

#[tokio::test]
async fn stock_of_all_places_is_hidden_and_what_came_from_it_is_its_keys() {
    let mut two = Two::new(&POOL).await;
    two.set(format!("keys.store={}", two.path("keys.db")));
    two.restart();
    let key = |name: &str| two.key(NewKey::new(name)).1;
    let (one, other) = (key("one"), key("other"));
    let mut mine = BTreeSet::new();
    // Two shapes, two of each.
    for at in 1..=3 {
        mine.insert(two.create_plain(&one).await);
        until("there is stock at home", || two.sim.active() >= at + 4).await;
    }
    two.home_is_down(true);
    for at in 1..=3 {
        mine.insert(two.create_plain(&one).await);
        until("there is stock elsewhere", || two.eu.active() >= at + 4).await;
    }
    two.home_is_down(false);
    settled(async || two.by(&one, "GET", "/v2/sandboxes", None).await.status() == 200).await;
    for path in ["/v2/sandboxes?limit=1", "/v2/sandboxes?limit=3", "/sandboxes?"] {
        assert_eq!(two.all_of(&one, path).await, mine, "{path}");
        assert_eq!(two.all_of(KEY, path).await, mine, "{path}");
        assert_eq!(two.all_of(&other, path).await, BTreeSet::new(), "{path}");
    }
    // A connect took each that came from stock.
    let [home, eu] = two.sent().map(|sent| sent.matches("/connect HTTP/1.1").count());
    assert!(home > 0 && eu > 0, "{home} hits at home, {eu} elsewhere");
    for id in &mine {
        let path = format!("/sandboxes/{id}");
        assert_eq!(two.by(&other, "DELETE", &path, None).await.status(), 404);
        assert_eq!(two.by(&one, "DELETE", &path, None).await.status(), 204);
    }
    assert!(two.sim.active() > 0 && two.eu.active() > 0, "the stock stays");
}
