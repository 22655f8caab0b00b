//! Tries to break in or to wear out: each is closed or gets the right response.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{LONG, World};

/// The status of the first response, 0 if the connection was closed without one.
fn status(response: &str) -> u16 {
    response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn malformed_requests_are_rejected_or_closed() {
    let world = World::new(&[]).await;
    let huge = format!("GET /health HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(200_000));
    let many = format!("GET /health HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(500));
    let line = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(100_000));
    let tries: &[(&str, &str, &[u16])] = &[
        (
            "both lengths",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
            &[0, 400, 401],
        ),
        (
            "two lengths",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
            &[0, 400],
        ),
        (
            "a negative length",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
            &[0, 400],
        ),
        (
            "a bad chunk",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
            &[0, 400],
        ),
        (
            "a chunk that is too long",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            &[0, 400],
        ),
        (
            "chunked twice",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            &[0, 400, 401],
        ),
        (
            "an unknown coding",
            "POST /sandboxes HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
            &[0, 400],
        ),
        ("a folded field", "GET /health HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n", &[0, 400]),
        ("a blank before the colon", "GET /health HTTP/1.1\r\nhost: a\r\nx : a\r\n\r\n", &[0, 400]),
        ("a zero byte", "GET /health HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", &[0, 400]),
        ("no HTTP", "hello\r\n\r\n", &[0, 400]),
        ("HTTP/2 in clear text", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 400, 505]),
        ("huge fields", &huge, &[0, 431]),
        ("many fields", &many, &[0, 431]),
        ("a long target", &line, &[0, 414, 431]),
        ("dot segments", "GET /sandboxes/../teams HTTP/1.1\r\nhost: a\r\n\r\n", &[400]),
        ("encoded dot segments", "GET /sandboxes/%2e%2E/teams HTTP/1.1\r\nhost: a\r\n\r\n", &[400]),
        ("a tunnel", "CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: a\r\n\r\n", &[0, 400, 404, 405]),
        (
            "a target elsewhere",
            "GET http://169.254.169.254/latest HTTP/1.1\r\nhost: a\r\n\r\n",
            &[401, 404],
        ),
        ("no host", "GET /health HTTP/1.1\r\n\r\n", &[400]),
        ("two hosts", "GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", &[400]),
        (
            "a sandbox elsewhere",
            "GET / HTTP/1.1\r\nhost: a\r\ne2b-sandbox-id: x@evil.test\r\ne2b-sandbox-port: 80\r\n\r\n",
            &[400],
        ),
        (
            "a sandbox that is an address",
            "GET / HTTP/1.1\r\nhost: a\r\ne2b-sandbox-id: 127.0.0.1\r\ne2b-sandbox-port: 80\r\n\r\n",
            &[400],
        ),
        (
            "a port that is no number",
            "GET / HTTP/1.1\r\nhost: a\r\ne2b-sandbox-id: i0\r\ne2b-sandbox-port: 80/../\r\n\r\n",
            &[400],
        ),
        (
            "routing that the connection takes away",
            "GET /health HTTP/1.1\r\nhost: a\r\nconnection: e2b-sandbox-id, e2b-sandbox-port\r\ne2b-sandbox-id: i0\r\ne2b-sandbox-port: 49983\r\n\r\n",
            &[502],
        ),
        (
            "a key that is none",
            "GET /sandboxes HTTP/1.1\r\nhost: a\r\nx-api-key: \u{e9}\r\n\r\n",
            &[400, 401],
        ),
    ];
    for (what, bytes, expected) in tries {
        let response = world.raw(bytes.as_bytes()).await;
        let got = status(&response);
        assert!(expected.contains(&got), "{what}: {got}, not one of {expected:?}: {response}");
        assert!(response.matches("HTTP/1.1 2").count() == 0, "{what}: {response}");
    }
    // It serves on.
    assert_eq!(world.control("GET", "/health", None).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_or_its_body_is_closed() {
    let world = World::new(&["limits.request_timeout=1s"]).await;
    for begun in [
        "",
        "GET /health HTTP/1.1\r\nho",
        "POST /sandboxes HTTP/1.1\r\nhost: a\r\nx-api-key: e2b_1\r\ncontent-length: 100\r\n\r\n{",
    ] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let dripping = async {
            let mut read = Vec::new();
            loop {
                let mut buffer = [0; 1_024];
                match tokio::time::timeout(Duration::from_millis(200), stream.read(&mut buffer))
                    .await
                {
                    // A byte now and then changes nothing.
                    Err(_) => {
                        drop(stream.write_all(if begun.is_empty() { b"" } else { b"a" }).await)
                    }
                    Ok(Ok(length @ 1..)) => read.extend_from_slice(&buffer[..length]),
                    Ok(_) => return String::from_utf8_lossy(&read).into_owned(),
                }
                if read.starts_with(b"HTTP/1.1 408") {
                    return String::from("HTTP/1.1 408");
                }
            }
        };
        let read = tokio::time::timeout(LONG, dripping).await.unwrap();
        assert!([0, 400, 408].contains(&status(&read)), "{begun}: {read}");
    }
}

#[tokio::test]
async fn an_unused_connection_is_kept() {
    let world = World::new(&["limits.request_timeout=1s"]).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..length].starts_with(b"HTTP/1.1 200"), "{length}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let world = World::new(&[]).await;
    let (id, token) = world.create().await;
    for length in [5, 100_000] {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let head = format!(
            "POST /files?path=a&username=user HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: {id}\r\n\
             e2b-sandbox-port: 49983\r\nx-access-token: {token}\r\nexpect: 100-continue\r\n\
             content-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut read = [0; 25];
        tokio::time::timeout(LONG, stream.read_exact(&mut read)).await.unwrap().unwrap();
        assert_eq!(&read, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(&vec![b'a'; length]).await.unwrap();
        let mut read = [0; 12];
        tokio::time::timeout(LONG, stream.read_exact(&mut read)).await.unwrap().unwrap();
        assert_eq!(&read, b"HTTP/1.1 200");
    }
    // One that is rejected need not send its body.
    let head = "POST /files?path=a HTTP/1.1\r\nhost: gw\r\ne2b-sandbox-id: a.b\r\ne2b-sandbox-port: 1\r\n\
                expect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(status(&world.raw(head.as_bytes()).await), 400);
}
