use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sandtower::E2b;
use sandtower::core::Reason;
use sandtower::e2b::{Client, NewSandbox, Probe};
use sandtower::health_check::{Health, Monitor, MonitorConfig};
use sandtower::stack::Stack;
use sandtower_sim::{Fault, FaultKind, Sim};
use tokio::time::sleep;
use tower::{Service, ServiceExt};

use super::config;
use super::log::Log;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_zombie_is_found_by_either_probe_and_recreated() {
    for probe in [Probe::Command, Probe::Health] {
        let mut zombies = Fault::new("zombies", FaultKind::Zombie);
        zombies.until = Some(SECOND);
        let sim = sandtower_sim::Config::new().faults(vec![zombies]).build().unwrap();
        let blocking = sandtower::health_check::OnFailure::Discard;
        let stack = Stack::builder(config()).probe_by(probe);
        let stack = stack.health_check(move |config| config.on_failure(blocking)).build().unwrap();
        let requests = Arc::new(AtomicU32::new(0));
        let counting = Arc::clone(&requests);
        let client = stack.client(sim.clone().map_request(move |request: Request<_>| {
            counting.fetch_add(u32::from(request.uri().path() == "/health"), SeqCst);
            request
        }));
        let sandbox = client.create(&sandtower::e2b::NewSandbox::new("base")).await.unwrap();
        assert_eq!(requests.load(SeqCst) > 0, probe == Probe::Health);
        assert!(client.envd_health(&sandbox).await.unwrap(), "{probe:?}");
        sleep(60 * SECOND).await;
        let ledger = sim.ledger();
        assert!(ledger.sandboxes.iter().any(|record| record.zombie), "{probe:?}: no zombie");
        assert_eq!(sim.active(), 1, "{probe:?}: {:?}", ledger.sandboxes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_control_plane_is_probed_periodically() {
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

/// Counts health probes.
#[derive(Clone)]
struct Counted(Sim, Arc<AtomicU32>);

impl Service<Request<Full<Bytes>>> for Counted {
    type Response = <Sim as Service<Request<Full<Bytes>>>>::Response;
    type Error = <Sim as Service<Request<Full<Bytes>>>>::Error;
    type Future = <Sim as Service<Request<Full<Bytes>>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Full<Bytes>>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.1.fetch_add(u32::from(request.uri().path() == "/health"), SeqCst);
        self.0.call(request)
    }
}

/// A simulator, a client of a stack with a monitor, and the number of its probes.
fn monitored() -> (Sim, E2b, Arc<AtomicU32>) {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let requests = Arc::new(AtomicU32::new(0));
    let http = Counted(sim.clone(), Arc::clone(&requests));
    let stack = Stack::builder(config()).monitor(|monitor| monitor.every(10 * SECOND).jitter(0));
    (sim, E2b::new(&stack.build().unwrap(), http), requests)
}

#[tokio::test(start_paused = true)]
async fn a_stack_with_a_monitor_probes_the_service_and_rejects_nothing_because_of_it() {
    let (sim, e2b, requests) = monitored();
    sleep(15 * SECOND).await;
    let seen = e2b.snapshot().monitor.unwrap();
    assert_eq!((seen.health, seen.probes, seen.probing), (Health::Healthy, 2, true));

    let mut down = Fault::new("down", FaultKind::Refuse);
    down.on = vec!["health".to_owned()];
    sim.set_faults(vec![down]).unwrap();
    let log = Log::default();
    let logging = log.begin();
    sleep(60 * SECOND).await;
    drop(logging);
    assert_eq!(e2b.snapshot().monitor.unwrap().health, Health::Down);
    let text = log.text();
    assert!(text.contains("sandtower::health_check") && text.contains("service health worsened"));
    e2b.create(&NewSandbox::new("base")).await.unwrap();
    let json = serde_json::to_value(e2b.snapshot()).unwrap();
    assert_eq!(json["monitor"]["health"], "down");
    assert_eq!(requests.load(SeqCst), 8, "each probe is one request, and none is retried");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_does_not_hide_the_health_of_the_service() {
    let (_, e2b, _) = monitored();
    e2b.handles().control_plane_breaker.force_open();
    sleep(35 * SECOND).await;
    let rejected = e2b.health().await.unwrap_err();
    assert_eq!(rejected.rejection().unwrap().reason(), Reason::ForcedOpen);
    let seen = e2b.snapshot().monitor.unwrap();
    assert_eq!((seen.health, seen.probes, seen.failures), (Health::Healthy, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn no_probe_comes_once_a_stack_is_drained_or_its_handles_are_gone() {
    let (_, e2b, requests) = monitored();
    sleep(SECOND).await;
    e2b.drain().await.unwrap();
    assert!(!e2b.snapshot().monitor.unwrap().probing);
    sleep(100 * SECOND).await;
    assert_eq!(requests.load(SeqCst), 1);

    let (_, e2b, requests) = monitored();
    let (clone, handles) = (e2b.clone(), e2b.handles().clone());
    sleep(SECOND).await;
    drop(e2b);
    drop(clone);
    sleep(10 * SECOND).await;
    assert_eq!(requests.load(SeqCst), 2, "the handles exist");
    drop(handles);
    sleep(100 * SECOND).await;
    assert_eq!(requests.load(SeqCst), 2);
    assert_eq!(Arc::strong_count(&requests), 1, "nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn a_service_is_not_probed_by_default() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let e2b = E2b::new(&Stack::builder(config()).build().unwrap(), sim.clone());
    sleep(100 * SECOND).await;
    assert!(e2b.handles().monitor.is_none() && e2b.snapshot().monitor.is_none());
    assert_eq!(sim.ledger().requests.values().sum::<u64>(), 0);
}

#[test]
fn a_monitor_without_a_runtime_is_logged_and_begins_with_the_next_client() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let stack = Stack::builder(config()).monitor(|monitor| monitor).build().unwrap();
    let log = Log::default();
    let logging = log.begin();
    let first = E2b::new(&stack, sim.clone());
    drop(logging);
    assert!(log.text().contains("health probes did not start"), "{}", log.text());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let _second = E2b::new(&stack, sim.clone());
        assert!(first.handles().monitor.as_ref().unwrap().is_probing());
    });
}
