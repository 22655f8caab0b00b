//! Inside a sandbox: the responses of the proxy and of envd are those of the real ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::common::{Created, base, envelopes, secs, send, start_body, try_send};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use sandtower_sim::{Config, ConnectionErrorKind, End, Sim, World};
use serde_json::{Value, json};
use tokio::time;
use tower::ServiceExt as _;

fn calm() -> Sim {
    Config::new().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn health_needs_no_token_and_all_else_does() {
    let sim = calm();
    let mut sandbox = Created::new(&sim).await;
    sandbox.token = String::from("wrong");
    let health = sandbox.envd("GET", "/health").body(Full::default()).unwrap();
    let answer = send(&sim, health).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = send(&sim, sandbox.start("echo hi")).await;
    assert_eq!(answer.status, 401);
    let message = "unauthorized access, please provide a valid access token or method signing if \
                   supported";
    assert_eq!(answer.json(), json!({"code": 401, "message": message}));
}

#[tokio::test(start_paused = true)]
async fn the_first_version_of_create_gives_no_token_unless_asked() {
    let sim = calm();
    let body = json!({"templateID": "base"}).to_string();
    let answer = send(&sim, crate::common::control("POST", "/sandboxes", body)).await;
    assert_eq!(answer.json()["envdAccessToken"], Value::Null);
    let sandbox = Created::of(&answer);
    assert_eq!(send(&sim, sandbox.start("true")).await.status, 200);
    let body = json!({"templateID": "base", "secure": true}).to_string();
    let answer = send(&sim, crate::common::control("POST", "/sandboxes", body)).await;
    assert!(answer.json()["envdAccessToken"].is_string());
}

#[tokio::test(start_paused = true)]
async fn the_proxy_tells_a_dead_sandbox_from_a_closed_port() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let to_port = |port: u16| {
        let request = Request::get("/").header("e2b-sandbox-id", &sandbox.id);
        request.header("e2b-sandbox-port", port).body(Full::default()).unwrap()
    };
    let closed = send(&sim, to_port(8080)).await;
    assert_eq!(closed.status, 502);
    let message = "The sandbox is running but port is not open";
    let expected = json!({"sandboxId": sandbox.id, "message": message, "port": 8080, "code": 502});
    assert_eq!(closed.json(), expected);
    send(&sim, sandbox.kill()).await;
    let dead = send(&sim, sandbox.start("echo hi")).await;
    assert_eq!(dead.status, 502);
    let message = "The sandbox was not found";
    let expected = json!({"sandboxId": sandbox.id, "message": message, "code": 502});
    assert_eq!(dead.json(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_host_leads_into_a_sandbox_too() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let host = format!("49983-{}.e2b.app", sandbox.id);
    let request = Request::get("/health").header("host", host);
    assert_eq!(send(&sim, request.body(Full::default()).unwrap()).await.status, 204);
}

#[tokio::test(start_paused = true)]
async fn a_zombie_is_listed_and_never_responds() {
    let world = World { zombie: 1.0, ..World::calm() };
    let sim = Config::new().world(world).build().unwrap();
    let sandbox = Created::new(&sim).await;
    let info = format!("/sandboxes/{}", sandbox.id);
    assert_eq!(send(&sim, crate::common::control("GET", &info, "")).await.status, 200);
    assert_eq!(send(&sim, sandbox.start("echo hi")).await.status, 502);
    let ledger = sim.ledger();
    assert!(ledger.sandboxes[0].zombie);
    assert_eq!(ledger.sandboxes[0].seen_alive_at, None);
}

#[tokio::test(start_paused = true)]
async fn a_command_goes_on_without_a_reader() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    // At most 256 processes at a time: those that were abandoned still count.
    for _ in 0..256 {
        let answer = sim.clone().oneshot(sandbox.start("sleep 10")).await.unwrap();
        drop(answer);
    }
    let answer = send(&sim, sandbox.start("true")).await;
    assert_eq!(envelopes(&answer.body)[0].1["error"]["code"], "resource_exhausted");
    time::sleep(secs(11)).await;
    let answer = send(&sim, sandbox.start("true")).await;
    assert_eq!(envelopes(&answer.body).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_ends_resets_its_connections() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let killed = async {
        time::sleep(secs(5)).await;
        assert_eq!(send(&sim, sandbox.kill()).await.status, 204);
    };
    let (broken, ()) = tokio::join!(try_send(&sim, sandbox.start("sleep 60")), killed);
    let broken = broken.unwrap_err();
    assert_eq!((broken.kind(), broken.processed()), (ConnectionErrorKind::Reset, true));
    // The same when the lifetime is over, even after that has been moved.
    let sandbox = Created::new(&sim).await;
    let path = format!("/sandboxes/{}/timeout", sandbox.id);
    let moved = async {
        time::sleep(secs(5)).await;
        send(&sim, crate::common::control("POST", &path, r#"{"timeout": 20}"#)).await;
        sim.elapsed()
    };
    let (broken, moved) = tokio::join!(try_send(&sim, sandbox.start("sleep 600")), moved);
    assert!(broken.is_err());
    assert_eq!((sim.elapsed() - moved).as_secs(), 20);
    assert_eq!(sim.ledger().sandboxes[1].end, End::Lifetime);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_does_not_keep_a_dead_sandbox() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let script = "echo x;".repeat(100);
    let answer = sim.clone().oneshot(sandbox.start(&script)).await.unwrap();
    time::sleep(secs(3600)).await;
    assert_eq!(sim.active(), 0);
    // What was buffered can still be read; then the connection is found broken or at its end.
    let mut body = answer.into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

#[tokio::test(start_paused = true)]
async fn malformed_requests_get_envds_errors() {
    let sim = calm();
    let sandbox = Created::new(&sim).await;
    let in_stream = [
        (&b""[..], "invalid_argument"),
        (b"\0\0", "invalid_argument"),
        (b"\0\0\0\0\x09{}", "invalid_argument"),
        (b"\0\xff\xff\xff\xff{}", "resource_exhausted"),
        (b"\x01\0\0\0\x02{}", "internal"),
        (b"\x02\0\0\0\x02{}", "invalid_argument"),
        (b"\0\0\0\0\x04{bad", "invalid_argument"),
        (b"\0\0\0\0\x02[]", "invalid_argument"),
        (b"\0\0\0\0\x0d{\"process\":1}", "invalid_argument"),
        (b"\0\0\0\0\x0a{\"pty\":{}} ", "unimplemented"),
    ];
    for (body, code) in in_stream {
        let request = sandbox.start_builder().body(Full::from(body)).unwrap();
        let answer = send(&sim, request).await;
        assert_eq!(answer.status, 200, "{body:?}");
        assert_eq!(envelopes(&answer.body)[0].1["error"]["code"], code, "{body:?}");
    }
    let huge = vec![0; 2 << 20];
    let answer = send(&sim, sandbox.start_builder().body(Full::from(huge)).unwrap()).await;
    assert_eq!(envelopes(&answer.body)[0].1["error"]["code"], "resource_exhausted");
    for (name, value, code) in [
        ("connect-timeout-ms", "soon", "invalid_argument"),
        ("connect-timeout-ms", "99999999999", "invalid_argument"),
        ("connect-content-encoding", "br", "unimplemented"),
        ("authorization", "Basic !!", "unauthenticated"),
    ] {
        let request = sandbox.start_builder().header(name, value);
        let answer = send(&sim, request.body(Full::new(start_body("true"))).unwrap()).await;
        assert_eq!(envelopes(&answer.body)[0].1["error"]["code"], code, "{name}: {value}");
    }
    for (method, path, status) in [
        ("GET", "/process.Process/Start", 405),
        ("POST", "/process.Process/Start", 415),
        ("POST", "/process.Process/List", 415),
        ("POST", "/process.Process/Nope", 404),
        ("POST", "/process.Process/Connect", 415),
        ("POST", "/health", 405),
        ("GET", "/files", 400),
    ] {
        let answer = send(&sim, sandbox.envd(method, path).body(Full::default()).unwrap()).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    assert_eq!(send(&sim, base()).await.status, 201, "and the simulator still works");
}
