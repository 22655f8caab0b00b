//! Domain mode: hosts tell where a request goes, over TLS, HTTP/1.1 and HTTP/2, and protocols change.

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::certificate::{Certificate, DOMAIN};
use super::support::{KEY, World};

impl Certificate {
    /// The response to a request for `host`.
    pub(super) async fn send(
        &self,
        world: &World,
        alpn: &str,
        host: &str,
        request: http::request::Builder,
        body: Bytes,
    ) -> Response<Bytes> {
        let io = TokioIo::new(self.connect(world.address(), host, alpn).await);
        let request = request.body(Full::new(body)).unwrap();
        let response = if alpn == "h2" {
            let (mut send, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            send.send_request(request).await.unwrap()
        } else {
            let (mut send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            send.send_request(request).await.unwrap()
        };
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }
}

#[tokio::test]
async fn hosts_tell_the_control_plane_from_sandboxes_over_both_versions() {
    let certificate = Certificate::new("hosts");
    let settings = certificate.settings();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let world = World::new(&settings).await;
    for (alpn, version) in [("http/1.1", Version::HTTP_11), ("h2", Version::HTTP_2)] {
        let target = |host: &str, path: &str| match alpn {
            "h2" => format!("https://{host}{path}"),
            _ => path.to_owned(),
        };
        let request = |method, host: &str, path| {
            let request = Request::builder().method(method).uri(target(host, path));
            if alpn == "h2" { request } else { request.header("host", host) }
        };
        let api = format!("api.{DOMAIN}");
        let create = request("POST", &api, "/v2/sandboxes").header("x-api-key", KEY);
        let new = json!({"templateID": "base", "secure": true}).to_string();
        let created = certificate.send(&world, alpn, &api, create, new.into()).await;
        assert_eq!((created.status().as_u16(), created.version()), (201, version));
        let created: Value = serde_json::from_slice(created.body()).unwrap();
        assert_eq!(created["domain"], DOMAIN);

        let host = format!("49983-{}.{DOMAIN}", created["sandboxID"].as_str().unwrap());
        let token = created["envdAccessToken"].as_str().unwrap();
        let path = "/files?path=a&username=user";
        let write = request("POST", &host, path).header("x-access-token", token);
        let write = write.header("content-type", "application/octet-stream");
        let written = certificate.send(&world, alpn, &host, write, "content".into()).await;
        assert_eq!(written.status(), 200, "{:?}", written.body());
        let read = request("GET", &host, path).header("x-access-token", token);
        let read = certificate.send(&world, alpn, &host, read, Bytes::new()).await;
        assert_eq!(read.body(), "content");

        let nowhere = format!("x.{DOMAIN}");
        let lost = request("GET", &nowhere, "/");
        let lost = certificate.send(&world, alpn, &nowhere, lost, Bytes::new()).await;
        assert_eq!(lost.status(), 400);
    }
}

/// Switches to a protocol that sends back what it gets.
async fn echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            assert!(head.contains("upgrade: websocket") && head.contains("e2b-sandbox-port: 3000"));
            assert!(!head.contains("x-api-key"), "{head}");
            let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(switch.as_bytes()).await.unwrap();
            let (mut read, mut write) = stream.split();
            drop(tokio::io::copy(&mut read, &mut write).await);
        });
    }
}

#[tokio::test]
async fn a_websocket_to_a_users_program_passes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(echo(listener));
    let upstream = [format!("upstream.api_url={url}"), format!("upstream.sandbox_url={url}")];
    let domain = format!("domain={DOMAIN}");
    let world = World::new(&[&upstream[0], &upstream[1], &domain]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let head = format!(
        "GET /socket HTTP/1.1\r\nhost: 3000-i0abc.{DOMAIN}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: x\r\nx-api-key: {KEY}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(read).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    for message in ["first", "second"] {
        stream.write_all(message.as_bytes()).await.unwrap();
        let mut back = vec![0; message.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message.as_bytes());
    }
    assert!(world.gateway.in_flight() >= 1, "a drain waits for it");
    drop(stream);
    super::support::until("it has ended", || world.gateway.in_flight() == 0).await;
}
