//! A drain cuts no stream.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::certificate::{Certificate, DOMAIN};
use super::support::{KEY, World, until};

const STREAMS: usize = 500;
/// Each runs as many commands as it can.
const SANDBOXES: usize = 5;

/// One frame of Connect's with this message.
fn frame(message: &str) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message.bytes());
    frame
}

/// Runs this line in a shell.
fn command(line: &str) -> Vec<u8> {
    frame(&format!(
        r#"{{"process":{{"cmd":"/bin/bash","args":["-l","-c","{line}"]}},"stdin":false}}"#
    ))
}

/// "done\n" in base64.
const DONE: &str = "ZG9uZQo=";

/// A command that says "done" after 10 s, in a stream that has begun.
async fn started(gateway: SocketAddr, id: String, token: String) -> TcpStream {
    let body = command("sleep 10; echo done");
    let mut stream = TcpStream::connect(gateway).await.unwrap();
    let head = format!(
        "POST /process.Process/Start HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: {id}\r\n\
         e2b-sandbox-port: 49983\r\nx-access-token: {token}\r\ncontent-type: application/connect+json\r\n\
         connect-protocol-version: 1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut read = [0; 12];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"HTTP/1.1 200");
    stream
}

#[tokio::test]
async fn a_drain_under_load_cuts_none_of_500_streams() {
    let world = World::new(&[]).await;
    let mut sandboxes = Vec::new();
    for _ in 0..SANDBOXES {
        sandboxes.push(world.create().await);
    }
    let mut starting = JoinSet::new();
    for (id, token) in sandboxes.into_iter().cycle().take(STREAMS) {
        starting.spawn(started(world.address(), id, token));
    }
    let streams = starting.join_all().await;
    assert_eq!(world.gateway.in_flight(), STREAMS);
    let reading = async {
        let mut whole = 0;
        for mut stream in streams {
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            let text = String::from_utf8_lossy(&read);
            // And the last chunk.
            assert!(text.contains(DONE) && text.contains("0\r\n\r\n"), "{text}");
            whole += 1;
        }
        whole
    };
    let (is_done, whole) = tokio::join!(world.gateway.drain(), reading);
    assert!(is_done);
    assert_eq!((whole, world.sim.active()), (STREAMS, SANDBOXES));
    assert!(TcpStream::connect(world.address()).await.is_err(), "nothing listens");
}

/// Connections of HTTP/2, and callers that share each of them.
const CONNECTIONS: usize = 8;
const CALLERS: usize = 8;

/// Runs one short command after another until the connection takes no more; returns how many ran.
async fn run_commands(
    mut send: SendRequest<Full<Bytes>>,
    host: String,
    token: String,
    running: Arc<Semaphore>,
) -> u64 {
    let mut whole = 0;
    loop {
        let request = Request::post(format!("https://{host}/process.Process/Start"))
            .header("x-access-token", &token)
            .header("content-type", "application/connect+json")
            .header("connect-protocol-version", "1")
            .body(Full::new(Bytes::from(command("sleep 0.2; echo done"))))
            .unwrap();
        let Ok(response) = send.send_request(request).await else { return whole };
        running.add_permits(1);
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(DONE), "{body:?}");
        whole += 1;
    }
}

#[tokio::test]
async fn a_go_away_under_load_ends_no_request_that_was_begun() {
    let certificate = Certificate::new("go-away");
    let settings = certificate.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let world = World::new(&settings).await;
    let api = format!("api.{DOMAIN}");
    let create = Request::post(format!("https://{api}/v2/sandboxes")).header("x-api-key", KEY);
    let new = json!({"templateID": "base", "secure": true}).to_string();
    let created = certificate.send(&world, "h2", &api, create, new.into()).await;
    let created: Value = serde_json::from_slice(created.body()).unwrap();
    let text = |name: &str| created[name].as_str().unwrap().to_owned();
    let (host, token) = (format!("49983-{}.{DOMAIN}", text("sandboxID")), text("envdAccessToken"));
    let received = || world.sim.ledger().requests["sandbox_traffic"];
    // The check of the new sandbox.
    let before = received();
    let running = Arc::new(Semaphore::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let io = TokioIo::new(certificate.connect(world.address(), &host, "h2").await);
        let (send, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        for _ in 0..CALLERS {
            let (host, token) = (host.clone(), token.clone());
            callers.spawn(run_commands(send.clone(), host, token, running.clone()));
        }
    }
    // Each caller is in its third command, or near it.
    let begun = u32::try_from(CONNECTIONS * CALLERS * 3).unwrap();
    running.acquire_many(begun).await.unwrap().forget();
    assert!(world.gateway.drain().await);
    let whole: u64 = callers.join_all().await.into_iter().sum();
    assert_eq!(whole, received() - before, "each command that ran has a caller that saw its end");
    until("none is in flight", || world.gateway.in_flight() == 0).await;
}
