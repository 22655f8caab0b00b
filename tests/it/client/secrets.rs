//! Secrets are planted wherever one can be, and searched for in everything that is shown.

use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use sandtower::E2b;
use sandtower::core::BoxError;
use sandtower::e2b::{
    Client, Code, Command, Config, Creation, Error, HttpTransport, ListSandboxes, NewSandbox,
    Sandbox, Secret, operation, recognise,
};
use sandtower::http::{Explain, server_timing};
use sandtower::stack::{Plan, Stack};
use sandtower_telemetry::{Durations, Format, Registry, Watch, Webhook};
use tower::{Service, ServiceExt, service_fn, util::BoxCloneSyncService};

use super::log::Log;

const KEY: &str = "e2b_planted_key";
const PLANTED: [&str; 5] =
    [KEY, "planted_access", "planted_traffic", "planted_env", "planted_command"];

type Http = BoxCloneSyncService<Request<Full<Bytes>>, Response<Full<Bytes>>, BoxError>;

/// Repeats in its response everything that it was sent.
fn echo(status: u16) -> Http {
    BoxCloneSyncService::new(service_fn(move |request: Request<Full<Bytes>>| async move {
        let is_stream = recognise(&request).0.name().starts_with("process_") && status == 200;
        let (head, body) = request.into_parts();
        let mut repeated = String::new();
        for (name, value) in &head.headers {
            write!(repeated, "{name} {} ", String::from_utf8_lossy(value.as_bytes()))?;
        }
        let body = body.collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).replace(['"', '\\'], "'");
        let message = format!("you said {repeated}and {}", body.escape_default());
        let said = format!(r#"{{"code":"unavailable","message":"{message}"}}"#);
        let response = if is_stream {
            let mut envelope = vec![2];
            let said = format!(r#"{{"error":{said}}}"#);
            envelope.extend(u32::try_from(said.len())?.to_be_bytes());
            envelope.extend(said.as_bytes());
            envelope
        } else {
            said.into_bytes()
        };
        Ok(Response::builder().status(status).body(Full::new(response.into()))?)
    }))
}

fn config() -> Config {
    Config::new(KEY).unwrap()
}

/// With an access token and a traffic token.
async fn sandbox() -> Sandbox {
    let created = r#"{"sandboxID":"i0abc","envdAccessToken":"planted_access","trafficAccessToken":"planted_traffic"}"#;
    let service = service_fn(async |_: Request<Full<Bytes>>| {
        Ok::<_, BoxError>(Response::new(Full::new(Bytes::from_static(created.as_bytes()))))
    });
    Client::new(service, config()).connect(&"i0abc".parse().unwrap(), None).await.unwrap()
}

/// Everything that an error shows.
fn shown(shown: &mut String, error: &Error) {
    if let Some(explanation) = error.explanation() {
        let field = server_timing(explanation);
        write!(shown, "{explanation}\n{explanation:?}\n{field:?}\n").unwrap();
    }
    write!(shown, "{error}\n{error:?}\n").unwrap();
    let mut source = error.source();
    while let Some(error) = source {
        write!(shown, "{error}\n{error:?}\n").unwrap();
        source = error.source();
    }
}

/// Everything that is shown about every call by `client` and about its parameters.
async fn all_calls<S, B>(client: &Client<S>) -> String
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S: Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let sandbox = sandbox().await;
    let (id, path) = (sandbox.id().clone(), "/tmp/x");
    let new = NewSandbox::new("base").env("A", "planted_env");
    let command = Command::new("planted_command").env("A", "planted_env");
    let code = Code::new("planted_command").env("A", "planted_env");
    let held = client.kill_on_drop(sandbox.clone());
    let given: [&dyn Debug; 7] =
        [client, &config(), &sandbox, &new, &command, &code, &Secret::new(KEY)];
    let mut all = format!("{given:?} {held:?}");
    let mut add = |error: Option<Error>| {
        error.iter().for_each(|error| shown(&mut all, error));
    };
    add(held.close().await.err());
    add(client.create(&new).await.err());
    add(client.connect(&id, None).await.err());
    add(client.info(&id).await.err());
    add(client.list_all(Default::default()).await.err());
    add(client.pause(&id).await.err());
    add(client.health().await.err());
    add(client.envd_health(&sandbox).await.err());
    add(client.run(&sandbox, &command).await.err());
    add(client.connect_process(&sandbox, 1).await.err());
    add(client.processes(&sandbox).await.err());
    add(client.kill_process(&sandbox, 1).await.err());
    add(client.run_code(&sandbox, &code).await.err());
    add(client.contexts(&sandbox).await.err());
    add(client.read_file(&sandbox, path).await.err());
    add(client.write_file(&sandbox, path, "").await.err());
    add(client.list_dir(&sandbox, path, 1).await.err());
    all
}

