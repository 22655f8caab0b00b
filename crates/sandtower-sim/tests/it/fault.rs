//! Faults by rule: at their times, for their requests, and as often as they say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::Duration;

use crate::common::{Created, base, control, secs, send, try_send};
use http::Request;
use http_body_util::Full;
use sandtower_sim::{
    Config, ConnectionErrorKind, End, Fault, FaultKind, FaultResponse, Ledger, Limits, Plan, Rate,
    Scenario, Sim,
};
use serde_json::json;
use tokio::time;

fn with(faults: Vec<Fault>) -> Sim {
    let limits = Limits { create: Rate::new(Duration::ZERO, 1), ..Plan::Pro.limits() };
    Config::new().limits(limits).faults(faults).build().unwrap()
}

fn on(request: &str, fault: Fault) -> Fault {
    Fault { on: vec![request.to_owned()], ..fault }
}

fn list() -> Request<Full<bytes::Bytes>> {
    control("GET", "/v2/sandboxes", "")
}

#[tokio::test(start_paused = true)]
async fn an_outage_begins_and_ends_when_it_should() {
    let fault = Fault {
        from: secs(30),
        until: Some(secs(90)),
        every: Some(secs(600)),
        ..Fault::new("outage", FaultKind::Refuse)
    };
    let sim = with(vec![on("control", fault)]);
    for (at, down) in [(0, false), (31, true), (89, true), (91, false), (631, true)] {
        time::sleep(secs(at).saturating_sub(sim.elapsed())).await;
        assert_eq!(try_send(&sim, list()).await.is_err(), down, "{at}");
    }
    let ledger = sim.ledger();
    assert_eq!((ledger.injected["outage"], ledger.broken_connections), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn each_response_has_its_status_and_form() {
    use FaultResponse::*;
    for (response, status, says) in [
        (Unauthorized401, 401, "Invalid API key"),
        (Rate429, 429, "Rate limit exceeded"),
        (Balancer429, 429, "Too Many Requests"),
        (Connections429, 429, "too many concurrent incoming connections (limit: "),
        (Transitioning409, 409, "The sandbox is still transitioning. Try again in a moment."),
        (Internal500, 500, "internal_server_error"),
        (CreateFailed500, 500, "sandbox_create_failed"),
        (CreateRefused500, 500, "sandbox_create_refused"),
        (Balancer502, 502, "Bad Gateway"),
        (Route502, 502, "Failed to route request to sandbox"),
        (NotFound502, 502, "The sandbox was not found"),
        (PortClosed502, 502, "The sandbox is running but port is not open"),
        (Draining503, 503, "Service is unavailable"),
        (Capacity503, 503, "sandbox_capacity_unavailable"),
        (NoCompatibleNode503, 503, "sandbox_no_compatible_node"),
        (PlacementTimeout504, 504, "sandbox_placement_timeout"),
        (Balancer504, 504, "upstream request timeout"),
    ] {
        let fault = Fault { response: Some(response), ..Fault::new("x", FaultKind::Respond) };
        let sim = with(vec![fault]);
        let response = send(&sim, base()).await;
        assert_eq!(response.status, status);
        assert!(response.text().contains(says), "{}", response.text());
        assert_eq!((sim.active(), sim.ledger().creates.rejected[&status]), (0, 1), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_responds_after_the_work_was_done() {
    let after_work = |response| Fault {
        response: Some(response),
        after_work: true,
        ..Fault::new("x", FaultKind::Respond)
    };
    let sim = with(vec![on("sandbox_create", after_work(FaultResponse::Balancer504))]);
    assert_eq!(send(&sim, base()).await.status, 504);
    let ledger = sim.ledger();
    assert!(ledger.active == 1 && ledger.sandboxes[0].response_lost, "{ledger:?}");
    let id = ledger.sandboxes[0].id.clone();
    sim.set_faults(vec![on("sandbox_kill", after_work(FaultResponse::Internal500))]).unwrap();
    let kill = || control("DELETE", &format!("/sandboxes/{id}"), "");
    assert_eq!(send(&sim, kill()).await.status, 500, "although the sandbox is gone");
    assert_eq!(sim.active(), 0);
    sim.set_faults(vec![]).unwrap();
    assert_eq!(send(&sim, kill()).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn connections_break_in_each_way() {
    let broken = async |kind, after_work| {
        let fault = Fault { lasting: Some(secs(9)), after_work, ..Fault::new("x", kind) };
        let sim = with(vec![fault]);
        let error = try_send(&sim, base()).await.unwrap_err();
        (error.kind(), error.processed(), sim.active(), sim.elapsed().as_secs())
    };
    use ConnectionErrorKind::{Refused, Reset};
    assert_eq!(broken(FaultKind::Refuse, false).await, (Refused, false, 0, 0));
    assert_eq!(broken(FaultKind::Reset, false).await, (Reset, false, 0, 0));
    assert_eq!(broken(FaultKind::Lose, false).await, (Reset, true, 1, 0));
    assert_eq!(broken(FaultKind::Stall, false).await, (Reset, false, 0, 9));
    assert_eq!(broken(FaultKind::Stall, true).await, (Reset, true, 1, 9));
    assert_eq!(broken(FaultKind::Cut, false).await, (Reset, true, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn sandboxes_are_created_with_each_fault() {
    let sim = with(vec![Fault { lasting: Some(secs(7)), ..Fault::new("x", FaultKind::Die) }]);
    let sandbox = Created::new(&sim).await;
    time::sleep(secs(8)).await;
    assert_eq!(send(&sim, sandbox.start("true")).await.status, 502);
    let ledger = sim.ledger();
    assert_eq!((ledger.sandboxes[0].end, ledger.died), (End::Died, 1));

    let sim = with(vec![Fault::new("x", FaultKind::Zombie)]);
    let sandbox = Created::new(&sim).await;
    assert_eq!(send(&sim, sandbox.start("true")).await.status, 502);

    let sim = with(vec![Fault { lasting: Some(secs(5)), ..Fault::new("x", FaultKind::Lag) }]);
    Created::new(&sim).await;
    assert_eq!(send(&sim, list()).await.json(), json!([]));
    time::sleep(secs(5)).await;
    assert_eq!(send(&sim, list()).await.json().as_array().unwrap().len(), 1);

    let late = Fault { lasting: Some(secs(15)), ..Fault::new("x", FaultKind::LateCommit) };
    let sim = with(vec![late]);
    assert_eq!(send(&sim, base()).await.status, 504);
    assert_eq!((sim.elapsed().as_secs(), sim.active()), (70, 0));
    time::sleep(secs(16)).await;
    assert_eq!((sim.active(), sim.ledger().creates.created_late), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn capacity_drops_and_comes_back() {
    let fault =
        Fault { slots: Some(1), until: Some(secs(60)), ..Fault::new("x", FaultKind::Capacity) };
    let sim = with(vec![fault]);
    Created::new(&sim).await;
    assert_eq!(send(&sim, base()).await.json()["error_code"], "sandbox_capacity_unavailable");
    time::sleep(secs(60)).await;
    assert_eq!(send(&sim, base()).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn the_rate_limits_fields_can_be_missing() {
    let sim = with(vec![Fault::new("x", FaultKind::Bare)]);
    let response = send(&sim, base()).await;
    assert_eq!((response.status.as_u16(), response.header("ratelimit-limit")), (201, None));
}

#[tokio::test(start_paused = true)]
async fn faults_are_changed_and_read_while_it_runs() {
    let sim = with(vec![Fault::new("all", FaultKind::Refuse)]);
    let sim_request = |method: &str, body: &str| {
        let request = Request::builder().method(method).uri("/_sim/faults");
        request.body(Full::from(body.to_owned())).unwrap()
    };
    assert!(try_send(&sim, list()).await.is_err());
    time::sleep(secs(100)).await;
    let rules = r#"{"faults": [{"name": "soon", "kind": "reset", "from": "10s", "rate": 1}]}"#;
    assert_eq!(send(&sim, sim_request("PUT", rules)).await.status, 204);
    assert_eq!(send(&sim, list()).await.status, 200);
    time::sleep(secs(11)).await;
    assert!(try_send(&sim, list()).await.is_err(), "times count from the change");
    let told = send(&sim, sim_request("GET", "")).await.json();
    assert_eq!(told["faults"][0]["name"], "soon");
    for wrong in
        ["", "[]", "{", r#"{"faults": [{"name": "x", "kind": "response"}]}"#, r#"{"x": 1}"#]
    {
        assert_eq!(send(&sim, sim_request("PUT", wrong)).await.status, 400, "{wrong}");
    }
    let huge = "x".repeat(1 << 20);
    assert_eq!(send(&sim, sim_request("PUT", &huge)).await.status, 400);
    assert_eq!(send(&sim, sim_request("DELETE", "")).await.status, 405);
}

/// Some minutes of five callers in a scenario.
fn ledger_of(scenario: &str, seed: u64) -> Ledger {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let scenario = Scenario::named(scenario).unwrap();
        let sim = Config::new().seed(seed).scenario(scenario).plan(Plan::Pro).build().unwrap();
        let mut callers = Vec::new();
        for caller in 0..5 {
            let sim = sim.clone();
            callers.push(tokio::spawn(async move {
                for _ in 0..30 {
                    time::sleep(secs(3 + caller)).await;
                    let created = time::timeout(secs(100), try_send(&sim, base())).await;
                    let Ok(Ok(response)) = created else { continue };
                    if response.status == 201 {
                        let sandbox = Created::of(&response);
                        drop(try_send(&sim, sandbox.start("echo x > f; cat f | wc -c")).await);
                        drop(try_send(&sim, list()).await);
                        drop(try_send(&sim, sandbox.kill()).await);
                    }
                }
            }));
        }
        for caller in callers {
            caller.await.unwrap();
        }
        sim.ledger()
    })
}

#[test]
fn every_scenario_gives_the_same_ledger_for_the_same_seed_and_its_faults_happen() {
    for name in Scenario::names() {
        let ledger = ledger_of(name, 3);
        assert_eq!(ledger, ledger_of(name, 3), "{name}");
        let faults = Scenario::named(name).unwrap().faults;
        // What a capacity allows is no event of its own.
        let counted = faults.iter().filter(|fault| fault.kind != FaultKind::Capacity);
        for fault in counted {
            assert!(ledger.injected.contains_key(&fault.name), "{name}: {}", fault.name);
        }
    }
}
