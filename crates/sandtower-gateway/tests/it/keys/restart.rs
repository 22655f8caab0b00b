//! The program is killed while callers create sandboxes, and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use sandtower_sim::Server;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::world::{Folder, roomy};

const KEYS: usize = 1_000;
/// Those that create up to their limit.
const BUSY: usize = 50;
const LIMIT: usize = 3;

/// The program, until it is killed.
struct Program {
    child: Child,
    address: String,
    operators: String,
}

impl Program {
    fn start(folder: &Folder, simulator: &Server, more: &[&str]) -> Self {
        let url = simulator.url();
        let own = folder.settings();
        let settings = [
            format!("upstream.api_url={url}"),
            format!("upstream.sandbox_url={url}"),
            "upstream.proxy=none".to_owned(),
            "listen=127.0.0.1:0".to_owned(),
            "admin.listen=127.0.0.1:0".to_owned(),
            format!("keys.file={}", folder.path("keys.toml")),
            r#"stack.custom_plan={create_every="1ms",sandboxes=1100,concurrent_creates=200}"#
                .to_owned(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandtower"));
        command.arg("serve").stdout(Stdio::null()).stderr(Stdio::piped());
        for setting in own.iter().chain(&settings).map(String::as_str).chain(more.iter().copied()) {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        let operators = lines.next().unwrap().unwrap();
        let operators = operators.strip_prefix("operators: ").unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, operators }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // By SIGKILL.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn secret(at: usize) -> String {
    format!("e2b_{at:040x}")
}

fn declare(folder: &Folder) {
    let keys = (0..KEYS).map(|at| {
        let digest = Sha256::digest(secret(at));
        let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[key]]\nname = \"{at}\"\nsha256 = \"{hash}\"\nlimits = {{ concurrent_sandboxes = {LIMIT} }}\n")
    });
    std::fs::write(folder.0.join("keys.toml"), keys.collect::<String>()).unwrap();
}

type Http = Client<HttpConnector, Full<bytes::Bytes>>;

/// The status of a creation; `None`: the gateway is gone.
async fn create(client: &Http, address: &str, key: &str) -> Option<u16> {
    let body = json!({"templateID": "base", "timeout": 3_600}).to_string();
    let request = Request::post(format!("{address}/v2/sandboxes"))
        .header("x-api-key", key)
        .body(Full::from(body))
        .unwrap();
    client.request(request).await.ok().map(|response| response.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_killed_lets_in_no_more_after_it() {
    let folder = Folder::new();
    declare(&folder);
    // Less than the store takes by itself: only a creation that waits for it is known after a kill.
    let create_median = Duration::from_millis(5);
    let world = sandtower_sim::World { create_median, ..sandtower_sim::World::default() };
    let sim = roomy().world(world).call_key("sandtower_key").build().unwrap();
    // No listing shows what a killed program has just created: only its store knows.
    let lag = json!([{"name": "lag", "kind": "lag", "on": ["sandbox_create"], "lasting": "15s"}]);
    sim.set_faults(serde_json::from_value(lag).unwrap()).unwrap();
    let simulator = sim.listen("127.0.0.1:0").await.unwrap();
    let client: Http = Client::builder(TokioExecutor::new()).build_http();
    let mut total = 0;
    for round in 0..4 {
        let program = Program::start(&folder, &simulator, &[]);
        let mut callers = tokio::task::JoinSet::new();
        let (tell, mut created) = tokio::sync::mpsc::unbounded_channel();
        for key in 0..BUSY {
            let (client, address, tell) = (client.clone(), program.address.clone(), tell.clone());
            callers.spawn(async move {
                // One after the other, until it is rejected or the program is gone.
                while let Some(status) = create(&client, &address, &secret(key)).await {
                    match status {
                        201 => drop(tell.send(())),
                        429 => return,
                        status => panic!("{status}"),
                    }
                }
            });
        }
        drop(tell);
        // In the midst of it, but for the last time.
        let until = if round < 3 { 20 + 20 * round } else { usize::MAX };
        let mut of_round = 0;
        while of_round < until && created.recv().await.is_some() {
            of_round += 1;
        }
        total += of_round;
        drop(program);
        callers.shutdown().await;
    }
    let mut all = BTreeMap::<_, usize>::new();
    for sandbox in sim.ledger().sandboxes {
        *all.entry(sandbox.call.unwrap()).or_default() += 1;
    }
    assert!(all.values().all(|count| *count <= LIMIT), "{all:?}");
    assert!(total >= BUSY, "{total} were created");
}

async fn ask(client: &Http, address: &str, key: &str, method: &str, path: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(format!("{address}{path}"));
    let request = request.header("x-api-key", key).body(Full::default()).unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

const POOL: [&str; 4] = [
    "stack.pool.min=8",
    "stack.pool.max=16",
    "stack.pool.budget=2",
    r#"stack.pool.shapes=[{templateID="base"}]"#,
];
const POOLED: usize = 12;

/// Waits until there is stock.
async fn stocked(client: &Http, operators: &str) {
    let waiting = async {
        loop {
            let (_, read) = ask(client, operators, "", "GET", "/api/v1/snapshot").await;
            let stacks = read["keys"].as_object().unwrap();
            if stacks.values().any(|it| it["pool"]["idle"].as_u64() >= Some(8)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::LONG, waiting).await.unwrap();
}

/// Hits and misses mixed, and a kill in the midst of them: what a key was given stays its own, and no other's.
async fn is_killed_with_a_pool(folder: Folder, settings: &[&str], fills_again: bool) {
    declare(&folder);
    let create_median = Duration::from_millis(20);
    let world = sandtower_sim::World { create_median, ..sandtower_sim::World::default() };
    let sim = roomy().world(world).call_key("sandtower_key").build().unwrap();
    let lag = json!([{"name": "lag", "kind": "lag", "on": ["sandbox_create"], "lasting": "15s"}]);
    sim.set_faults(serde_json::from_value(lag).unwrap()).unwrap();
    let simulator = sim.listen("127.0.0.1:0").await.unwrap();
    let client: Http = Client::builder(TokioExecutor::new()).build_http();
    let mut given: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut last = None;
    for round in 0..4 {
        drop(last.take());
        let program = Program::start(&folder, &simulator, settings);
        assert_eq!(create(&client, &program.address, &secret(POOLED + round)).await, Some(201));
        // What is recorded and may still appear counts for longer than this test takes.
        if round == 0 || fills_again {
            stocked(&client, &program.operators).await;
        }
        let mut callers = tokio::task::JoinSet::new();
        let (tell, mut created) = tokio::sync::mpsc::unbounded_channel();
        for key in 0..POOLED {
            let (client, address, tell) = (client.clone(), program.address.clone(), tell.clone());
            callers.spawn(async move {
                loop {
                    let body = json!({"templateID": "base", "timeout": 1_800}).to_string();
                    let request = Request::post(format!("{address}/v2/sandboxes"))
                        .header("x-api-key", secret(key))
                        .body(Full::from(body))
                        .unwrap();
                    let Ok(response) = client.request(request).await else { return };
                    let status = response.status().as_u16();
                    let Ok(body) = response.into_body().collect().await else { return };
                    match status {
                        201 => {
                            let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap();
                            let id = body["sandboxID"].as_str().unwrap().to_owned();
                            drop(tell.send((key, id)));
                        }
                        429 => return,
                        status => panic!("{status}"),
                    }
                }
            });
        }
        drop(tell);
        let until = if round < 3 { 6 + 3 * round } else { usize::MAX };
        let mut of_round = 0;
        while of_round < until
            && let Some((key, id)) = created.recv().await
        {
            given.entry(key).or_default().insert(id);
            of_round += 1;
        }
        if round < 3 {
            drop(program);
        } else {
            last = Some(program);
        }
        callers.shutdown().await;
        while let Some((key, id)) = created.recv().await {
            given.entry(key).or_default().insert(id);
        }
    }
    assert!(given.values().all(|ids| ids.len() <= LIMIT), "{given:?}");
    let program = last.unwrap();
    let unmarked: BTreeSet<_> =
        sim.ledger().sandboxes.into_iter().filter(|it| it.call.is_none()).map(|it| it.id).collect();
    let mut from_stock = 0;
    for (key, ids) in &given {
        for id in ids {
            from_stock += usize::from(unmarked.contains(id));
            let path = format!("/sandboxes/{id}");
            let own = ask(&client, &program.address, &secret(*key), "GET", &path).await;
            assert_eq!(own.0, 200, "{key} {id}");
            let other = secret((key + 1) % POOLED);
            assert_eq!(ask(&client, &program.address, &other, "GET", &path).await.0, 404);
        }
        let all = ask(&client, &program.address, &secret(*key), "GET", "/sandboxes").await.1;
        let all: BTreeSet<_> = all.as_array().unwrap().iter().map(id_of).collect();
        assert!(all.len() <= LIMIT, "{key}: {all:?}");
    }
    assert!(from_stock > 0, "none was served from stock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_a_pool_that_is_killed_lets_in_no_more_and_confuses_no_keys() {
    is_killed_with_a_pool(Folder::new(), &POOL, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_that_records_its_stock() {
    let folder = Folder::new();
    let store = format!("stack.pool.store={}", folder.path("pool"));
    let settings = [&POOL[..], &[&*store, r#"stack.pool.on_shutdown="keep""#]].concat();
    is_killed_with_a_pool(folder, &settings, false).await;
}

fn id_of(sandbox: &Value) -> String {
    sandbox["sandboxID"].as_str().unwrap().to_owned()
}
