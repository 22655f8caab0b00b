//! Two places, by the SDK as it is, with home down for a while.

use std::time::Duration;

use sandtower_sim::{Config, Plan};
use serde_json::json;
use tokio::runtime::Runtime;

use super::World;
use crate::python_sdk::{python, today, urls};

const KEY: &str = "e2b_0000000000000000000000000000000000000000";
const EU_KEY: &str = "e2b_eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

#[test]
fn an_application_goes_on_while_home_is_down() {
    let Some(python) = python() else { return };
    let folder = std::env::temp_dir().join(format!("sandtower-places-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    std::fs::write(path("home"), KEY).unwrap();
    std::fs::write(path("eu"), EU_KEY).unwrap();
    Runtime::new().unwrap().block_on(async {
        let eu = Config::new().plan(Plan::Pro).seed(2).epoch(today()).api_keys([EU_KEY]);
        let eu = eu.build().unwrap();
        let server = eu.listen("127.0.0.1:0").await.unwrap();
        let place = format!(
            "places=[{{ name = \"eu\", api_url = \"{0}\", sandbox_url = \"{0}\", proxy = \"none\", \
             keys.team.file = \"{1}\" }}]",
            server.url(),
            path("eu")
        );
        let upstream = format!("keys.upstream.team.file={}", path("home"));
        let world = World::new(&[&upstream, &place, "failover_after=2s"]).await;
        let home_is_down_for_a_while = async {
            let until = async |holds: &dyn Fn() -> bool| {
                while !holds() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            until(&|| std::path::Path::new(&path("ready")).exists()).await;
            let outage = json!([{"name": "outage", "kind": "reset"}]);
            world.sim.set_faults(serde_json::from_value(outage).unwrap()).unwrap();
            std::fs::write(path("down"), "").unwrap();
            until(&|| eu.active() == 3).await;
            world.sim.set_faults(Vec::new()).unwrap();
            std::fs::write(path("up"), "").unwrap();
        };
        let (urls, folder) = (urls(world.gateway.address()), path(""));
        let arguments = [folder.as_str()];
        let running = world.run(&python, "python_sdk/places.py", &arguments, &urls);
        let (printed, ()) = tokio::join!(running, home_is_down_for_a_while);
        assert_eq!(printed, "created\nused\nlisted\ndone\n");
        assert_eq!((world.sim.active(), eu.active()), (0, 0));
        assert_eq!(eu.ledger().creates.created, 3);
        assert_eq!(world.log.count(KEY) + world.log.count(EU_KEY), 0, "no key is logged");
        world.gateway.stop();
    });
    std::fs::remove_dir_all(folder).unwrap();
}
