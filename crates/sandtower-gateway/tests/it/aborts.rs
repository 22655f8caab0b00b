//! Clients that go away in the middle: nothing is left, and no breaker opens for the others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sandtower_gateway::{Gateway, admin};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::{LONG, World, ask, creation, until};

const ABORTED: u64 = 100;
const BASE: &str = r#"{"templateID":"base","timeout":300}"#;

/// The states of all breakers.
async fn breakers(gateway: &Arc<Gateway>) -> Vec<String> {
    let own = serde_json::from_value(json!({"listen": "127.0.0.1:0"})).unwrap();
    let admin = admin::start(gateway, own, || unreachable!("nothing is read again")).await.unwrap();
    let text = ask(admin.address().unwrap(), None, "GET", "/api/v1/snapshot").await;
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let whole: Value = serde_json::from_str(body).unwrap();
    let stacks = whole["keys"].as_object().unwrap().values().chain([&whole["data_plane"]]);
    let each = |stack: &Value| {
        ["control_plane_breaker", "data_plane_breaker"]
            .map(|breaker| stack[breaker]["state"].to_string())
    };
    stacks.flat_map(each).collect()
}

#[tokio::test]
async fn a_hundred_aborted_creations_leave_nothing_and_open_no_breaker() {
    let world = World::new(&["workers=1"]).await;
    let received = || world.sim.ledger().creates.received;
    for number in 0..ABORTED {
        // One of two has created its sandbox already, the other is still at it.
        let stall =
            json!({"name": "stall", "kind": "stall", "on": ["sandbox_create"], "after_work": true});
        world.faults(if number % 2 == 0 { json!([stall]) } else { json!([]) });
        let before = received();
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(&creation(BASE, "")).await.unwrap();
        until("it is in flight", || received() == before + 1).await;
        drop(stream);
        until("it has ended", || world.gateway.in_flight() == 0).await;
    }
    world.faults(json!([]));
    assert_eq!(received(), ABORTED);
    until("nothing is left", || world.sim.ledger().active == 0).await;
    assert!(breakers(&world.gateway).await.iter().all(|state| state == "\"closed\""));
    world.create().await;
}

/// Passes bytes on to `target`, and counts uploads that pass.
async fn count_uploads(listener: TcpListener, target: SocketAddr, uploads: Arc<AtomicU64>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let uploads = Arc::clone(&uploads);
        tokio::spawn(async move {
            let mut server = TcpStream::connect(target).await.unwrap();
            let (mut up, mut down) = client.split();
            let (mut back, mut on) = server.split();
            let forth = async {
                let mut buffer = vec![0; 65_536];
                while let Ok(length @ 1..) = up.read(&mut buffer).await {
                    let is_upload = buffer[..length].starts_with(b"POST /files");
                    uploads.fetch_add(u64::from(is_upload), Ordering::Relaxed);
                    if on.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = forth => {}
                _ = tokio::io::copy(&mut back, &mut down) => {}
            }
        });
    }
}

#[tokio::test]
async fn a_hundred_aborted_uploads_open_no_breaker() {
    let sim = sandtower_sim::Config::new().plan(sandtower_sim::Plan::Pro).build().unwrap();
    let server = sim.listen("127.0.0.1:0").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("upstream.sandbox_url=http://{}", listener.local_addr().unwrap());
    let uploads = Arc::new(AtomicU64::new(0));
    tokio::spawn(count_uploads(listener, server.address(), Arc::clone(&uploads)));
    let world = World::before(sim, server, &[&url]);
    let (id, token) = world.create().await;
    for number in 0..ABORTED {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!(
            "POST /files?path=a&username=user HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: {id}\r\n\
             e2b-sandbox-port: 49983\r\nx-access-token: {token}\r\ncontent-length: 10000000\r\n\r\n0123456789"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        until("it is in flight", || uploads.load(Ordering::Relaxed) == number + 1).await;
        drop(stream);
    }
    until("requests have ended", || world.gateway.in_flight() == 0).await;
    assert!(breakers(&world.gateway).await.iter().all(|state| state == "\"closed\""));
    let health = world.inside("GET", "/health", &id, &token).body(Default::default()).unwrap();
    let health = tokio::time::timeout(LONG, world.send(health)).await.unwrap();
    assert_eq!(health.status(), 204, "{:?}", health.body());
    assert_eq!(uploads.load(Ordering::Relaxed), ABORTED, "none is sent twice");
}
