//! A gateway that is killed in the middle of creations: what it left behind is swept by the next one, and
//! what callers own lives.

use std::path::PathBuf;

use sandtower_sim::{End, Plan, Server, Sim};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::process::Process;
use super::support::{Caller, KEY, until};

const OTHER_KEY: &str = "e2b_1111111111111111111111111111111111111111";

fn start(simulator: &Server, journal: &Journal) -> Process {
    start_with(simulator, journal, &[])
}

fn start_with(simulator: &Server, journal: &Journal, settings: &[&str]) -> Process {
    let all = basis(simulator, journal);
    let all = all.iter().map(String::as_str).chain(settings.iter().copied());
    Process::start(all.flat_map(|setting| ["--set", setting]))
}

fn basis(simulator: &Server, journal: &Journal) -> [String; 4] {
    let url = simulator.url();
    [
        format!("upstream.api_url={url}"),
        format!("upstream.sandbox_url={url}"),
        format!("journal={}", journal.0.display()),
        // Several creations of one key are in flight at a time.
        "stack.admission.concurrency_for.sandbox_create=3".to_owned(),
    ]
}

/// Asks for a sandbox and awaits no response.
async fn begin_creation(gateway: &Process, key: &str, more: &str) -> TcpStream {
    let body = r#"{"templateID":"base","timeout":3000}"#;
    let request = format!(
        "POST /v2/sandboxes HTTP/1.1\r\nhost: gw\r\nx-api-key: {key}\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// The file, gone with this.
struct Journal(PathBuf);

impl Journal {
    fn new(name: &str) -> Self {
        let file = format!("sandtower-{}-{name}.journal", std::process::id());
        Self(std::env::temp_dir().join(file))
    }

    fn files(&self) -> [PathBuf; 2] {
        [self.0.clone(), PathBuf::from(format!("{}-wal", self.0.display()))]
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.files().iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
}

fn alive(sim: &Sim) -> Vec<String> {
    let all = sim.ledger().sandboxes.into_iter();
    let mut alive: Vec<_> =
        all.filter(|sandbox| sandbox.end == End::StillRunning).map(|sandbox| sandbox.id).collect();
    alive.sort();
    alive
}

async fn simulator() -> (Sim, Server) {
    let sim = sandtower_sim::Config::new().plan(Plan::Pro).build().unwrap();
    let server = sim.listen("127.0.0.1:0").await.unwrap();
    (sim, server)
}

/// From now on creations happen and their responses do not come; listings lack them for a while.
fn stall(sim: &Sim) {
    let stall = json!([
        {"name": "lag", "kind": "lag", "lasting": "4s"},
        {"name": "stall", "kind": "stall", "on": ["sandbox_create"], "lasting": "50s", "after_work": true},
    ]);
    sim.set_faults(serde_json::from_value(stall).unwrap()).unwrap();
}

async fn created(caller: &Caller, metadata: Value) -> (String, String) {
    let new = json!({"templateID": "base", "secure": true, "timeout": 3000, "metadata": metadata});
    let response = caller.control("POST", "/v2/sandboxes", Some(new)).await;
    assert_eq!(response.status(), 201, "{:?}", response.body());
    let sandbox: Value = serde_json::from_slice(response.body()).unwrap();
    let text = |name: &str| sandbox[name].as_str().unwrap_or_default().to_owned();
    (text("sandboxID"), text("envdAccessToken"))
}

#[tokio::test]
async fn what_a_killed_gateway_left_behind_is_swept_and_all_else_lives() {
    let (sim, server) = simulator().await;
    let journal = Journal::new("sweep");
    let before = start(&server, &journal);
    let caller = Caller::new(before.address, KEY);
    let (owned, token) = created(&caller, json!({})).await;
    // Of a gateway with the same owner and a journal of its own, and of a client without any.
    let marks = json!({"sandtower_owner": "gateway", "sandtower_call": "0".repeat(32)});
    let direct = Caller::new(server.address(), KEY);
    let mut lives = vec![owned.clone(), created(&direct, marks).await.0];
    lives.push(created(&direct, json!({})).await.0);
    stall(&sim);
    let mut open = Vec::new();
    // Of these, one waits in the queue.
    for key in [KEY, KEY, KEY, KEY, OTHER_KEY] {
        open.push(begin_creation(&before, key, "").await);
    }
    until("four are created", || alive(&sim).len() == 7).await;
    before.kill();
    sim.set_faults(Vec::new()).unwrap();
    drop(open);

    let after = start(&server, &journal);
    let caller = Caller::new(after.address, KEY);
    let listed = caller.control("GET", "/v2/sandboxes", None).await;
    assert!(String::from_utf8_lossy(listed.body()).contains(&owned), "{:?}", listed.body());
    let health = caller.inside("GET", "/health", &owned, &token);
    assert_eq!(caller.send(health.body(Default::default()).unwrap()).await.status(), 204);
    until("the orphans of this key are killed", || alive(&sim).len() == 4).await;
    // The gateway has no key of its own: the rest goes when the key comes.
    let other = Caller::new(after.address, OTHER_KEY);
    assert_eq!(other.control("GET", "/v2/sandboxes", None).await.status(), 200);
    until("those of the other key, too", || alive(&sim).len() == 3).await;
    lives.sort();
    assert_eq!(alive(&sim), lives);
    for file in journal.files() {
        let content = std::fs::read(file).unwrap();
        assert!(!content.windows(12).any(|it| it == &KEY.as_bytes()[..12]), "a key was written");
    }
}

#[tokio::test]
async fn a_creation_under_its_callers_own_key_is_left_to_the_caller() {
    let (sim, server) = simulator().await;
    let journal = Journal::new("keyed");
    let before = start(&server, &journal);
    stall(&sim);
    let open = begin_creation(&before, KEY, "idempotency-key: mine\r\n").await;
    let orphan = begin_creation(&before, KEY, "").await;
    until("both are created", || alive(&sim).len() == 2).await;
    before.kill();
    sim.set_faults(Vec::new()).unwrap();
    drop((open, orphan));
    let after = start(&server, &journal);
    let caller = Caller::new(after.address, KEY);
    assert_eq!(caller.control("GET", "/v2/sandboxes", None).await.status(), 200);
    until("the other one is killed", || alive(&sim).len() == 1).await;
    let mut again = begin_creation(&after, KEY, "idempotency-key: mine\r\n").await;
    let mut response = vec![0; 4_096];
    let length = tokio::io::AsyncReadExt::read(&mut again, &mut response).await.unwrap();
    let response = String::from_utf8_lossy(&response[..length]);
    assert!(
        response.starts_with("HTTP/1.1 201") && response.contains(&alive(&sim)[0]),
        "{response}"
    );
}

#[tokio::test]
async fn with_its_key_in_the_configuration_an_orphan_is_swept_without_a_request() {
    let (sim, server) = simulator().await;
    let (journal, key) = (Journal::new("configured"), Journal::new("key"));
    let before = start(&server, &journal);
    stall(&sim);
    let open = begin_creation(&before, KEY, "").await;
    until("it is created", || alive(&sim).len() == 1).await;
    before.kill();
    sim.set_faults(Vec::new()).unwrap();
    drop(open);
    std::fs::write(&key.0, KEY).unwrap();
    let upstream = format!("keys.upstream.main={{ file = '{}' }}", key.0.display());
    let _after = start_with(&server, &journal, &[&upstream]);
    until("it is killed", || alive(&sim).is_empty()).await;
}

#[tokio::test]
async fn two_gateways_do_not_share_a_journal() {
    let (_sim, server) = simulator().await;
    let journal = Journal::new("shared");
    let first = start(&server, &journal);
    let setting = format!("journal={}", journal.0.display());
    let second = super::process::run(["serve", "--listen", "127.0.0.1:0", "--set", &setting]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("journal: ") && said.contains("each needs a file of its own"), "{said}");
    drop(first);
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_any_more_costs_no_caller_its_sandbox() {
    let (sim, server) = simulator().await;
    let journal = Journal::new("full");
    let settings = basis(&server, &journal);
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    let before = Process::start_with_short_files(96, settings);
    let caller = Caller::new(before.address, KEY);
    let mut owned = Vec::new();
    let new = json!({"templateID": "base", "timeout": 3000});
    for _ in 0..12 {
        let response = caller.control("POST", "/v2/sandboxes", Some(new.clone())).await;
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        match response.status().as_u16() {
            201 => owned.push(body["sandboxID"].as_str().unwrap().to_owned()),
            // It was recorded when it began, and its sandbox could not be.
            status => {
                let said = body["message"].as_str().unwrap();
                assert_eq!((status, said.contains("journal")), (503, true), "{said}");
            }
        }
    }
    assert!(before.has_said("journal not written"));
    assert!(owned.len() >= 8, "creations go on unrecorded: {owned:?}");
    owned.sort();
    until("what no caller has is killed", || alive(&sim) == owned).await;
    before.kill();
    let after = start(&server, &journal);
    let caller = Caller::new(after.address, KEY);
    for _ in 0..3 {
        assert_eq!(caller.control("GET", "/v2/sandboxes", None).await.status(), 200);
    }
    owned.push(created(&caller, json!({})).await.0);
    owned.sort();
    assert_eq!(alive(&sim), owned);
}