fn assert_hidden(shown: &str, where_: &str) {
    let encoded = PLANTED.map(|secret| STANDARD.encode(secret));
    for secret in PLANTED.iter().copied().chain(encoded.iter().map(String::as_str)) {
        if let Some(at) = shown.find(secret) {
            let from = at.saturating_sub(200);
            panic!(
                "{where_}: `{secret}` in ...{}",
                String::from_utf8_lossy(&shown.as_bytes()[from..at + 20])
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_error_no_debug_and_no_event_shows_a_secret() {
    let log = Log::default();
    let _logging = log.begin();
    for status in [200, 400, 401, 404, 409, 429, 500, 502, 503] {
        let bare = all_calls(&Client::new(echo(status), config())).await;
        assert!(bare.contains("***"), "{status}: nothing was repeated: {bare}");
        assert_hidden(&bare, &format!("status {status}"));
        // Every call is slow: all explanations are logged.
        let explain = Explain::new().slow_after(Some(Duration::ZERO));
        let durations = Durations::new(operation::GROUPS, operation::group);
        let stack = Stack::builder(config()).plan(Plan::Hobby).explain(explain);
        let stack = stack.observe_calls(Arc::new(durations.clone()));
        let stack = stack.traces(|traces| traces).build().unwrap();
        let stacked = all_calls(&stack.client(echo(status))).await;
        assert_hidden(&stacked, &format!("status {status} through the stack"));
        assert_hidden(&format!("{stack:?} {:?}", stack.handles()), "the stack");
        let exported = exported(&stack, durations).await;
        assert_hidden(&exported, &format!("metrics and alerts after status {status}"));
    }
    let logged = log.text();
    for looks in [
        "sandtower::",
        "call{",
        "attempt{",
        "url.template",
        "slow call",
        "attempt 1 ",
        "webhook failed",
    ] {
        assert!(logged.contains(looks), "`{looks}` was not logged: {logged}");
    }
    assert_hidden(&logged, "the log");
}

/// Metrics, alerts and history of a stack, and what a webhook gets whose failure repeats its address.
async fn exported(stack: &Stack, durations: Durations) -> String {
    let registry = Registry::new();
    registry.add("e2b", stack.handles().clone()).unwrap();
    registry.add("e2b", durations).unwrap();
    stack.handles().control_plane_breaker.force_open();
    let sent = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&sent);
    let service = service_fn(move |request: Request<Full<Bytes>>| {
        let seen = Arc::clone(&seen);
        async move {
            let uri = request.uri().to_string();
            let body = request.into_body().collect().await?.to_bytes();
            seen.lock().unwrap().push_str(&String::from_utf8_lossy(&body));
            Err::<Response<()>, BoxError>(format!("cannot reach {uri}").into())
        }
    });
    let uri = format!("https://hooks.test/planted_access?key={KEY}").parse().unwrap();
    let webhook = Webhook::new(service, uri);
    let mut all = format!("{webhook:?} {registry:?}");
    let watch = Watch::new(registry.clone());
    // For longer than a breaker may be open.
    let running = watch.clone().run_with(webhook);
    assert!(tokio::time::timeout(Duration::from_secs(400), running).await.is_err());
    let sent = sent.lock().unwrap();
    assert!(sent.contains("SandtowerBreakerNotClosed"), "{sent}");
    let history = serde_json::to_string(&watch.history("e2b")).unwrap();
    write!(all, "{sent} {history} {:?} {watch:?}", watch.alerts()).unwrap();
    all + &registry.encode(Format::OpenMetrics) + &registry.encode(Format::Text)
}

/// Values that are returned by successful calls: processes, code, files, and the extensions of a creation.
async fn handed_out() -> String {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let creations = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&creations);
    let stack = Stack::builder(config()).monitor(|monitor| monitor).build().unwrap();
    let e2b = E2b::new(
        &stack,
        service_fn(move |request: Request<Full<Bytes>>| {
            let (mut seen, extensions) = (seen.lock().unwrap(), request.extensions());
            write!(seen, "{:?} {:?}", extensions.get::<Creation>(), request.headers()).unwrap();
            sim.clone().oneshot(request)
        }),
    );
    let new = NewSandbox::new("code-interpreter-v1").env("A", "planted_env");
    let sandbox = e2b.create(&new).await.unwrap();
    let mut all = format!("{e2b:?} {stack:?} {:?} {:?}", e2b.handles(), e2b.snapshot());
    let mut show = |what: &dyn Debug| writeln!(all, "{what:?}").unwrap();
    let command = Command::new("echo planted_command; echo planted_env >&2; sleep 1");
    let mut running = e2b.start(&sandbox, &command).await.unwrap();
    show(&running);
    show(&running.next().await);
    show(&e2b.processes(&sandbox).await.unwrap());
    show(&running.output(1_000).await.unwrap());

    let code = Code::new("print('planted_command')\nraise ValueError('planted_env')");
    let mut executing = e2b.start_code(&sandbox, &code).await.unwrap();
    show(&executing);
    while let Some(event) = executing.next().await {
        show(&event);
    }
    show(&e2b.run_code(&sandbox, &code).await.unwrap());
    show(&e2b.run_code(&sandbox, &Code::new("'planted_env'")).await.unwrap());

    e2b.write_file(&sandbox, "/tmp/a", "planted_env").await.unwrap();
    show(&e2b.list_dir(&sandbox, "/tmp", 1).await.unwrap());
    show(&e2b.list(&ListSandboxes::default()).await.unwrap());
    show(&e2b.info(sandbox.id()).await.unwrap());
    show(&e2b.watched(Default::default()));
    show(&e2b.clone().kill_on_drop(sandbox));
    show(&Stack::builder(config()).default_template("base"));
    show(&HttpTransport::builder().proxy("http://u:planted_access@proxy.test:3128", ""));
    all + &creations.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn no_returned_value_shows_a_secret() {
    let log = Log::default();
    let _logging = log.begin();
    let shown = handed_out().await;
    for (name, looks) in SHOWN {
        assert!(shown.contains(looks), "`{name}` is not shown");
    }
    assert_hidden(&shown, "returned values");
    assert_hidden(&log.text(), "the log");
}

/// Types of `sandtower_e2b` that may hold one, and how their `Debug` begins.
const SHOWN: &[(&str, &str)] = &[
    ("Client", "E2b {"),
    ("CodeEvent", "\nOk(Stdout("),
    ("CodeResult", "CodeResult {"),
    ("Creation", "Creation {"),
    ("Exception", "Exception {"),
    ("Executing", "Executing {"),
    ("Execution", "Execution {"),
    ("HttpTransportBuilder", "HttpTransportBuilder {"),
    ("KillOnDrop", "KillOnDrop {"),
    ("Output", "Output {"),
    ("ProcessEvent", "Some(Ok(Stdout("),
    ("Running", "Running {"),
];

/// Those that the test of errors shows.
const GIVEN: &[&str] = &["Code", "Command", "Config", "Error", "NewSandbox", "Sandbox", "Secret"];

/// Types of `sandtower_e2b` that never hold a secret, or only what callers put there on purpose.
const HARMLESS: &[&str] = &[
    "ErrorResponse",
    "Call",
    "CallId",
    "ConfigError",
    "ConnectTimedOut",
    "Context",
    "TrackingFuture",
    "SandboxTracker",
    "TrackerSnapshot",
    "DefaultTemplate",
    "E2bClassify",
    "E2bInterpret",
    "E2bReconcile",
    "EventsSnapshot",
    "Events",
    "Exit",
    "FileInfo",
    "FileKind",
    "Abandoned",
    "Hint",
    "HttpTransport",
    "ListSandboxes",
    "Marks",
    "NotACallId",
    "NotAnId",
    "NotAnOwner",
    "Owner",
    "Page",
    "Pages",
    "Probe",
    "ProcessInfo",
    "Progress",
    // Its test is beside the request that it shows.
    "RawCreation",
    "RemotePath",
    "Tracking",
    "TrackingLayer",
    "ErrorBody",
    "SandboxCheck",
    "SandboxId",
    "SandboxInfo",
    "Selector",
    "Silent",
    "State",
    "TemplateNotFound",
    "Timeouts",
    "Timing",
    "TimingError",
    "TransportBody",
    "TransportError",
    "TransportFuture",
    "Unclaimed",
    "OrphansLeft",
];

/// A new type belongs in a test above, or in the list.
#[test]
fn every_public_type_is_covered() {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/sandtower-e2b/src/lib.rs");
    let source = std::fs::read_to_string(crates).unwrap();
    let exported = source.split("pub use ").skip(1).filter_map(|line| line.split_once(';'));
    let names = exported.flat_map(|(line, _)| line.split(['{', '}', ',', ':', '\n', ' ']));
    let types: Vec<_> = names
        .filter(|name| name.starts_with(char::is_uppercase))
        .filter(|name| name.contains(char::is_lowercase))
        .collect();
    assert!(types.len() > 50, "{types:?}");
    for name in types {
        let shown = SHOWN.iter().map(|(name, _)| name);
        let looked_at = shown.chain(HARMLESS).chain(GIVEN).any(|known| *known == name);
        assert!(looked_at, "is there a secret in `{name}`?");
    }
}
