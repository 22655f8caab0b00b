//! The control plane: its responses, its limits and its errors are E2B's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::common::{Answer, Created, KEY, base, control, creation, secs, send};
use http::Request;
use http_body_util::Full;
use sandtower_sim::{Config, End, Limits, Plan, Rate, Sim};
use serde_json::{Value, json};
use tokio::time;

fn calm() -> Sim {
    Config::new().build().unwrap()
}

/// Limits that do not get in the way of what is tested.
fn unlimited() -> Limits {
    Limits { create: Rate::new(secs(0), 1), concurrent_sandboxes: 1_000, ..Plan::Pro.limits() }
}

#[tokio::test(start_paused = true)]
async fn a_sandboxs_life_is_as_recorded() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/control_plane.json")).unwrap();
    let (sim, mut id) = (calm(), String::new());
    for case in fixture["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let asked = &case["request"];
        let path = asked["path"].as_str().unwrap().replace("<id>", &id);
        let body = asked.get("body").map(Value::to_string).unwrap_or_default();
        let answer = send(&sim, control(asked["method"].as_str().unwrap(), &path, body)).await;
        assert_eq!(json!(answer.status.as_u16()), case["status"], "{name}");
        if name == "create" {
            id = Created::of(&answer).id;
            assert_eq!((id.len(), &id[..1]), (21, "i"));
        }
        let mut found = answer.json();
        let fields = case["fields"].to_string().replace("<id>", &id);
        let fields: Value = serde_json::from_str(&fields).unwrap();
        for (field, expected) in fields.as_object().into_iter().flatten() {
            if expected == "<text>" {
                assert!(found[field].is_string(), "{name}: {field}");
                found[field] = json!("<text>");
            }
        }
        assert_eq!(found, fields, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn creations_are_limited_by_gcra_and_every_response_tells_how() {
    let sim = calm();
    let told = |answer: &Answer| {
        ["retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
            .map(|name| answer.header(name).map(|value| value.parse::<u64>().unwrap()))
    };
    // Five at once: the calm world takes a tenth of a second for each, the limiter a second.
    let burst: Vec<_> = (0..5).map(|_| tokio::spawn(send_base(sim.clone()))).collect();
    for (remaining, answer) in (0..5).rev().zip(burst) {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 201);
        assert_eq!(told(&answer), [None, Some(5), Some(remaining), Some(5 - remaining)]);
    }
    let refused = send(&sim, base()).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json(), json!({"code": 429, "message": "Rate limit exceeded"}));
    assert_eq!(told(&refused), [Some(1), Some(5), Some(0), Some(5)]);
    time::sleep(secs(1)).await;
    assert_eq!(send(&sim, base()).await.status, 201);
    let creates = sim.ledger().creates;
    assert_eq!((creates.received, creates.created, creates.rate_limited), (7, 6, 1));
    // Another team, and another route of the same team, have limits of their own.
    let other = Request::post("/v2/sandboxes").header("x-api-key", "e2b_other");
    let other = other.body(Full::from(r#"{"templateID": "base"}"#)).unwrap();
    assert_eq!(send(&sim, other).await.status, 201);
    let list = send(&sim, control("GET", "/v2/sandboxes", "")).await;
    assert_eq!(told(&list), [None, Some(20_000), Some(19_999), Some(1)]);
}

async fn send_base(sim: Sim) -> Answer {
    send(&sim, base()).await
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_freed_by_an_end_and_not_by_time() {
    let limits = Limits { concurrent_sandboxes: 2, ..unlimited() };
    let sim = Config::new().limits(limits).build().unwrap();
    let first = Created::new(&sim).await;
    // One runs and one is being created: a third is too many already.
    let (second, third) = tokio::join!(send(&sim, base()), send(&sim, base()));
    assert_eq!((second.status.as_u16(), third.status.as_u16()), (201, 429));
    let message = third.json()["message"].as_str().unwrap().to_owned();
    let begins = "you have reached the maximum number of concurrent E2B sandboxes (2)";
    assert!(message.starts_with(begins), "{message}");
    assert_eq!(third.header("retry-after"), None);
    time::sleep(secs(60)).await;
    assert_eq!(send(&sim, base()).await.status, 429);
    send(&sim, first.kill()).await;
    assert_eq!(send(&sim, base()).await.status, 201);
    assert_eq!(sim.ledger().creates.over_quota, 2);
}

#[tokio::test(start_paused = true)]
async fn lifetimes_end_sandboxes_when_they_should() {
    let sim = Config::new().limits(unlimited()).build().unwrap();
    let create = |path, body: Value| control("POST", path, body.to_string());
    let v1 = Created::of(&send(&sim, create("/sandboxes", json!({"templateID": "base"}))).await);
    let v2 = Created::new(&sim).await;
    let asked = creation(&json!({"templateID": "base", "timeout": 60}));
    let asked = Created::of(&send(&sim, asked).await);
    let connect = |timeout: u64| {
        control(
            "POST",
            &format!("/sandboxes/{}/connect", asked.id),
            format!("{{\"timeout\":{timeout}}}"),
        )
    };
    assert_eq!(send(&sim, connect(10)).await.status, 200, "which does not shorten");
    time::sleep(secs(400)).await;
    assert_eq!(sim.active(), 0);
    for (sandbox, lived) in [(v1, 15), (v2, 300), (asked, 60)] {
        let ledger = sim.ledger();
        let record = ledger.sandboxes.iter().find(|record| record.id == sandbox.id).unwrap();
        assert_eq!(record.end, End::Lifetime);
        assert_eq!(record.ended_at.unwrap() - record.created_at, secs(lived));
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_makes_a_sandbox_outlive_the_plan() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let path = format!("/sandboxes/{}/timeout", sandbox.id);
    for _ in 0..14 {
        let answer = send(&sim, control("POST", &path, r#"{"timeout": 3600}"#)).await;
        assert_eq!(answer.status, 204);
        time::sleep(secs(250)).await;
    }
    time::sleep(secs(110)).await;
    let record = sim.ledger().sandboxes.remove(0);
    assert_eq!(record.ended_at.unwrap() - record.created_at, secs(3600));
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_and_paged() {
    let sim = Config::new().limits(unlimited()).build().unwrap();
    for n in 0..5 {
        let metadata = json!({"app": "x y", "req": if n == 3 { "a&b=c" } else { "-" }});
        send(&sim, creation(&json!({"templateID": "base", "metadata": metadata}))).await;
    }
    let list =
        async |query: &str| send(&sim, control("GET", &format!("/v2/sandboxes{query}"), "")).await;
    let ids = |answer: &Answer| -> Vec<String> {
        let listed = answer.json();
        let ids = listed.as_array().unwrap().iter();
        ids.map(|sandbox| sandbox["sandboxID"].as_str().unwrap().to_owned()).collect()
    };
    let all = list("").await;
    assert_eq!((ids(&all).len(), all.header("x-total-running")), (5, Some("5")));
    let one = list("?metadata=app%3Dx%252520y%26req%3Da%252526b%25253Dc").await;
    assert_eq!(ids(&one), ids(&all)[1..2]);
    assert_eq!(ids(&list("?metadata=app%3Dother").await).len(), 0);
    assert_eq!(ids(&list("?state=paused").await).len(), 0);
    assert_eq!(ids(&list("?state=running,paused").await).len(), 5);
    let (mut paged, mut query) = (Vec::new(), String::from("?limit=2"));
    loop {
        let page = list(&query).await;
        paged.extend(ids(&page));
        let Some(token) = page.header("x-next-token") else { break };
        query = format!("?limit=2&nextToken={token}");
    }
    assert_eq!(paged, ids(&all));
    let v1 = send(&sim, control("GET", "/sandboxes", "")).await;
    assert_eq!(ids(&v1), ids(&all));
    let other = Request::get("/v2/sandboxes").header("x-api-key", "e2b_other");
    let other = send(&sim, other.body(Full::default()).unwrap()).await;
    assert_eq!(other.json(), json!([]), "another team's");
}

#[tokio::test(start_paused = true)]
async fn keys_are_needed_and_a_team_sees_its_own_sandboxes_only() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let info = |key: Option<&str>| {
        let request = Request::get(format!("/sandboxes/{}", sandbox.id));
        let request = key.into_iter().fold(request, |r, key| r.header("x-api-key", key));
        request.body(Full::default()).unwrap()
    };
    for key in [None, Some(""), Some("e2b_"), Some("sk_123"), Some(&"e2b_x".repeat(200))] {
        let answer = send(&sim, info(key)).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (401, &json!(401)), "{key:?}");
    }
    assert_eq!(send(&sim, info(Some("e2b_other"))).await.status, 404);
    assert_eq!(send(&sim, info(Some(KEY))).await.status, 200);
    let strict = Config::new().api_keys(["secret"]).build().unwrap();
    assert_eq!(send(&strict, base()).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn malformed_requests_get_e2bs_errors() {
    let sim = Config::new().limits(unlimited()).build().unwrap();
    let sandbox = Created::new(&sim).await;
    let create = "/v2/sandboxes";
    let timeout = format!("/sandboxes/{}/timeout", sandbox.id);
    let connect = format!("/sandboxes/{}/connect", sandbox.id);
    let long = format!("{{\"templateID\": \"{}\"}}", "x".repeat(100_000));
    let cases = [
        ("POST", create, "", 400),
        ("POST", create, "{", 400),
        ("POST", create, "[]", 400),
        ("POST", create, "{}", 400),
        ("POST", create, "\u{0}", 400),
        ("POST", create, &long, 400),
        ("POST", create, r#"{"templateID": 1}"#, 400),
        ("POST", create, r#"{"templateID": "base", "timeout": 0}"#, 400),
        ("POST", create, r#"{"templateID": "base", "timeout": -5}"#, 400),
        ("POST", create, r#"{"templateID": "base", "timeout": 86401}"#, 400),
        ("POST", create, r#"{"templateID": "base", "timeout": 1e99}"#, 400),
        ("POST", create, r#"{"templateID": "base", "metadata": {"a": 1}}"#, 400),
        ("POST", create, r#"{"templateID": "nope"}"#, 404),
        ("POST", &timeout, "{}", 400),
        ("POST", &timeout, r#"{"timeout": 9223372036854775807}"#, 400),
        ("POST", &connect, r#"{"timeout": "x"}"#, 400),
        ("POST", "/sandboxes/inone/timeout", r#"{"timeout": 9}"#, 404),
        ("GET", "/sandboxes/i%00", "", 400),
        ("GET", "/v2/sandboxes?limit=0", "", 400),
        ("GET", "/v2/sandboxes?limit=101", "", 400),
        ("GET", "/v2/sandboxes?limit=x", "", 400),
        ("GET", "/v2/sandboxes?nextToken=x", "", 400),
        ("GET", "/v2/sandboxes?state=asleep", "", 400),
        ("GET", "/v2/sandboxes?order=up", "", 400),
        ("GET", "/v2/sandboxes?startedAfter=yesterday", "", 400),
        ("POST", &timeout, r#"{"timeout": -1}"#, 400),
        ("POST", &connect, "{}", 400),
        ("POST", &connect, r#"{"timeout": -1}"#, 400),
        ("POST", &connect, r#"{"timeout": 86401}"#, 400),
        (
            "POST",
            create,
            r#"{"templateID": "base", "autoResume": true, "autoPauseMemory": false}"#,
            400,
        ),
        ("GET", "/v2/sandboxes?metadata=%zz", "", 400),
        ("DELETE", "/v2/sandboxes", "", 405),
        ("GET", "/nope", "", 404),
    ];
    for (method, path, body, status) in cases {
        let answer = send(&sim, control(method, path, body.to_owned())).await;
        let begin: String = body.chars().take(60).collect();
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {begin}");
        assert_eq!(answer.json()["code"], json!(status), "{method} {path} {begin}");
        assert!(answer.json()["message"].is_string());
    }
    let too_long = creation(&json!({"templateID": "base", "timeout": 86_401}));
    let message = "Timeout cannot be greater than 24 hours";
    assert_eq!(send(&sim, too_long).await.json()["message"], message);
    assert_eq!(sim.active(), 1);
    for (name, value) in [("e2b-sandbox-id", "i1"), ("e2b-sandbox-port", "1")] {
        let half = Request::get("/").header(name, value).body(Full::default()).unwrap();
        assert_eq!(send(&sim, half).await.status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_template_may_be_of_another_envd() {
    let sim = Config::new().template_with_envd("old", "0.0.9").build().unwrap();
    let old = send(&sim, creation(&json!({"templateID": "old"}))).await.json();
    assert_eq!((&old["envdVersion"], &old["alias"]), (&json!("0.0.9"), &json!("old")));
    let listed = send(&sim, control("GET", "/v2/sandboxes", "")).await.json();
    assert_eq!(listed[0]["envdVersion"], "0.0.9");
    assert_eq!(send(&sim, base()).await.json()["envdVersion"], "0.6.13");
}

#[tokio::test(start_paused = true)]
async fn the_ledger_tells_when_a_team_found_a_sandbox() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    assert_eq!(sim.ledger().sandboxes[0].found_at, None);
    time::sleep(secs(9)).await;
    send(&sim, control("GET", "/v2/sandboxes?metadata=no%3Dsuch", "")).await;
    assert_eq!(sim.ledger().sandboxes[0].found_at, None, "a list without it");
    send(&sim, control("GET", "/v2/sandboxes", "")).await;
    let found = sim.ledger().sandboxes[0].found_at;
    assert_eq!(found.map(|at| at.as_secs()), Some(9));
    send(&sim, control("GET", &format!("/sandboxes/{}", sandbox.id), "")).await;
    assert_eq!(sim.ledger().sandboxes[0].found_at, found, "the first time counts");
}

#[tokio::test(start_paused = true)]
async fn health_and_ledger_need_no_key() {
    let sim = calm();
    Created::new(&sim).await;
    let open = async |path| send(&sim, Request::get(path).body(Full::default()).unwrap()).await;
    assert_eq!(open("/health").await.text(), "Health check successful");
    let ledger = open("/_sim/ledger").await.json();
    assert_eq!(ledger["creates"]["created"], 1);
    assert_eq!(ledger["sandboxes"][0]["end"], "still_running");
    assert_eq!(ledger, serde_json::to_value(sim.ledger()).unwrap());
}
