//! Inside a sandbox: files, processes and code, over the same requests as the official SDKs send.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::common::{Answer, Created, envelope, envelopes, secs, send, start_body};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use proptest::prelude::*;
use sandtower_sim::{Config, Sim};
use serde_json::{Value, json};
use tokio::time;
use tower::ServiceExt as _;

async fn calm() -> (Sim, Created) {
    let sim = Config::new().build().unwrap();
    let sandbox = Created::new(&sim).await;
    (sim, sandbox)
}

async fn unary(sim: &Sim, sandbox: &Created, rpc: &str, message: Value) -> Answer {
    let request = sandbox.envd("POST", rpc).header("content-type", "application/json");
    send(sim, request.body(Full::from(message.to_string())).unwrap()).await
}

async fn get(sim: &Sim, sandbox: &Created, path: &str) -> Answer {
    send(sim, sandbox.envd("GET", path).body(Full::default()).unwrap()).await
}

async fn put(sim: &Sim, sandbox: &Created, path: &str, content: impl Into<Bytes>) -> Answer {
    let request = sandbox.envd("POST", path).header("content-type", "application/octet-stream");
    send(sim, request.body(Full::from(content.into())).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn files_respond_as_recorded() {
    let (sim, sandbox) = calm().await;
    let written = put(&sim, &sandbox, "/files?path=/tmp/e2bcap/o.bin", &b"\0binary\n"[..]).await;
    assert_eq!(written.header("content-type"), Some("text/plain; charset=utf-8"));
    let path = "/tmp/e2bcap/o.bin";
    assert_eq!(written.json(), json!([{"name": "o.bin", "path": path, "type": "file"}]));
    let read = get(&sim, &sandbox, "/files?path=/tmp/e2bcap/o.bin").await;
    assert_eq!((read.status.as_u16(), &read.body[..]), (200, &b"\0binary\n"[..]));
    for (name, value) in [
        ("accept-ranges", "bytes"),
        ("content-disposition", "inline; filename=o.bin"),
        ("content-type", "application/octet-stream"),
        ("vary", "Accept-Encoding"),
    ] {
        assert_eq!(read.header(name), Some(value), "{name}");
    }
    assert!(read.header("last-modified").is_some());
    let range = sandbox.envd("GET", "/files?path=/tmp/e2bcap/o.bin").header("range", "bytes=1-3");
    let part = send(&sim, range.body(Full::default()).unwrap()).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, "bin"));
    assert_eq!(part.header("content-range"), Some("bytes 1-3/8"));

    for (path, status, message) in [
        ("/files?path=/nope", 404, "path '/nope' does not exist"),
        ("/files?path=/tmp", 400, "path '/tmp' is a directory"),
        (
            "/files?path=/tmp/x&username=nosuch",
            401,
            "error looking up user 'nosuch': user: unknown user nosuch",
        ),
    ] {
        let refused = get(&sim, &sandbox, path).await;
        assert_eq!(refused.json(), json!({"code": status, "message": message}), "{path}");
        assert_eq!(refused.header("x-content-type-options"), Some("nosniff"));
    }
    let picky = sandbox.envd("GET", "/files?path=/tmp/e2bcap/o.bin");
    let picky = picky.header("accept-encoding", "br, identity;q=0").body(Full::default());
    assert_eq!(send(&sim, picky.unwrap()).await.status, 406);
    let full = put(&sim, &sandbox, "/files?path=/tmp/big", vec![0; 16 << 20]).await;
    assert_eq!((full.status.as_u16(), &full.json()["code"]), (507, &json!(507)));
    let longer = put(&sim, &sandbox, "/files?path=/tmp/big", vec![0; 20 << 20]).await;
    assert_eq!(longer.status, 507);
    let none = Request::get("/files?path=/tmp/e2bcap/o.bin");
    let none = none.header("e2b-sandbox-id", &sandbox.id).header("e2b-sandbox-port", 49983);
    let refused = send(&sim, none.body(Full::default()).unwrap()).await;
    let message = "missing signature query parameter";
    assert_eq!(refused.json(), json!({"code": 401, "message": message}));
    let patch = sandbox.envd("PATCH", "/files?path=/x").body(Full::default()).unwrap();
    assert_eq!(send(&sim, patch).await.status, 405);
}

