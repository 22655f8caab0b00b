//! How large an exposition of a stack in full use is, and how long a scrape takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use sandtower::core::Tenant;
use sandtower::e2b::{Config, operation};
use sandtower::stack::Stack;
use sandtower_sim::{Fault, FaultKind};
use sandtower_telemetry::{Durations, Format, Registry};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt};

const TENANTS: u64 = 10_000;

/// One request for each kind of operation that has a path of its own.
fn requests() -> Vec<Request<Full<Bytes>>> {
    let api = |method: &str, path: &str| (method.to_owned(), format!("https://api.e2b.app{path}"));
    let inside = |method: &str, port: u16, path: &str| {
        (method.to_owned(), format!("https://{port}-iabcdefghijklmnopqrst.e2b.app{path}"))
    };
    let of_one = "/sandboxes/iabcdefghijklmnopqrst";
    let mut all = vec![
        api("POST", "/sandboxes"),
        api("GET", "/sandboxes"),
        api("GET", of_one),
        api("DELETE", of_one),
        api("GET", "/snapshots"),
        api("GET", "/templates"),
        api("POST", "/templates"),
        api("GET", "/health"),
        api("GET", "/other"),
        inside("GET", 8080, "/"),
    ];
    for action in ["connect", "timeout", "pause", "resume", "refreshes", "fork", "snapshots"] {
        all.push(api("POST", &format!("{of_one}/{action}")));
    }
    for what in ["metrics", "logs"] {
        all.push(api("GET", &format!("{of_one}/{what}")));
    }
    all.push(api("PUT", &format!("{of_one}/network")));
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/metrics"),
        ("GET", "/envs"),
        ("POST", "/init"),
        ("GET", "/files"),
        ("POST", "/files"),
        ("GET", "/x"),
    ] {
        all.push(inside(method, 49_983, path));
    }
    for call in ["Stat", "ListDir", "MakeDir", "Move", "Remove", "WatchDir"] {
        all.push(inside("POST", 49_983, &format!("/filesystem.Filesystem/{call}")));
    }
    for call in ["List", "Start", "Connect", "Update", "SendInput", "SendSignal"] {
        all.push(inside("POST", 49_983, &format!("/process.Process/{call}")));
    }
    all.push(inside("POST", 49_999, "/execute"));
    all.push(inside("GET", 49_999, "/contexts"));
    let request = |(method, uri): (String, String)| {
        let request = Request::builder().method(&*method).uri(uri).header("x-api-key", "e2b_0123");
        request.body(Full::default()).unwrap()
    };
    all.into_iter().map(request).collect()
}

#[tokio::test(start_paused = true)]
async fn a_stack_with_10000_tenants_and_every_operation_under_fault_is_bounded() {
    let faults = vec![Fault { rate: 0.3, ..Fault::new("resets", FaultKind::Reset) }];
    let sim = sandtower_sim::Config::new().api_keys(["e2b_0123"]).faults(faults).build().unwrap();
    let durations = Durations::new(operation::GROUPS, operation::group);
    let stack = Stack::builder(Config::new("e2b_0123").unwrap()).default_template("base");
    let stack = stack.observe_calls(Arc::new(durations.clone())).build().unwrap();
    let registry = Registry::new();
    registry.add("e2b", stack.handles().clone()).unwrap();
    registry.add("e2b", durations).unwrap();

    let service = stack.layer(sim);
    let requests = requests();
    let mut calls = JoinSet::new();
    for tenant in 1..=TENANTS {
        let mut request = requests[tenant as usize % requests.len()].clone();
        request.extensions_mut().insert(Tenant::new(tenant));
        calls
            .spawn(tokio::time::timeout(Duration::from_secs(30), service.clone().oneshot(request)));
    }
    while calls.join_next().await.is_some() {}

    let (took, text) = timed(|| registry.encode(Format::OpenMetrics));
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    println!(
        "{TENANTS} tenants, {} requests of one kind each: {series} series, {} KiB, scrape {took:?}",
        requests.len(),
        text.len() / 1024
    );
    let seen = operation::ALL.iter().filter(|operation| {
        let series =
            format!("sandtower_admission_limit{{source=\"e2b\",operation=\"{operation}\"}}");
        text.contains(&series)
    });
    assert!(seen.count() > 35, "most operations were called");
    assert!(series < 1_500, "{series} series");
    assert!(text.len() < 500 * 1024, "{} bytes", text.len());
}

/// The best of ten, in real time: for the report, which asserts nothing of it.
#[expect(clippy::disallowed_methods, reason = "real time, where the clock of the test is paused")]
fn timed<T>(mut work: impl FnMut() -> T) -> (Duration, T) {
    let mut best: Option<(Duration, T)> = None;
    for _ in 0..10 {
        let start = std::time::Instant::now();
        let result = work();
        let took = start.elapsed();
        if best.as_ref().is_none_or(|(best, _)| took < *best) {
            best = Some((took, result));
        }
    }
    best.unwrap()
}
