//! E2B's rules, one test for each kind of response that an SDK or a user relies on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::common::{Answer, Created, control, creation, envelopes, secs, send, start_body};
use http::Request;
use http_body_util::Full;
use sandtower_sim::{Config, End, Limits, Plan, Rate, Sim};
use serde_json::{Value, json};
use tokio::time;
use tower::ServiceExt as _;

fn calm() -> Sim {
    Config::new().build().unwrap()
}

async fn post(sim: &Sim, path: &str, body: Value) -> Answer {
    send(sim, control("POST", path, body.to_string())).await
}

async fn get(sim: &Sim, path: &str) -> Answer {
    send(sim, control("GET", path, "")).await
}

fn ids(answer: &Answer) -> Vec<String> {
    let listed = answer.json();
    let ids = listed.as_array().unwrap().iter();
    ids.map(|sandbox| sandbox["sandboxID"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_at_least_one_second_and_never_more_than_the_wait() {
    for (interval, waited, announced) in [(200, 0, "1"), (1_900, 0, "1"), (2_500, 400, "2")] {
        let millis = time::Duration::from_millis;
        let create = Rate::new(millis(interval), 1);
        let limits = Limits { create, ..Plan::Pro.limits() };
        let sim = Config::new().limits(limits).build().unwrap();
        // Both arrive at once: the world's creation takes its time afterwards.
        let (first, second) = tokio::join!(send(&sim, crate::common::base()), async {
            time::sleep(millis(waited)).await;
            send(&sim, crate::common::base()).await
        });
        assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 429), "{interval} ms");
        assert_eq!(second.header("retry-after"), Some(announced), "{interval} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_commands_deadline_ends_it_though_its_client_has_gone() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let start = sandbox.start_builder().header("connect-timeout-ms", "2000");
    let body = Full::new(start_body("sleep 3; echo on > /tmp/on"));
    drop(sim.clone().oneshot(start.body(body).unwrap()).await.unwrap());
    let processes = async || {
        let list = sandbox.envd("POST", "/process.Process/List");
        let list = list.header("content-type", "application/json");
        send(&sim, list.body(Full::from("{}")).unwrap()).await.json()
    };
    time::sleep(secs(1)).await;
    assert_ne!(processes().await, json!({}), "it runs on without its client");
    time::sleep(secs(5)).await;
    assert_eq!(processes().await, json!({}));
    let on = sandbox.envd("GET", "/files?path=/tmp/on").body(Full::default()).unwrap();
    assert_eq!(send(&sim, on).await.status, 404, "it was ended before it came so far");
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_zero_ends_a_sandbox_and_too_long_a_one_is_cut() {
    let sim = calm();
    let killed = Created::new(&sim).await;
    let timeout = |sandbox: &Created, timeout: i64| {
        let path = format!("/sandboxes/{}/timeout", sandbox.id);
        (path, json!({ "timeout": timeout }))
    };
    let (path, body) = timeout(&killed, 0);
    assert_eq!(post(&sim, &path, body).await.status, 204);
    assert_eq!(sim.ledger().sandboxes[0].end, End::Lifetime);
    let body = json!({"templateID": "base", "autoPause": true});
    let paused = Created::of(&send(&sim, creation(&body)).await);
    let (path, body) = timeout(&paused, 0);
    assert_eq!(post(&sim, &path, body).await.status, 204);
    assert_eq!(sim.ledger().paused, 1);
    let cut = Created::new(&sim).await;
    let (path, body) = timeout(&cut, 90_000);
    assert_eq!(post(&sim, &path, body).await.status, 204);
    time::sleep(secs(3_601)).await;
    assert_eq!(sim.active(), 0, "no longer than the plan allows");
    let path = format!("/sandboxes/{}/timeout", Created::new(&sim).await.id);
    for body in [json!({"timeout": -1}), json!({}), json!({"timeout": 1u64 << 40})] {
        assert_eq!(post(&sim, &path, body).await.status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refreshment_is_at_least_fifteen_seconds() {
    let sim = calm();
    let sandbox = Created::of(&post(&sim, "/sandboxes", json!({"templateID": "base"})).await);
    time::sleep(secs(10)).await;
    let path = format!("/sandboxes/{}/refreshes", sandbox.id);
    assert_eq!(post(&sim, &path, json!({"duration": 1})).await.status, 204);
    time::sleep(secs(14)).await;
    assert_eq!(sim.active(), 1);
    time::sleep(secs(2)).await;
    assert_eq!(sim.active(), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_by_all_that_e2b_documents() {
    let sim = Config::new().template("other").plan(Plan::Pro).build().unwrap();
    let first = Created::new(&sim).await.id;
    time::sleep(secs(10)).await;
    let body = json!({"templateID": "other"});
    let second = Created::of(&send(&sim, creation(&body)).await).id;
    let list = async |query: &str| ids(&get(&sim, &format!("/v2/sandboxes?{query}")).await);
    assert_eq!(list("startedAfter=2026-01-01T00:00:05Z").await, vec![second.clone()]);
    assert_eq!(list("startedAfter=2026-01-01T01:00:05%2B01:00").await, vec![second.clone()]);
    assert_eq!(list("startedAfter=2026-01-01T00:01:00.000Z").await, [""; 0]);
    assert_eq!(list("template=other").await, vec![second.clone()]);
    assert_eq!(list("order=asc").await, [first.clone(), second.clone()]);
    assert_eq!(list("order=asc&limit=1").await, vec![first.clone()]);
    assert_eq!(list("unknown=1").await, [second, first], "which is logged");
}

#[tokio::test(start_paused = true)]
async fn metrics_and_logs_are_of_the_time_that_is_asked_for() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    time::sleep(secs(100)).await;
    let path = format!("/sandboxes/{}", sandbox.id);
    let start = 1_767_225_600_u64;
    let metrics = async |query: &str| {
        get(&sim, &format!("{path}/metrics?{query}")).await.json().as_array().unwrap().len()
    };
    assert_eq!(metrics("").await, 2);
    assert_eq!(metrics(&format!("start={}", start + 50)).await, 1);
    assert_eq!(metrics(&format!("end={}", start + 50)).await, 1);
    assert_eq!(metrics(&format!("start={}&end={}", start + 20, start + 50)).await, 0);
    post(&sim, &format!("{path}/pause"), json!({})).await;
    let logs = async |query: &str| {
        let logs = get(&sim, &format!("/v2{path}/logs?{query}")).await.json();
        let logs = logs["logs"].as_array().unwrap().clone();
        logs.iter().map(|log| log["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (started, paused) = ("Sandbox started", "Sandbox paused");
    assert_eq!(logs("").await, [started, paused]);
    assert_eq!(logs("direction=backward&limit=1").await, [paused]);
    assert_eq!(logs("search=started").await, [started]);
    assert_eq!(logs("level=error").await, [""; 0]);
    assert_eq!(logs(&format!("cursor={}", (start + 50) * 1_000)).await, [paused]);
    let old = get(&sim, &format!("{path}/logs?start={}", (start + 50) * 1_000)).await.json();
    assert_eq!(old["logs"].as_array().unwrap().len(), 1);
    assert_eq!(get(&sim, &format!("/v2{path}/logs?level=loud")).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_simulated_is_501_but_an_unknown_sandbox_is_404() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    for (method, path) in [
        ("GET", format!("/sandboxes/{}/checkpoints", sandbox.id)),
        ("POST", String::from("/v3/templates")),
        ("GET", String::from("/templates/base/tags")),
        ("POST", String::from("/volumes")),
        ("GET", String::from("/teams")),
    ] {
        let answer = send(&sim, control(method, &path, "")).await;
        let message = format!("not simulated: {method} {path}");
        assert_eq!(answer.json(), json!({"code": 501, "message": message}));
        assert_eq!(answer.status, 501);
    }
    let unknown = get(&sim, "/sandboxes/inone/checkpoints").await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert_eq!(get(&sim, "/no/such/thing").await.status, 404);
    let keyless = Request::get("/teams").body(Full::default()).unwrap();
    assert_eq!(send(&sim, keyless).await.status, 401);
    // What the simulator cannot run it says, and does nothing.
    let ran = send(&sim, sandbox.start("echo a > /tmp/a; git clone x")).await;
    let messages = envelopes(&ran.body);
    assert_eq!(messages[2].1["event"]["end"]["exitCode"], 127);
    let file = sandbox.envd("GET", "/files?path=/tmp/a").body(Full::default()).unwrap();
    assert_eq!(send(&sim, file).await.status, 404);
    let pty = json!({"process": {"cmd": "bash"}, "pty": {"size": {"cols": 80, "rows": 24}}});
    let pty = sandbox.start_builder().body(Full::new(crate::common::envelope(&pty.to_string())));
    let refused = &envelopes(&send(&sim, pty.unwrap()).await.body)[0].1["error"];
    assert_eq!(refused["code"], "unimplemented");
}

#[tokio::test(start_paused = true)]
async fn templates_that_there_are_exist() {
    let sim = calm();
    assert_eq!(get(&sim, "/templates/aliases/base").await.status, 403, "which is E2B's");
    assert_eq!(get(&sim, "/templates/aliases/nope").await.status, 404);
    let listed = get(&sim, "/templates").await.json();
    assert_eq!(listed[0]["aliases"], json!(["base"]));
    let page = get(&sim, "/v2/templates?limit=1").await;
    assert_eq!(page.json().as_array().unwrap().len(), 1);
    let token = page.header("x-next-token").unwrap();
    let next = get(&sim, &format!("/v2/templates?limit=1&nextToken={token}")).await;
    assert_eq!(next.json()[0]["aliases"], json!(["code-interpreter-v1"]));
    assert_eq!(next.header("x-next-token"), None);
    for path in ["/volumes", "/secrets"] {
        assert_eq!(get(&sim, path).await.json(), json!([]), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_without_public_traffic_asks_for_its_token() {
    let sim = calm();
    let network = json!({"allowPublicTraffic": false});
    let body = json!({"templateID": "code-interpreter-v1", "network": network});
    let answer = send(&sim, creation(&body)).await;
    let sandbox = Created::of(&answer);
    let token = answer.json()["trafficAccessToken"].as_str().unwrap().to_owned();
    let health = async |port: u16, token: Option<&str>| {
        let request = Request::get("/health").header("e2b-sandbox-id", &sandbox.id);
        let request = request.header("e2b-sandbox-port", port);
        let request =
            token.into_iter().fold(request, |r, t| r.header("e2b-traffic-access-token", t));
        send(&sim, request.body(Full::default()).unwrap()).await
    };
    assert_eq!(health(49983, None).await.status, 204, "envd has a token of its own");
    assert_eq!(health(49999, Some(&token)).await.status, 200);
    let missing = health(49999, None).await;
    let message = "Sandbox is secured with traffic access token. \
                   Token header 'e2b-traffic-access-token' is missing";
    let expected = json!({"sandboxId": sandbox.id, "message": message, "code": 403});
    assert_eq!((missing.status.as_u16(), missing.json()), (403, expected));
    let wrong = health(49999, Some("x")).await;
    assert!(
        wrong.text().contains("Provided token in header 'e2b-traffic-access-token' is invalid")
    );
    assert_eq!(health(8080, None).await.status, 403, "before it is known that the port is closed");
    let open = send(&sim, crate::common::base()).await.json();
    assert_eq!(open["trafficAccessToken"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn contexts_are_there_from_the_start_and_results_are_the_servers() {
    let sim = calm();
    let body = json!({"templateID": "code-interpreter-v1"});
    let sandbox = Created::of(&send(&sim, creation(&body)).await);
    let at = async |method: &str, path: &str, body: Value| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("e2b-sandbox-id", &sandbox.id);
        let request = request.header("e2b-sandbox-port", 49999);
        send(&sim, request.body(Full::from(body.to_string())).unwrap()).await
    };
    let contexts = at("GET", "/contexts", json!({})).await.json();
    let languages: Vec<_> =
        contexts.as_array().unwrap().iter().map(|context| context["language"].clone()).collect();
    assert_eq!(languages, ["python", "javascript"]);
    let id = contexts[0]["id"].as_str().unwrap().to_owned();
    let result = async |body: Value| {
        let ran = at("POST", "/execute", body).await;
        let lines = ran.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut results = lines.filter(|line| line["type"] == "result");
        results.next().map(|result| result["text"].as_str().unwrap().to_owned())
    };
    for (code, text) in [("'hi'", "hi"), ("\"it's\"", "\"it's\""), ("'a\\n'", "a\\n"), ("2", "2")] {
        assert_eq!(result(json!({ "code": code })).await.as_deref(), Some(text), "{code}");
    }
    // The default context is the first one, by whatever name.
    result(json!({"code": "x = 1"})).await;
    let same = json!({"code": "x", "context_id": id});
    assert_eq!(result(same).await.as_deref(), Some("1"));
    let same = json!({"code": "x", "language": "Python"});
    assert_eq!(result(same).await.as_deref(), Some("1"));
    let restart = format!("/contexts/{id}/restart");
    let restarted = at("POST", &restart, json!({})).await;
    assert_eq!((restarted.status.as_u16(), restarted.text()), (200, "null"));
    assert_eq!(result(json!({"code": "x"})).await, None);
    for body in [json!({"code": "1", "language": "js"}), json!({"code": "1", "language": "r"})] {
        assert_eq!(at("POST", "/execute", body).await.status, 501);
    }
    assert_eq!(at("POST", "/contexts", json!({"language": "bash"})).await.status, 501);
}

#[tokio::test(start_paused = true)]
async fn a_pause_without_memory_boots_and_only_its_team_resumes_it() {
    let sim = calm();
    let resumes = json!({"enabled": true});
    let body = json!({"templateID": "base", "autoPause": true, "autoResume": resumes});
    let sandbox = Created::of(&send(&sim, creation(&body)).await);
    let file = async |path: &str| {
        let request = sandbox.envd("GET", &format!("/files?path={path}"));
        send(&sim, request.body(Full::default()).unwrap()).await
    };
    let boot_id = async || {
        let read = file("/proc/sys/kernel/random/boot_id").await;
        assert_eq!((read.status.as_u16(), read.body.len()), (200, 37), "{}", read.text());
        read.text().to_owned()
    };
    let path = format!("/sandboxes/{}", sandbox.id);
    let first = boot_id().await;
    send(&sim, sandbox.start("echo kept > /tmp/kept")).await;
    drop(sim.clone().oneshot(sandbox.start("sleep 60; echo on > /tmp/on")).await.unwrap());
    post(&sim, &format!("{path}/pause"), json!({})).await;
    let detail = get(&sim, &path).await.json();
    assert_eq!((&detail["state"], &detail["pauseMode"]), (&json!("paused"), &json!("full")));
    assert_eq!(boot_id().await, first, "traffic wakes it, from its memory");
    post(&sim, &format!("{path}/pause"), json!({"memory": false})).await;
    assert_eq!(get(&sim, &path).await.json()["pauseMode"], "filesystem");
    assert_eq!(file("/tmp/kept").await.status, 502, "traffic does not boot it");
    let connect = format!("/v2{path}/connect");
    assert_eq!(post(&sim, &connect, json!({})).await.status, 201);
    let second = boot_id().await;
    assert_ne!(second, first);
    assert_eq!(file("/tmp/kept").await.text(), "kept\n");
    time::sleep(secs(100)).await;
    assert_eq!(file("/tmp/on").await.status, 404, "what ran has ended");
    post(&sim, &format!("{path}/pause"), json!({})).await;
    post(&sim, &connect, json!({"memory": false})).await;
    assert_ne!(boot_id().await, second, "it can be booted though it has its memory");
}

#[tokio::test(start_paused = true)]
async fn forks_and_snapshots_start_with_the_files() {
    let sim = Config::new().plan(Plan::Pro).build().unwrap();
    let body = json!({"templateID": "base", "metadata": {"app": "x"}});
    let original = Created::of(&send(&sim, creation(&body)).await);
    send(&sim, original.start("echo before > /tmp/f")).await;
    let read = async |of: &Created| {
        let read = of.envd("GET", "/files?path=/tmp/f").body(Full::default()).unwrap();
        send(&sim, read).await.text().to_owned()
    };
    let path = format!("/sandboxes/{}", original.id);
    let forked = post(&sim, &format!("{path}/fork"), json!({"count": 2, "timeout": 60})).await;
    assert_eq!(forked.status, 201);
    let forked = forked.json();
    let forks: Vec<_> = forked.as_array().unwrap().iter().map(|f| f["sandbox"].clone()).collect();
    assert_eq!(forks.len(), 2);
    let fork = Created {
        id: forks[0]["sandboxID"].as_str().unwrap().to_owned(),
        token: forks[0]["envdAccessToken"].as_str().unwrap().to_owned(),
    };
    let named = post(&sim, &format!("{path}/snapshots"), json!({"name": "mine"})).await;
    assert_eq!(named.status, 201, "{}", named.text());
    assert_eq!(named.json(), json!({"snapshotID": "team/mine:default", "names": ["team/mine"]}));
    let plain = post(&sim, &format!("{path}/snapshots"), json!({"memory": false})).await.json();
    send(&sim, original.start("echo after > /tmp/f")).await;
    assert_eq!(
        (read(&fork).await.as_str(), read(&original).await.as_str()),
        ("before\n", "after\n")
    );
    let info = get(&sim, &format!("/sandboxes/{}", fork.id)).await.json();
    assert_eq!(info["metadata"], json!({"app": "x"}));

    for template in
        ["mine", "team/mine", "team/mine:default", plain["snapshotID"].as_str().unwrap()]
    {
        let created = send(&sim, creation(&json!({ "templateID": template }))).await;
        assert_eq!(read(&Created::of(&created)).await, "before\n", "{template}");
    }
    let snapshots = async |query: &str| {
        let listed = get(&sim, &format!("/snapshots?{query}")).await.json();
        listed.as_array().unwrap().iter().map(|s| s["snapshotID"].clone()).collect::<Vec<_>>()
    };
    let both = [plain["snapshotID"].clone(), json!("team/mine:default")];
    assert_eq!(snapshots("").await, both, "the newest first");
    assert_eq!(snapshots("name=mine").await, both[1..]);
    assert_eq!(snapshots(&format!("sandboxID={}&limit=1", original.id)).await, both[..1]);
    assert_eq!(snapshots(&format!("sandboxID={}", fork.id)).await, [""; 0]);
    assert_eq!(get(&sim, "/templates/aliases/mine").await.status, 200);
    let other = Request::post("/v2/sandboxes").header("x-api-key", "e2b_other");
    let other = other.body(Full::from(r#"{"templateID": "mine"}"#)).unwrap();
    assert_eq!(send(&sim, other).await.status, 404, "another team's");
    let delete = || control("DELETE", "/templates/team%2Fmine%3Adefault", "");
    assert_eq!(send(&sim, delete()).await.status, 204);
    assert_eq!(send(&sim, delete()).await.status, 404);
    assert_eq!(send(&sim, creation(&json!({"templateID": "mine"}))).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn forks_and_snapshots_that_cannot_be_say_why() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let path = format!("/sandboxes/{}", sandbox.id);
    let fork = async |body: Value| {
        let answer = post(&sim, &format!("{path}/fork"), body).await;
        (answer.status.as_u16(), answer.json()["message"].as_str().unwrap_or_default().to_owned())
    };
    for (body, message) in [
        (json!({"count": 0}), "Count must be at least 1"),
        (json!({"count": 101}), "Count cannot be greater than 100"),
        (
            json!({"count": 20}),
            "Count must be lower than the maximum number of concurrent sandboxes (20)",
        ),
        (json!({"timeout": 0}), "Timeout must be greater than 0"),
    ] {
        assert_eq!(fork(body).await, (400, message.to_owned()));
    }
    // Each fork succeeds or fails alone: 1 + 18 + 18 are more than 20.
    assert_eq!(fork(json!({"count": 18})).await.0, 201);
    let answer = post(&sim, &format!("{path}/fork"), json!({"count": 3})).await.json();
    let results: Vec<_> =
        answer.as_array().unwrap().iter().map(|r| r["error"]["code"].clone()).collect();
    assert_eq!(results, [Value::Null, json!(429), json!(429)]);
    assert_eq!(post(&sim, &format!("{path}/snapshots"), json!({"name": "a b"})).await.status, 400);
    post(&sim, &format!("{path}/pause"), json!({})).await;
    assert_eq!(fork(json!({})).await.0, 409);
    assert_eq!(post(&sim, &format!("{path}/snapshots"), json!({})).await.status, 409);
    assert_eq!(post(&sim, "/sandboxes/inone/fork", json!({})).await.status, 404);
    assert_eq!(post(&sim, "/sandboxes/inone/snapshots", json!({})).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn network_rules_are_kept() {
    let sim = calm();
    let body = json!({"templateID": "base", "allow_internet_access": false,
        "network": {"allowPublicTraffic": false, "allowOut": ["1.1.1.1"]}});
    let sandbox = Created::of(&send(&sim, creation(&body)).await);
    let path = format!("/sandboxes/{}", sandbox.id);
    let info = get(&sim, &path).await.json();
    assert_eq!(info["allowInternetAccess"], false);
    let rules = json!({"denyOut": ["0.0.0.0/0"]}).to_string();
    let update = control("PUT", &format!("{path}/network"), rules);
    assert_eq!(send(&sim, update).await.status, 204);
    let network = &get(&sim, &path).await.json()["network"];
    assert_eq!(*network, json!({"denyOut": ["0.0.0.0/0"], "allowPublicTraffic": false}));
    let unknown = control("PUT", "/sandboxes/inone/network", "{}");
    assert_eq!(send(&sim, unknown).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_files_metadata_comes_with_it_and_goes_with_it() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let upload = async |path: &str, metadata: &[(&str, &str)]| {
        let request = sandbox.envd("POST", &format!("/files?path={path}"));
        let request = request.header("content-type", "application/octet-stream");
        let request = metadata.iter().fold(request, |r, (name, value)| r.header(*name, *value));
        send(&sim, request.body(Full::from("x")).unwrap()).await
    };
    let stat = async |rpc: &str, message: Value| {
        let request = sandbox.envd("POST", &format!("/filesystem.Filesystem/{rpc}"));
        let request = request.header("content-type", "application/json");
        send(&sim, request.body(Full::from(message.to_string())).unwrap()).await.json()
    };
    let written = upload("/tmp/a", &[("X-Metadata-Author", "me"), ("x-metadata-n", "1")]).await;
    let metadata = json!({"author": "me", "n": "1"});
    assert_eq!(written.json()[0]["metadata"], metadata);
    let moved = stat("Move", json!({"source": "/tmp/a", "destination": "/tmp/b"})).await;
    assert_eq!(moved["entry"]["metadata"], metadata);
    send(&sim, sandbox.start("echo more >> /tmp/b")).await;
    assert_eq!(stat("Stat", json!({"path": "/tmp/b"})).await["entry"]["metadata"], metadata);
    upload("/tmp/b", &[("x-metadata-n", "2")]).await;
    let listed = stat("ListDir", json!({"path": "/tmp"})).await;
    assert_eq!(listed["entries"][0]["metadata"], json!({"n": "2"}), "replaced as a whole");
    let none = upload("/tmp/b", &[]).await;
    assert_eq!(none.json()[0].get("metadata"), None);
    assert_eq!(upload("/tmp/b", &[("x-metadata-n", "\u{e9}")]).await.status, 400);
    let full = upload("/tmp/b", &[("x-metadata-n", &"y".repeat(5_000))]).await;
    assert_eq!(full.status, 507);
    let odd = sandbox.envd("POST", "/files?path=/x").header("content-type", "text/plain");
    let odd = send(&sim, odd.body(Full::from("x")).unwrap()).await;
    assert!(odd.text().contains("unsupported content type: text/plain"), "{}", odd.text());
}

#[tokio::test(start_paused = true)]
async fn a_signed_url_over_one_base_url_finds_its_sandbox() {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    use sha2::{Digest as _, Sha256};

    let sim = Config::new().plan(Plan::Pro).build().unwrap();
    let sandboxes = [Created::new(&sim).await, Created::new(&sim).await, Created::new(&sim).await];
    for (sandbox, text) in sandboxes.iter().zip(["one", "two", "three"]) {
        send(&sim, sandbox.start(&format!("echo {text} > /tmp/f"))).await;
    }
    let signed = |sandbox: &Created, operation: &str| {
        let raw = format!("/tmp/f:{operation}::{}", sandbox.token);
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(raw)).replace('+', "%2B");
        format!("/files?path=/tmp/f&signature=v1_{digest}")
    };
    let plain = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/octet-stream");
        send(&sim, request.body(Full::from("new")).unwrap()).await
    };
    for (sandbox, text) in sandboxes.iter().zip(["one\n", "two\n", "three\n"]) {
        assert_eq!(plain("GET", &signed(sandbox, "read")).await.text(), text);
    }
    assert_eq!(plain("POST", &signed(&sandboxes[1], "write")).await.status, 200);
    assert_eq!(plain("GET", &signed(&sandboxes[1], "read")).await.text(), "new");
    assert_eq!(plain("POST", &signed(&sandboxes[1], "read")).await.status, 401);
    assert_eq!(plain("GET", "/files?path=/tmp/f&signature=v1_x").await.status, 401);
    let unclear = plain("GET", "/files?path=/tmp/f").await;
    assert_eq!(unclear.status, 400);
    assert!(unclear.text().contains("E2b-Sandbox-Id"), "{}", unclear.text());
    // Some versions of the SDKs send the token and no sandbox.
    let token = Request::get("/files?path=/tmp/f").header("x-access-token", &sandboxes[2].token);
    assert_eq!(send(&sim, token.body(Full::default()).unwrap()).await.text(), "three\n");
}