#[tokio::test(start_paused = true)]
async fn the_filesystem_responds_as_recorded() {
    let (sim, sandbox) = calm().await;
    let rpc = async |method: &str, message: Value| {
        let path = format!("/filesystem.Filesystem/{method}");
        let answer = unary(&sim, &sandbox, &path, message).await;
        (answer.status.as_u16(), answer.json())
    };
    let lstat = "lstat /nope: no such file or directory";
    let message = format!("path not found: {lstat}");
    let not_found = (404, json!({"code": "not_found", "message": message}));
    assert_eq!(rpc("ListDir", json!({"path": "/nope", "depth": 1})).await, not_found);
    let message = format!("file not found: {lstat}");
    let not_found = (404, json!({"code": "not_found", "message": message}));
    assert_eq!(rpc("Stat", json!({"path": "/nope"})).await, not_found);
    let (status, mut made) = rpc("MakeDir", json!({"path": "/tmp/e2bcap/d1"})).await;
    assert!(made["entry"]["modifiedTime"].take().is_string());
    let entry = json!({
        "name": "d1", "type": "FILE_TYPE_DIRECTORY", "path": "/tmp/e2bcap/d1", "size": "4096",
        "mode": 493, "permissions": "drwxr-xr-x", "owner": "user", "group": "user",
        "modifiedTime": null,
    });
    assert_eq!((status, made), (200, json!({ "entry": entry })));
    let message = "directory already exists: /tmp/e2bcap/d1";
    let exists = (409, json!({"code": "already_exists", "message": message}));
    assert_eq!(rpc("MakeDir", json!({"path": "/tmp/e2bcap/d1"})).await, exists);
    put(&sim, &sandbox, "/files?path=/tmp/e2bcap/hello.txt", "hello world\n").await;
    let (_, listed) = rpc("ListDir", json!({"path": "/tmp/e2bcap", "depth": 1})).await;
    assert_eq!(listed["entries"][1]["size"], "12");
    assert_eq!(listed["entries"][1]["permissions"], "-rw-r--r--");
    let to = json!({"source": "/tmp/e2bcap/hello.txt", "destination": "/tmp/new/h.txt"});
    assert_eq!(rpc("Move", to.clone()).await.1["entry"]["name"], "h.txt");
    assert_eq!(rpc("Move", to).await.0, 404);
    assert_eq!(rpc("Remove", json!({"path": "/tmp/new"})).await, (200, json!({})));
    assert_eq!(rpc("Remove", json!({"path": "/tmp/new"})).await, (200, json!({})));
    assert_eq!(rpc("ListDir", json!({"path": "/tmp/new"})).await.0, 404);
    assert_eq!(rpc("ListDir", json!({"path": 1})).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn processes_are_found_fed_and_ended() {
    let (sim, sandbox) = calm().await;
    let process = async |method: &str, message: Value| {
        let path = format!("/process.Process/{method}");
        let answer = unary(&sim, &sandbox, &path, message).await;
        (answer.status.as_u16(), answer.json())
    };
    assert_eq!(process("List", json!({})).await, (200, json!({})));
    let message = "process with pid 999999 not found";
    let missing = json!({"code": "not_found", "message": message});
    let kill = json!({"process": {"pid": 999_999}, "signal": "SIGNAL_SIGKILL"});
    assert_eq!(process("SendSignal", kill).await, (404, missing.clone()));

    // A client that goes away leaves its command running, and finds it by its tag.
    let config = json!({"cmd": "/bin/bash", "args": ["-c", "cat"]});
    let start = json!({"process": config, "tag": "req-123", "stdin": true}).to_string();
    let request = sandbox.start_builder().body(Full::new(envelope(&start))).unwrap();
    drop(sim.clone().oneshot(request).await.unwrap());
    time::sleep(secs(5)).await;
    let listed = json!({"processes": [{"config": config, "pid": 1, "tag": "req-123"}]});
    assert_eq!(process("List", json!({})).await, (200, listed));
    let connect = sandbox.envd("POST", "/process.Process/Connect");
    let connect = connect.header("content-type", "application/connect+json");
    let connect = connect.header("keepalive-ping-interval", "2");
    let tag = json!({"process": {"tag": "req-123"}});
    let body = Full::new(envelope(&tag.to_string()));
    let stream = sim.clone().oneshot(connect.body(body).unwrap()).await.unwrap().into_body();
    let reading = tokio::spawn(stream.collect());
    time::sleep(secs(3)).await;
    let input = json!({"process": {"tag": "req-123"}, "input": {"stdin": "YWJjCg=="}});
    assert_eq!(process("SendInput", input.clone()).await, (200, json!({})));
    assert_eq!(process("Update", tag.clone()).await, (200, json!({})));
    assert_eq!(process("CloseStdin", tag.clone()).await, (200, json!({})));
    let read = reading.await.unwrap().unwrap().to_bytes();
    let read: Vec<_> = envelopes(&read).into_iter().map(|(_, message)| message).collect();
    let expected = [
        json!({"event": {"start": {"pid": 1}}}),
        json!({"event": {"keepalive": {}}}),
        json!({"event": {"data": {"stdout": "YWJjCg=="}}}),
        json!({"event": {"end": {"exited": true, "status": "exit status 0"}}}),
        json!({}),
    ];
    assert_eq!(read, expected);
    assert_eq!(process("SendInput", input).await.0, 404, "it has ended");

    let sleeping = tokio::spawn({
        let (sim, request) = (sim.clone(), sandbox.start("sleep 60"));
        async move { send(&sim, request).await }
    });
    time::sleep(secs(1)).await;
    let signal = json!({"process": {"pid": 2}, "signal": "SIGNAL_SIGKILL"});
    assert_eq!(process("SendSignal", signal).await, (200, json!({})));
    let end = json!({"event": {"end":
        {"exitCode": -1, "status": "signal: killed", "error": "signal: killed"}}});
    assert_eq!(envelopes(&sleeping.await.unwrap().body)[1].1, end);
    let input = json!({"process": {"pid": 3}, "input": {"stdin": "!"}});
    tokio::spawn(sim.clone().oneshot(sandbox.start("sleep 9")));
    time::sleep(secs(1)).await;
    assert_eq!(process("SendInput", input).await.0, 400);
    let no_input = json!({"process": {"pid": 3}, "input": {"stdin": "YQ=="}});
    assert_eq!(process("SendInput", no_input).await.0, 500, "its input was never open");
    let odd = json!({"process": {"pid": 3}, "signal": "SIGNAL_HANGUP"});
    assert_eq!(process("SendSignal", odd).await.0, 501);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_outlives_its_deadline_is_killed() {
    let (sim, sandbox) = calm().await;
    let request = sandbox.start_builder().header("connect-timeout-ms", "1000");
    let request = request.body(Full::new(start_body("sleep 60"))).unwrap();
    let answer = send(&sim, request).await;
    assert_eq!(envelopes(&answer.body)[1].1["error"]["code"], "deadline_exceeded");
    time::sleep(secs(1)).await;
    let listed = unary(&sim, &sandbox, "/process.Process/List", json!({})).await;
    assert_eq!(listed.json(), json!({}));
}

#[tokio::test(start_paused = true)]
async fn a_paused_sandbox_keeps_its_files_and_its_commands_do_not_go_on() {
    let (sim, sandbox) = calm().await;
    put(&sim, &sandbox, "/files?path=/tmp/kept", "kept").await;
    drop(sim.clone().oneshot(sandbox.start("sleep 5; echo on > /tmp/on")).await.unwrap());
    let path = |what: &str| format!("/sandboxes/{}/{what}", sandbox.id);
    let control = async |what: &str, body: &str| {
        send(&sim, crate::common::control("POST", &path(what), body.to_owned()))
            .await
            .status
            .as_u16()
    };
    assert_eq!(control("resume", "{}").await, 409);
    assert_eq!(control("pause", "{}").await, 204);
    assert_eq!(control("pause", "{}").await, 409);
    assert_eq!(sim.active(), 0);
    assert_eq!(get(&sim, &sandbox, "/files?path=/tmp/kept").await.status, 502);
    assert_eq!(control("timeout", r#"{"timeout": 9}"#).await, 404);
    let list = async |query: &str| {
        let list = crate::common::control("GET", &format!("/v2/sandboxes{query}"), "");
        send(&sim, list).await.json().as_array().unwrap().len()
    };
    assert_eq!(
        (list("?state=running").await, list("?state=paused").await, list("").await),
        (0, 1, 1)
    );
    time::sleep(secs(3600)).await;
    assert_eq!(control("connect", r#"{"timeout": 60}"#).await, 201);
    assert_eq!(control("connect", r#"{"timeout": 0}"#).await, 200);
    assert_eq!(get(&sim, &sandbox, "/files?path=/tmp/kept").await.text(), "kept");
    assert_eq!(control("refreshes", r#"{"duration": 600}"#).await, 204);
    assert_eq!(control("refreshes", r#"{"duration": 9999}"#).await, 400);
    assert_eq!(send(&sim, crate::common::control("GET", &path("metrics"), "")).await.status, 200);
    let logs = send(&sim, crate::common::control("GET", &path("logs"), "")).await.json();
    assert_eq!(logs["logs"][2]["line"], "Sandbox resumed");
}

#[tokio::test(start_paused = true)]
async fn lifetimes_pause_what_asks_for_it_and_traffic_wakes_it() {
    let sim = Config::new().build().unwrap();
    for (resumes, status) in [(true, 204), (false, 502)] {
        let body = json!({
            "templateID": "base", "timeout": 10, "autoPause": true,
            "autoResume": {"enabled": resumes},
        });
        let sandbox = Created::of(&send(&sim, crate::common::creation(&body)).await);
        time::sleep(secs(11)).await;
        assert_eq!((sim.active(), sim.ledger().paused), (0, 1));
        assert_eq!(get(&sim, &sandbox, "/health").await.status, status);
        send(&sim, sandbox.kill()).await;
        assert_eq!((sim.active(), sim.ledger().paused), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocked_team_may_look_and_kill() {
    let sim = Config::new().blocked_keys([crate::common::KEY]).build().unwrap();
    assert_eq!(send(&sim, crate::common::base()).await.status, 403);
    assert_eq!(send(&sim, crate::common::control("GET", "/v2/sandboxes", "")).await.status, 200);
    assert_eq!(send(&sim, crate::common::control("DELETE", "/sandboxes/i1", "")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn code_gets_a_response_in_lines() {
    let sim = Config::new().build().unwrap();
    let body = json!({"templateID": "code-interpreter-v1"});
    let sandbox = Created::of(&send(&sim, crate::common::creation(&body)).await);
    let execute = |body: &str| {
        let request = Request::post("/execute").header("e2b-sandbox-id", &sandbox.id);
        let request = request.header("e2b-sandbox-port", 49999);
        request.body(Full::from(body.to_owned())).unwrap()
    };
    let answer = send(&sim, execute(r#"{"code":"print('hi'); 1+1","context_id":null}"#)).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let mut lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines[1]["timestamp"].take().is_string());
    let expected = [
        json!({"type": "number_of_executions", "execution_count": 1}),
        json!({"type": "stdout", "text": "hi\n", "timestamp": null}),
        json!({"type": "result", "text": "2", "is_main_result": true}),
        json!({"type": "end_of_execution"}),
    ];
    assert_eq!(lines, expected);
    let failed = send(&sim, execute(r#"{"code":"raise TypeError('a')"}"#)).await;
    let error: Value = serde_json::from_str(failed.text().lines().nth(1).unwrap()).unwrap();
    assert_eq!((&error["type"], &error["name"]), (&json!("error"), &json!("TypeError")));
    assert_eq!(send(&sim, execute("{")).await.status, 422);
    assert_eq!(send(&sim, execute(r#"{"code":"1","context_id":"nope"}"#)).await.status, 404);
    let base = Created::new(&sim).await;
    let closed = Request::post("/execute").header("e2b-sandbox-id", &base.id);
    let closed = closed.header("e2b-sandbox-port", 49999).body(Full::default()).unwrap();
    assert_eq!(send(&sim, closed).await.status, 502, "no interpreter listens there");
}

/// A body whose sender has stopped sending.
struct Stalled;

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_stalls_is_not_waited_for_forever() {
    let (sim, sandbox) = calm().await;
    let began = sim.elapsed();
    let inside = sandbox.envd("POST", "/files?path=/tmp/x").body(Stalled).unwrap();
    assert!(sim.clone().oneshot(inside).await.is_err(), "the connection is closed");
    assert_eq!((sim.elapsed() - began).as_secs(), 60);
    let create = Request::post("/v2/sandboxes").header("x-api-key", crate::common::KEY);
    let answer = sim.clone().oneshot(create.body(Stalled).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 504);
    assert_eq!((sim.elapsed() - began).as_secs(), 130);
}

const PATHS: &[&str] = &[
    "/process.Process/Start",
    "/process.Process/Connect",
    "/process.Process/StreamInput",
    "/process.Process/SendInput",
    "/process.Process/List",
    "/filesystem.Filesystem/ListDir",
    "/filesystem.Filesystem/Move",
    "/files?path=/tmp/x",
    "/files",
    "/files?path=%zz",
    "/init",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_sent_gets_an_error_at_worst(
        at in 0..PATHS.len(),
        kind in prop::sample::select(vec![
            "application/json", "application/connect+json", "application/octet-stream",
            "multipart/form-data; boundary=x", "text/plain", "\u{e9}",
        ]),
        body in prop::collection::vec(any::<u8>(), 0..200),
        sealed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (sim, sandbox) = calm().await;
            let body = if sealed { envelope(&String::from_utf8_lossy(&body)) } else { body.into() };
            let request = sandbox.envd("POST", PATHS[at]).header("content-type", kind);
            let answer = send(&sim, request.body(Full::new(body)).unwrap()).await;
            let status = answer.status.as_u16();
            assert!((200..=204).contains(&status) || (400..=501).contains(&status), "{status}");
            let health = sandbox.envd("GET", "/health").body(Full::default()).unwrap();
            assert_eq!(send(&sim, health).await.status, 204);
        });
    }
}
