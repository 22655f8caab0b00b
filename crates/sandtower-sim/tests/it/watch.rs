//! Directories are watched as envd lets them be: as a stream, and by asking again and again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::common::{Answer, Created, envelope, envelopes, secs, send};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use sandtower_sim::{Body, Config, ConnectionErrorKind, Sim};
use serde_json::{Value, json};
use tokio::time;
use tower::ServiceExt as _;

async fn calm() -> (Sim, Created) {
    let sim = Config::new().build().unwrap();
    let sandbox = Created::new(&sim).await;
    (sim, sandbox)
}

async fn rpc(sim: &Sim, sandbox: &Created, method: &str, message: Value) -> (u16, Value) {
    let request = sandbox.envd("POST", &format!("/filesystem.Filesystem/{method}"));
    let request = request.header("content-type", "application/json");
    let answer = send(sim, request.body(Full::from(message.to_string())).unwrap()).await;
    (answer.status.as_u16(), answer.json())
}

async fn write(sim: &Sim, sandbox: &Created, path: &str, content: &'static str) -> Answer {
    let request = sandbox.envd("POST", &format!("/files?path={path}"));
    let request = request.header("content-type", "application/octet-stream");
    send(sim, request.body(Full::from(content)).unwrap()).await
}

fn watch(sandbox: &Created, message: &Value) -> http::Request<Full<Bytes>> {
    let request = sandbox.envd("POST", "/filesystem.Filesystem/WatchDir");
    let request = request.header("content-type", "application/connect+json");
    let request = request.header("keepalive-ping-interval", "2");
    let request = request.header("connect-timeout-ms", "60000");
    request.body(Full::new(envelope(&message.to_string()))).unwrap()
}

