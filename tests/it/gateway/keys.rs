//! Virtual keys, by the SDK as it is.

use std::collections::BTreeSet;

use sandtower_gateway::virtual_keys::NewKey;
use tokio::runtime::Runtime;

use super::{WITH_POOL, World, today};
use crate::python_sdk::{python, urls};
use sandtower_sim::{Config, Plan};

#[test]
fn each_virtual_key_has_its_own_sandboxes_and_limits() {
    let Some(python) = python() else { return };
    let file = std::env::temp_dir().join(format!("sandtower-upstream-{}", std::process::id()));
    std::fs::write(&file, "e2b_0000000000000000000000000000000000000000").unwrap();
    let upstream = format!("keys.upstream.team.file={}", file.display());
    Runtime::new().unwrap().block_on(async {
        let world = World::new(&["keys.pass_through=false", &upstream]).await;
        let key = |name: &str| {
            let mut new = NewKey::new(name);
            new.limits.concurrent_sandboxes = Some(2);
            let (_, secret) = world.gateway.virtual_keys().create(new).unwrap();
            secret.expose().to_owned()
        };
        let (one, other) = (key("one"), key("other"));
        let urls = urls(world.gateway.address());
        let printed =
            world.run(&python, "python_sdk/virtual_keys.py", &[&one, &other], &urls).await;
        assert_eq!(printed, "own\nisolated\nlimited\ndone\n");
        assert_eq!(world.log.count(&one), 0, "no key is logged");
        assert_eq!(world.end().await.active, 0);
    });
    std::fs::remove_file(file).unwrap();
}

#[test]
fn with_a_warm_pool_virtual_keys_are_served_from_it_and_stay_apart() {
    let Some(python) = python() else { return };
    let folder = std::env::temp_dir().join(format!("sandtower-warm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("upstream"), "e2b_0000000000000000000000000000000000000000")
        .unwrap();
    let upstream = format!("keys.upstream.team.file={}", folder.join("upstream").display());
    let store = format!("keys.store={}", folder.join("keys.db").display());
    let settings = ["keys.pass_through=false", &*upstream, &*store];
    let settings: Vec<&str> = settings.into_iter().chain(WITH_POOL.iter().copied()).collect();
    Runtime::new().unwrap().block_on(async {
        let sim = Config::new().plan(Plan::Pro).call_key("sandtower_key").epoch(today());
        let world = World::over(sim, &settings).await;
        let key = |name: &str, limit| {
            let mut new = NewKey::new(name);
            new.limits.concurrent_sandboxes = Some(limit);
            let (_, secret) = world.gateway.virtual_keys().create(new).unwrap();
            secret.expose().to_owned()
        };
        let urls = urls(world.gateway.address());
        let (one, other) = (key("one", 2), key("other", 2));
        let printed =
            world.run(&python, "python_sdk/virtual_keys.py", &[&one, &other], &urls).await;
        assert_eq!(printed, "own\nisolated\nlimited\ndone\n");
        let (one, other) = (key("many", 10), key("few", 1));
        let printed =
            world.run(&python, "python_sdk/virtual_keys_warm.py", &[&one, &other], &urls).await;
        let all: BTreeSet<&str> = printed.split_whitespace().collect();
        // Those that were created for the key have its mark.
        let sandboxes = world.sim.ledger().sandboxes.into_iter();
        let from_stock = sandboxes.filter(|it| it.call.is_none() && all.contains(&*it.id)).count();
        println!("{from_stock} of {} were served from stock", all.len());
        assert!(all.len() == 10 && from_stock >= 5, "{from_stock} of {all:?}");
        assert_eq!(world.end().await.active, 0, "the stock is killed, too");
    });
    std::fs::remove_dir_all(folder).unwrap();
}
