//! A real Prometheus scrapes a stack over the simulator, and evaluates the alerts.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sandtower::E2b;
use sandtower::e2b::{Config, ListSandboxes, NewSandbox, operation};
use sandtower::stack::Stack;
use sandtower_sim::{Fault, FaultKind, Sim};
use sandtower_telemetry::{Durations, RULES, Registry, alert_rules};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::python_sdk::leave_out;

const PROMETHEUS: &str = "SANDTOWER_PROMETHEUS";

/// How long to wait for what a scrape, or a few, must bring.
const PATIENCE: Duration = Duration::from_secs(120);

/// The server; without it the test is left out, but never in CI.
fn program(test: &str) -> Option<OsString> {
    let program = env::var_os(PROMETHEUS).filter(|program| !program.is_empty());
    if program.is_none() {
        assert!(env::var_os("CI").is_none_or(|ci| ci != "true"), "{PROMETHEUS} is not set");
        leave_out(test, PROMETHEUS);
    }
    program
}

/// A Prometheus that scrapes one address each second. It ends when it is dropped.
struct Prometheus {
    address: SocketAddr,
    _child: Child,
}

impl Prometheus {
    async fn start(program: OsString, target: SocketAddr) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prometheus");
        // What a test before has left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        // 5 minutes of "not closed" are too long for a test.
        let rules = alert_rules().replace("for: 5m", "for: 3s").replace("_for: 1m", "_for: 1s");
        fs::write(folder.join("alerts.yml"), rules).unwrap();
        fs::write(folder.join("prometheus.yml"), config(target)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let child = command(program, &folder, address).spawn().unwrap();
        let prometheus = Self { address, _child: child };
        prometheus.wait("it is ready", async |it| it.get("/-/ready").await.is_some()).await;
        prometheus
    }

    async fn get(&self, path: &str) -> Option<Bytes> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let uri = format!("http://{}{path}", self.address).parse().unwrap();
        let response = client.get(uri).await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        Some(response.into_body().collect().await.ok()?.to_bytes())
    }

    async fn api(&self, path: &str) -> Value {
        let body = self.get(&format!("/api/v1/{path}")).await.unwrap_or_default();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// The names of the alerts that fire.
    async fn firing(&self) -> Vec<String> {
        let alerts = self.api("alerts").await;
        let alerts = alerts["data"]["alerts"].as_array().into_iter().flatten();
        let firing = alerts.filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until `is` is so.
    async fn wait(&self, what: &str, is: impl AsyncFn(&Self) -> bool) {
        let waited = timeout(PATIENCE, async {
            while !is(self).await {
                sleep(Duration::from_millis(200)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what}: not within {PATIENCE:?}");
    }
}

fn config(target: SocketAddr) -> String {
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [alerts.yml]\n\
         scrape_configs:\n  - job_name: sandtower\n    static_configs: [{{targets: ['{target}']}}]\n"
    )
}

fn command(program: OsString, folder: &Path, address: SocketAddr) -> Command {
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    command.args(["--log.level=error", "--enable-feature=exemplar-storage"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

/// The program that is scraped: a stack over a simulator, and its `/metrics`.
async fn scraped() -> (Sim, E2b, SocketAddr) {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let durations = Durations::new(operation::GROUPS, operation::group);
    let stack = Stack::builder(Config::new("e2b_0123").unwrap());
    let stack = stack.observe_calls(Arc::new(durations.clone())).build().unwrap();
    let e2b = E2b::new(&stack, sim.clone());
    let registry = Registry::new();
    registry.add("e2b", e2b.handles().clone()).unwrap();
    registry.add("e2b", durations).unwrap();
    let scrape = async move |headers: HeaderMap| registry.scrape(&headers);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/metrics", get(scrape));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (sim, e2b, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_fires_its_alert_in_prometheus_and_no_other() {
    let Some(program) = program("an_outage_fires_its_alert_in_prometheus") else { return };
    let (sim, e2b, address) = scraped().await;
    e2b.create(&NewSandbox::new("base")).await.unwrap();
    let prometheus = Prometheus::start(program, address).await;

    prometheus
        .wait("the creation is scraped", async |it| {
            let query = "query?query=sandtower_creations_succeeded_total";
            it.api(query).await["data"]["result"][0]["value"][1] == "1"
        })
        .await;
    let rules = prometheus.api("rules").await;
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), RULES.len(), "{rules:#?}");
    prometheus
        .wait("each rule is evaluated", async |it| {
            let rules = it.api("rules").await;
            let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
            rules.iter().all(|rule| rule["health"] == "ok")
        })
        .await;
    assert_eq!(prometheus.firing().await, [""; 0]);

    sim.set_faults(vec![Fault {
        on: vec!["control".to_owned()],
        ..Fault::new("outage", FaultKind::Reset)
    }])
    .unwrap();
    let calling = tokio::spawn(keep_calling(e2b.clone()));
    prometheus.wait("it fires", async |it| !it.firing().await.is_empty()).await;
    // Longer than the breaker is open: it is half-open in between.
    for _ in 0..20 {
        assert_eq!(prometheus.firing().await, ["SandtowerBreakerNotClosed"], "{}", state(&e2b));
        sleep(Duration::from_millis(500)).await;
    }
    sim.set_faults(Vec::new()).unwrap();
    prometheus.wait("it is resolved", async |it| it.firing().await.is_empty()).await;
    calling.abort();
}

/// Calls that create nothing, so that only the breaker has something to say.
async fn keep_calling(e2b: E2b) {
    loop {
        let all = ListSandboxes::default();
        let _ = timeout(Duration::from_secs(2), e2b.list(&all)).await;
        sleep(Duration::from_millis(50)).await;
    }
}

fn state(e2b: &E2b) -> String {
    format!("{:?}", e2b.snapshot().control_plane_breaker)
}