/// The next message of a stream.
async fn next(body: &mut Body) -> Value {
    let frame = body.frame().await.unwrap().unwrap();
    envelopes(&frame.into_data().unwrap()).remove(0).1
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_what_happens_as_it_happens() {
    let (sim, sandbox) = calm().await;
    let request = watch(&sandbox, &json!({"path": "/tmp", "recursive": true}));
    let answer = sim.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/connect+json");
    let mut body = answer.into_body();
    assert_eq!(next(&mut body).await, json!({"start": {}}));
    let began = sim.elapsed();
    assert_eq!(next(&mut body).await, json!({"keepalive": {}}));
    assert_eq!((sim.elapsed() - began).as_secs(), 2);
    write(&sim, &sandbox, "/tmp/d/a.txt", "some").await;
    for (name, kind) in [
        ("d", "CREATE"),
        ("d", "CHMOD"),
        ("d/a.txt", "CREATE"),
        ("d/a.txt", "CHMOD"),
        ("d/a.txt", "WRITE"),
    ] {
        let told = json!({"filesystem": {"name": name, "type": format!("EVENT_TYPE_{kind}")}});
        assert_eq!(next(&mut body).await, told);
    }
    send(&sim, sandbox.start("echo x > /tmp/b; mv /tmp/b /tmp/c; rm /tmp/c")).await;
    for (name, kind) in
        [("b", "CREATE"), ("b", "WRITE"), ("b", "RENAME"), ("c", "CREATE"), ("c", "REMOVE")]
    {
        let told = json!({"filesystem": {"name": name, "type": format!("EVENT_TYPE_{kind}")}});
        assert_eq!(next(&mut body).await, told);
    }
    let (mut last, began) = (Value::Null, sim.elapsed());
    while let Some(frame) = body.frame().await {
        last = envelopes(&frame.unwrap().into_data().unwrap()).remove(0).1;
    }
    assert_eq!(last["error"]["code"], "deadline_exceeded");
    assert!(sim.elapsed() - began > secs(50));
}

#[tokio::test(start_paused = true)]
async fn a_watcher_returns_the_events_since_the_last_call() {
    let (sim, sandbox) = calm().await;
    let asked = json!({"path": "~", "includeEntry": true});
    let (status, created) = rpc(&sim, &sandbox, "CreateWatcher", asked).await;
    let id = json!({"watcherId": created["watcherId"]});
    let name = created["watcherId"].as_str().unwrap();
    assert_eq!((status, name.len(), &name[..1]), (200, 21, "w"));
    assert_eq!(rpc(&sim, &sandbox, "GetWatcherEvents", id.clone()).await, (200, json!({})));
    write(&sim, &sandbox, "a", "xyz").await;
    rpc(&sim, &sandbox, "Remove", json!({"path": "a"})).await;
    let (_, mut told) = rpc(&sim, &sandbox, "GetWatcherEvents", id.clone()).await;
    let events = told["events"].as_array_mut().unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected =
        ["EVENT_TYPE_CREATE", "EVENT_TYPE_CHMOD", "EVENT_TYPE_WRITE", "EVENT_TYPE_REMOVE"];
    assert_eq!(kinds, expected);
    assert_eq!(events[2]["entry"]["path"], "/home/user/a");
    assert_eq!(events[2]["entry"]["size"], "3");
    assert_eq!(events[3], json!({"name": "a", "type": "EVENT_TYPE_REMOVE"}));
    assert_eq!(rpc(&sim, &sandbox, "GetWatcherEvents", id.clone()).await, (200, json!({})));
    assert_eq!(rpc(&sim, &sandbox, "RemoveWatcher", id.clone()).await, (200, json!({})));
    let message = format!("watcher with id {name} not found");
    let gone = (404, json!({"code": "not_found", "message": message}));
    assert_eq!(rpc(&sim, &sandbox, "GetWatcherEvents", id.clone()).await, gone);
    assert_eq!(rpc(&sim, &sandbox, "RemoveWatcher", id).await, gone);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_watched_is_an_error() {
    let (sim, sandbox) = calm().await;
    write(&sim, &sandbox, "/tmp/file", "x").await;
    for (path, status, code, says) in [
        ("/nope", 404, "not_found", "path /nope not found: stat /nope: no such file or directory"),
        ("/tmp/file", 400, "invalid_argument", "path /tmp/file not a directory: "),
    ] {
        let refused = rpc(&sim, &sandbox, "CreateWatcher", json!({"path": path})).await;
        assert_eq!((refused.0, &refused.1["code"]), (status, &json!(code)));
        assert!(refused.1["message"].as_str().unwrap().starts_with(says), "{refused:?}");
        let answer = send(&sim, watch(&sandbox, &json!({"path": path}))).await;
        let last = envelopes(&answer.body).remove(0);
        assert_eq!(
            (answer.status.as_u16(), last.0, &last.1["error"]["code"]),
            (200, 2, &json!(code))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn watchers_are_bounded_and_end_with_their_streams_and_their_sandbox() {
    let (sim, sandbox) = calm().await;
    let open = async || {
        let answer = sim.clone().oneshot(watch(&sandbox, &json!({"path": "/tmp"}))).await.unwrap();
        let mut body = answer.into_body();
        (next(&mut body).await, body)
    };
    let mut streams = Vec::new();
    for _ in 0..128 {
        let (first, body) = open().await;
        assert_eq!(first, json!({"start": {}}));
        streams.push(body);
    }
    let full = rpc(&sim, &sandbox, "CreateWatcher", json!({"path": "/tmp"})).await;
    assert_eq!(full.1["message"], "error creating watcher: too many open files");
    streams.truncate(1);
    time::sleep(secs(1)).await;
    assert_eq!(open().await.0, json!({"start": {}}), "those without a reader are gone");
    assert_eq!(send(&sim, sandbox.kill()).await.status, 204);
    let broken = loop {
        match streams[0].frame().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(broken.kind(), ConnectionErrorKind::Reset);
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_is_not_read_overflows_and_says_so() {
    let (sim, sandbox) = calm().await;
    let (_, created) = rpc(&sim, &sandbox, "CreateWatcher", json!({"path": "/tmp"})).await;
    for _ in 0..400 {
        write(&sim, &sandbox, "/tmp/x", "x").await;
        rpc(&sim, &sandbox, "Remove", json!({"path": "/tmp/x"})).await;
    }
    let (status, told) = rpc(&sim, &sandbox, "GetWatcherEvents", created).await;
    assert_eq!((status, &told["code"]), (500, &json!("internal")));
    assert_eq!(told["message"], "watcher error: fsnotify: queue or buffer overflow");
}
