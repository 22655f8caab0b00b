//! The program is killed while callers create sandboxes, and started again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use sandtower_sim::Server;
use serde_json::json;
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
}

impl Program {
    fn start(folder: &Folder, simulator: &Server) -> Self {
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
        for setting in own.iter().chain(&settings) {
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
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
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
        let program = Program::start(&folder, &simulator);
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
