//! Lists of sandboxes in several places.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::world::{Two, settled};

fn ids(response: &Response<Bytes>) -> Vec<String> {
    assert_eq!(response.status(), 200, "{:?}", response.body());
    let all: Vec<Value> = serde_json::from_slice(response.body()).unwrap();
    all.iter().map(|one| one["sandboxID"].as_str().unwrap().to_owned()).collect()
}

fn next(response: &Response<Bytes>) -> Option<String> {
    let token = response.headers().get("x-next-token")?;
    Some(token.to_str().unwrap().replace('=', "%3D"))
}

/// Three at home, then three elsewhere.
async fn six(two: &Two) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(two.create().await.0);
    }
    two.home_is_down(true);
    for _ in 0..3 {
        all.push(two.create().await.0);
    }
    two.home_is_down(false);
    assert_eq!((two.sim.active(), two.eu.active()), (3, 3));
    settled(async || two.control("GET", "/v2/sandboxes?limit=1", None).await.status() == 200).await;
    all
}

#[tokio::test]
async fn pages_go_through_all_places_and_have_the_size_that_was_asked_for() {
    let two = Two::new(&[]).await;
    let all: BTreeSet<_> = six(&two).await.into_iter().collect();
    for limit in 1..=7 {
        let (mut seen, mut sizes, mut token) = (Vec::new(), Vec::new(), None);
        loop {
            let after = token.map_or_else(String::new, |token| format!("&nextToken={token}"));
            let path = format!("/v2/sandboxes?limit={limit}&metadata=user%3Du{after}");
            let page = two.control("GET", &path, None).await;
            let found = ids(&page);
            sizes.push(found.len());
            seen.extend(found);
            token = next(&page);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 6, "{limit}: {sizes:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all, "{limit}");
        let (last, full) = sizes.split_last().unwrap();
        assert!(full.iter().all(|size| *size == limit) && *last <= limit, "{limit}: {sizes:?}");
    }
    two.keys_are_apart();
    // The first version has no pages; filters hold everywhere, and marks are hidden.
    let found = two.control("GET", "/sandboxes", None).await;
    assert_eq!(ids(&found).into_iter().collect::<BTreeSet<_>>(), all);
    assert!(!String::from_utf8_lossy(found.body()).contains("sandtower"));
    let of_template = two.control("GET", "/v2/sandboxes?template=base", None).await;
    assert_eq!(ids(&of_template).into_iter().collect::<BTreeSet<_>>(), all);
    for none in ["/sandboxes?metadata=user%3Dother", "/v2/sandboxes?state=paused"] {
        let found = two.control("GET", none, None).await;
        assert_eq!((ids(&found).len(), next(&found)), (0, None), "{none}");
    }
}

#[tokio::test]
async fn made_up_tokens_are_rejected_and_a_place_that_is_down_fails_the_list() {
    let two = Two::new(&["client_timeout=2s"]).await;
    two.create().await;
    for made_up in ["x", "sandtower.", "sandtower.us.", "sandtower.home.", "sandtower.eu.x"] {
        let path = format!("/v2/sandboxes?nextToken={made_up}");
        assert_eq!(two.control("GET", &path, None).await.status(), 400, "{made_up}");
    }
    assert_eq!(two.control("GET", "/v2/sandboxes?limit=0", None).await.status(), 400);
    two.eu_is_down(true);
    let failed = two.control("GET", "/v2/sandboxes", None).await;
    assert!(failed.status().is_server_error());
    let body = String::from_utf8_lossy(failed.body());
    assert!(body.contains(r#"the sandboxes at \"eu\" cannot be listed"#), "{body}");
    // One of home's alone needs no other place.
    assert_eq!(two.control("GET", "/v2/sandboxes?limit=1", None).await.status(), 200);
}

#[tokio::test]
async fn a_listing_tells_where_sandboxes_are() {
    let mut two = Two::new(&[]).await;
    let (id, token) = two.create_in_eu().await;
    two.restart();
    let listed = ids(&two.control("GET", "/sandboxes", None).await);
    assert_eq!(listed, std::slice::from_ref(&id));
    let before = two.sent()[0].len();
    let response = two.health(&id, &token).await;
    assert_eq!((response.status().as_u16(), two.sent()[0].len()), (204, before));
    assert_eq!(two.kill(&id).await, 204);
}
