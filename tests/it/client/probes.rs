use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use http::Request;
use sandtower::e2b::{Client, Probe};
use sandtower::health_check::{Health, Monitor, MonitorConfig};
use sandtower::stack::Stack;
use sandtower_sim::{Fault, FaultKind, Sim};
use tokio::time::sleep;
use tower::ServiceExt;

use super::config;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_zombie_is_found_by_either_probe_and_made_anew() {
    for probe in [Probe::Command, Probe::Health] {
        let mut zombies = Fault::new("zombies", FaultKind::Zombie);
        zombies.until = Some(SECOND);
        let sim = sandtower_sim::Config::new().faults(vec![zombies]).build().unwrap();
        let blocking = sandtower::health_check::OnFailure::Discard;
        let stack = Stack::builder(config()).probe_by(probe);
        let stack = stack.health_check(move |config| config.on_failure(blocking)).build().unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&asked);
        let client = stack.client(sim.clone().map_request(move |request: Request<_>| {
            counting.fetch_add(u32::from(request.uri().path() == "/health"), SeqCst);
            request
        }));
        let sandbox = client.create(&sandtower::e2b::NewSandbox::new("base")).await.unwrap();
        assert_eq!(asked.load(SeqCst) > 0, probe == Probe::Health);
        assert!(client.envd_health(&sandbox).await.unwrap(), "{probe:?}");
        sleep(60 * SECOND).await;
        let ledger = sim.ledger();
        assert!(ledger.sandboxes.iter().any(|record| record.zombie), "{probe:?}: no zombie");
        assert_eq!(sim.active(), 1, "{probe:?}: {:?}", ledger.sandboxes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_is_looked_after_on_a_schedule() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let client: Client<Sim> = Client::new(sim.clone(), config());
    let monitoring = MonitorConfig::new("E2B").every(10 * SECOND).fall(2);
    let monitor = Monitor::start(monitoring, client.health_probe()).unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(monitor.health(), Health::Healthy);
    sim.set_faults(vec![Fault::new("down", FaultKind::Refuse)]).unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(monitor.health(), Health::Down);
}
