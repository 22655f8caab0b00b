use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use sandtower::E2b;
use sandtower::admission::Progress;
use sandtower::core::{BoxError, Seed, Tick};
use sandtower::e2b::{
    Client, Code, Command, ListSandboxes, NewSandbox, ProcessEvent, SandboxId, SandboxTracker,
    State,
};
use sandtower::stack::{Plan, Stack};
use sandtower_sim::{End, Fault, FaultKind, FaultResponse, Sim};
use tokio::time::sleep;
use tower::{ServiceExt, util::MapRequest};

use super::{config, sandbox};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_sandbox_is_created_inspected_and_killed() {
    let (_, client, sandbox) = sandbox().await;
    let info = client.info(sandbox.id()).await.unwrap();
    assert_eq!((info.state, info.alias.as_deref()), (State::Running, Some("base")));
    assert!(client.envd_health(&sandbox).await.unwrap());
    client.health().await.unwrap();
    assert!(client.kill(sandbox.id()).await.unwrap());
    assert!(!client.kill(sandbox.id()).await.unwrap());
    assert!(!client.envd_health(&sandbox).await.unwrap());
    assert_eq!(client.info(sandbox.id()).await.unwrap_err().status().unwrap(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_is_shortened_by_its_timeout_and_extended_by_connecting() {
    let (_, client, sandbox) = sandbox().await;
    client.set_timeout(sandbox.id(), 10 * SECOND).await.unwrap();
    let again = client.connect(sandbox.id(), Some(60 * SECOND)).await.unwrap();
    assert_eq!(again.access_token(), sandbox.access_token());
    sleep(50 * SECOND).await;
    assert!(client.envd_health(&again).await.unwrap());
    sleep(11 * SECOND).await;
    assert!(!client.envd_health(&again).await.unwrap());
    let error = client.connect(sandbox.id(), None).await.unwrap_err();
    assert_eq!(error.status().unwrap(), 404);
}

#[tokio::test(start_paused = true)]
async fn pausing_twice_is_no_error_and_both_ways_resume() {
    let (_, client, sandbox) = sandbox().await;
    client.write_file(&sandbox, "/tmp/kept", "kept").await.unwrap();
    assert!(client.pause(sandbox.id()).await.unwrap());
    assert!(!client.pause(sandbox.id()).await.unwrap());
    assert_eq!(client.info(sandbox.id()).await.unwrap().state, State::Paused);

    let resumed = client.connect(sandbox.id(), None).await.unwrap();
    assert_eq!(client.read_file(&resumed, "/tmp/kept").await.unwrap(), "kept");

    assert!(client.pause(sandbox.id()).await.unwrap());
    let resumed = client.resume(sandbox.id(), Some(60 * SECOND)).await.unwrap();
    assert_eq!(client.read_file(&resumed, "/tmp/kept").await.unwrap(), "kept");
    let running = client.resume(sandbox.id(), None).await.unwrap_err();
    assert_eq!(running.status().unwrap(), 409);
}

/// Counts connects.
fn connects(request: &Sent) -> u32 {
    u32::from(request.uri().path().ends_with("/connect"))
}

#[tokio::test(start_paused = true)]
async fn resuming_a_sandbox_waits_for_a_slot_and_holds_up_no_other_call() {
    let mut limits = sandtower_sim::Plan::Pro.limits();
    limits.concurrent_sandboxes = 2;
    let sim = sandtower_sim::Config::new().limits(limits).build().unwrap();
    let sent = Arc::new(AtomicU32::new(0));
    let counting = Arc::clone(&sent);
    let http = sim.clone().map_request(move |request: Sent| {
        counting.fetch_add(connects(&request), SeqCst);
        request
    });
    let stack = Stack::seeded(config(), Plan::Hobby, Seed::fixed(1));
    let client = stack.client(http);
    let new = NewSandbox::new("base").timeout(300 * SECOND);
    let paused = client.create(&new).await.unwrap();
    client.pause(paused.id()).await.unwrap();
    let running = [client.create(&new).await.unwrap(), client.create(&new).await.unwrap()];

    let waking = client.connect(paused.id(), None);
    let meanwhile = async {
        sleep(2 * SECOND).await;
        let before = Tick::now();
        client.connect(running[0].id(), None).await.unwrap();
        assert!(Tick::now().since(before) < SECOND, "a running sandbox needs no slot");
        sleep(30 * SECOND).await;
        assert!(sent.load(SeqCst) < 10, "{} were sent", sent.load(SeqCst));
        assert!(client.info(paused.id()).await.unwrap().state == State::Paused);
        client.kill(running[1].id()).await.unwrap();
    };
    let start = Tick::now();
    let (woken, ()) = tokio::join!(waking, meanwhile);

    assert!(client.envd_health(&woken.unwrap()).await.unwrap());
    assert!((30..40).contains(&Tick::now().since(start).as_secs()));
}

async fn create_many(client: &Client<Sim>, how_many: usize) -> Vec<SandboxId> {
    let mut ids = Vec::new();
    for _ in 0..how_many {
        sleep(SECOND).await;
        let sandbox = client.create(&NewSandbox::new("base").metadata("a", "x y&z")).await;
        ids.push(sandbox.unwrap().id().clone());
    }
    ids.sort();
    ids
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_followed_to_its_end() {
    let (_, client, other) = sandbox().await;
    let expected = create_many(&client, 7).await;
    let mine = || ListSandboxes::default().metadata("a", "x y&z");
    for limit in [1, 3, 7, 100] {
        let all = client.list_all(mine().limit(limit)).await.unwrap();
        let mut ids: Vec<_> = all.into_iter().map(|sandbox| sandbox.id).collect();
        ids.sort();
        assert_eq!(ids, expected, "{limit} a page");
    }
    let mut pages = client.pages(mine().limit(3));
    let mut lengths = Vec::new();
    while let Some(page) = pages.next().await {
        lengths.push(page.unwrap().sandboxes.len());
    }
    assert_eq!(lengths, [3, 3, 1]);
    let all = client.list_all(ListSandboxes::default()).await.unwrap();
    assert!(all.len() == 8 && all.iter().any(|sandbox| sandbox.id == *other.id()));
}

#[tokio::test(start_paused = true)]
async fn a_page_that_failed_can_be_requested_again() {
    let (sim, client, _) = sandbox().await;
    create_many(&client, 3).await;
    let mut pages = client.pages(ListSandboxes::default().limit(2));
    assert_eq!(pages.next().await.unwrap().unwrap().sandboxes.len(), 2);
    let mut down = Fault::new("down", FaultKind::Refuse);
    down.until = Some(SECOND);
    sim.set_faults(vec![down]).unwrap();
    assert!(pages.next().await.unwrap().is_err());
    sleep(SECOND).await;
    assert_eq!(pages.next().await.unwrap().unwrap().sandboxes.len(), 2);
    assert!(pages.next().await.is_none());
}

/// A service whose listing has no last page.
#[tokio::test]
async fn an_endless_listing_is_an_error() {
    let service = tower::service_fn(async |_: Request<Full<Bytes>>| {
        let page = Response::builder().header("x-next-token", "again");
        Ok::<_, BoxError>(page.body(Full::new(Bytes::from_static(b"[]")))?)
    });
    let error = Client::new(service, config()).list_all(ListSandboxes::default()).await;
    assert!(std::error::Error::source(&error.unwrap_err()).unwrap().to_string().contains("1000"));
}

type Sent = Request<Full<Bytes>>;

/// The simulator without the newer creation call.
fn old_server(sim: Sim) -> MapRequest<Sim, fn(Sent) -> Sent> {
    sim.map_request(|mut request| {
        if (request.method(), request.uri().path()) == (&Method::POST, "/v2/sandboxes") {
            *request.uri_mut() = "/nothing".parse().unwrap();
        }
        request
    })
}

#[tokio::test(start_paused = true)]
async fn a_server_without_the_newer_creation_gets_the_older_from_then_on() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let client = Client::new(old_server(sim.clone()), config());
    for clone in [client.clone(), client] {
        let sandbox = clone.create(&NewSandbox::new("base")).await.unwrap();
        assert!(clone.envd_health(&sandbox).await.unwrap());
    }
    let ledger = sim.ledger();
    assert_eq!((ledger.creates.created, ledger.creates.received), (2, 2));
    let all: u64 = ledger.requests.values().sum();
    assert!(all <= 5, "the newer call was tried once: {:?}", ledger.requests);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_template_does_not_make_the_server_an_old_one() {
    let (sim, client, _) = sandbox().await;
    let error = client.create(&NewSandbox::new("nope")).await.unwrap_err();
    assert!(error.to_string().contains("template 'nope' not found"), "{error}");
    assert_eq!(sim.ledger().creates.received, 2);
}

fn end_of(sim: &Sim, id: &SandboxId) -> End {
    let ledger = sim.ledger();
    ledger.sandboxes.iter().find(|record| record.id == id.as_str()).unwrap().end
}

#[tokio::test(start_paused = true)]
async fn only_a_kill_on_drop_sandbox_is_killed_on_drop() {
    let (sim, client, plain) = sandbox().await;
    let held = client.kill_on_drop(client.create(&NewSandbox::new("base")).await.unwrap());
    assert!(client.run(&held, &Command::new("true")).await.unwrap().is_success());
    let (id, plain_id) = (held.id().clone(), plain.id().clone());
    drop((held, plain));
    sleep(SECOND).await;
    assert_eq!(end_of(&sim, &id), End::Killed);
    assert_eq!(end_of(&sim, &plain_id), End::StillRunning);

    let kept = client.kill_on_drop(client.connect(&plain_id, None).await.unwrap()).keep();
    sleep(SECOND).await;
    assert!(client.envd_health(&kept).await.unwrap());

    assert!(client.kill_on_drop(kept).close().await.unwrap());
    assert_eq!(end_of(&sim, &plain_id), End::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_kill_is_retried() {
    let (sim, client, sandbox) = sandbox().await;
    let mut errors = Fault::new("errors", FaultKind::Respond);
    (errors.response, errors.until) = (Some(FaultResponse::Internal500), Some(SECOND / 2));
    sim.set_faults(vec![errors]).unwrap();
    let id = sandbox.id().clone();
    drop(client.kill_on_drop(sandbox));
    sleep(SECOND / 4).await;
    assert_eq!(end_of(&sim, &id), End::StillRunning);
    sleep(60 * SECOND).await;
    assert_eq!(end_of(&sim, &id), End::Killed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_sandbox_is_tracked_and_drained() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let stack = Stack::recommended(config(), Plan::Hobby);
    let e2b = E2b::new(&stack, sim.clone());
    let mut holders = Vec::new();
    for client in [(*e2b).clone(), stack.client(sim.clone())] {
        let sandbox = client.create(&NewSandbox::new("base")).await.unwrap();
        holders.push(client.kill_on_drop(sandbox));
    }
    let watched = e2b.watched(Progress::new());
    holders.push(watched.kill_on_drop(watched.create(&NewSandbox::new("base")).await.unwrap()));
    let mut errors = Fault::new("errors", FaultKind::Respond);
    errors.response = Some(FaultResponse::Internal500);
    errors.until = Some(20 * SECOND);
    sim.set_faults(vec![errors]).unwrap();

    drop(holders);

    assert_eq!(e2b.snapshot().tracker.killing, 3);
    sleep(15 * SECOND).await;
    assert_eq!((sim.active(), e2b.snapshot().tracker.killing), (3, 3));
    e2b.drain().await.unwrap();
    assert_eq!(sim.active(), 0);
    let seen = e2b.snapshot().tracker;
    assert_eq!((seen.killing, seen.killed, seen.abandoned), (0, 3, 0));
}

#[test]
fn a_sandbox_dropped_without_a_runtime_is_killed_once_there_is_one() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let creations = SandboxTracker::new(&config());
    let client = Client::new(sim.clone(), config()).tracker(creations.clone());
    let runtime = || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap()
    };
    let (first, second) = runtime().block_on(async {
        let first = client.create(&NewSandbox::new("base")).await.unwrap();
        sleep(2 * SECOND).await;
        (first, client.create(&NewSandbox::new("base")).await.unwrap())
    });

    drop(client.kill_on_drop(first));
    assert_eq!((sim.active(), creations.snapshot().killing), (2, 1));

    let second = client.kill_on_drop(second);
    runtime().block_on(async {
        drop(second);
        creations.drain_within(60 * SECOND).await.unwrap();
    });
    assert_eq!((sim.active(), creations.snapshot().killed), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn all_of_it_works_through_the_recommended_stack() {
    let sim = sandtower_sim::Config::new().build().unwrap();
    let client = Stack::recommended(config(), Plan::Hobby).client(sim.clone());
    let sandbox = client.create(&NewSandbox::new("code-interpreter-v1")).await.unwrap();
    let mut running = client.start(&sandbox, &Command::new("echo hi")).await.unwrap();
    let first = running.next().await.unwrap().unwrap();
    assert_eq!(first, ProcessEvent::Stdout("hi\n".into()));
    client.write_file(&sandbox, "/tmp/a", "b").await.unwrap();
    assert_eq!(client.read_file(&sandbox, "/tmp/a").await.unwrap(), "b");
    let execution = client.run_code(&sandbox, &Code::new("1 + 1")).await.unwrap();
    assert_eq!(execution.text(), Some("2"));
    assert!(client.pause(sandbox.id()).await.unwrap());
    assert!(!client.pause(sandbox.id()).await.unwrap());
    let sandbox = client.connect(sandbox.id(), None).await.unwrap();
    assert!(client.kill_on_drop(sandbox).close().await.unwrap());
    assert_eq!(sim.active(), 0);
}
