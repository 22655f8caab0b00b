use sandtower_gateway::virtual_keys::NewKey;

use super::support::Site;
use crate::keys::{Folder, roomy};
use crate::support::World;

/// The largest page: with 10,000 keys, as with ten.
const LARGEST: usize = 200 * 1_024;

#[tokio::test]
async fn a_page_of_ten_thousand_tenants_is_short() {
    let folder = Folder::new();
    let own = format!("keys.upstream.team.file={}", folder.path("upstream"));
    let settings = [&*own, "limits.keys=400"];
    let world = World::over(roomy(), &settings).await;
    for number in 0..10_000 {
        let mut new = NewKey::new(format!("a tenant with a long name and the number {number}"));
        new.limits.concurrent_sandboxes = Some(10);
        new.limits.creations_per_day = Some(1_000);
        world.key(new);
    }
    // Callers with keys of their own: each has a stack, with its queues, limits and breakers.
    for number in 0..300 {
        let key = format!("e2b_{number:040x}");
        assert_eq!(world.by(&key, "GET", "/sandboxes", None).await.status(), 200);
        world.create_by(&key, 600).await.unwrap();
    }
    let site = Site::over(world, &settings).await;
    for path in super::api::PAGES {
        let page = site.get(path).await.into_body();
        assert!(page.len() < LARGEST, "{path}: {} bytes", page.len());
        eprintln!("{path}: {} bytes", page.len());
    }
    for path in ["overview", "breakers", "queues", "limits", "sandboxes", "creations"] {
        let length = site.read(&format!("/api/v1/{path}")).await.to_string().len();
        assert!(length < 2 * LARGEST, "{path}: {length} bytes");
    }
    let breakers = site.read("/api/v1/breakers").await;
    assert_eq!((breakers["rows"].as_array().unwrap().len(), &breakers["more"]), (100, &201.into()));
}
