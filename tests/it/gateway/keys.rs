//! Virtual keys, by the SDK as it is.

use sandtower_gateway::virtual_keys::NewKey;
use tokio::runtime::Runtime;

use super::World;
use crate::python_sdk::{python, urls};

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
