use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};

use super::*;
use crate::{clock, config::Config};

/// Sends the beginning of a request at once and then a byte each `pause`: the response
/// until the connection was closed, and after how many seconds that was.
async fn drip(first: &str, pause: u64) -> (String, u64) {
    let (client, served) = duplex(1_024);
    let sim = Config::new().build().unwrap();
    tokio::spawn(async move {
        let graceful = GracefulShutdown::new();
        connection(&server(), served, sim, graceful.watcher()).await;
    });
    let (began, mut response) = (clock::now(), Vec::new());
    let (mut reading, mut writing) = split(client);
    writing.write_all(first.as_bytes()).await.unwrap();
    let dripping = async {
        loop {
            time::sleep(Duration::from_secs(pause)).await;
            // When it is closed there is no more to do than to see that.
            drop(writing.write_all(b"x").await);
        }
    };
    select! {
        read = reading.read_to_end(&mut response) => drop(read),
        () = dripping => {}
    }
    (String::from_utf8(response).unwrap(), (clock::now() - began).as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_in_ends_with_its_time() {
    let head = "GET /health HTTP/1.1\r\nhost: x\r\nname: ";
    for (first, pause) in [("", 1_000), ("", 4), ("PRI * HTTP/2.0", 1_000), (head, 4)] {
        let (response, seconds) = drip(first, pause).await;
        assert!((30..=60).contains(&seconds), "{first:?}: {seconds} s");
        assert!(!response.contains("200 OK"), "{first:?}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_in_ends_with_its_time() {
    let key = "x-api-key: e2b_x";
    let long = "host: x\r\ncontent-length: 1000";
    let create = format!("POST /v2/sandboxes HTTP/1.1\r\n{long}\r\n{key}\r\n\r\n{{");
    let (response, seconds) = drip(&create, 7).await;
    assert_eq!(seconds, 70, "the deadline of the API");
    assert!(response.starts_with("HTTP/1.1 504 Gateway Timeout\r\n"), "{response}");
    assert!(response.ends_with("upstream request timeout"), "{response}");
    for (path, headers) in [
        ("/files?path=/tmp/x", "e2b-sandbox-id: i1\r\ne2b-sandbox-port: 49983"),
        ("/_sim/faults", "x: y"),
    ] {
        let put = format!("POST {path} HTTP/1.1\r\n{long}\r\n{headers}\r\n\r\n");
        assert_eq!(drip(&put, 7).await, (String::new(), 60), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_idle_is_closed() {
    let (response, seconds) = drip("GET /health HTTP/1.1\r\nhost: x\r\n\r\n", 1_000).await;
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert_eq!(seconds, 30);
}

#[tokio::test(start_paused = true)]
async fn a_head_or_a_body_that_is_huge_is_rejected_and_not_held() {
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(1 << 20));
    let body = format!(
        "POST /v2/sandboxes HTTP/1.1\r\nhost: x\r\nx-api-key: e2b_x\r\n\
         content-length: 9999999999\r\n\r\n{}",
        "y".repeat(1 << 20)
    );
    for (request, status) in [(head, "431"), (body, "400")] {
        let (client, served) = duplex(1_024);
        let sim = Config::new().build().unwrap();
        tokio::spawn(async move {
            let graceful = GracefulShutdown::new();
            connection(&server(), served, sim, graceful.watcher()).await;
        });
        let (mut reading, mut writing) = split(client);
        let sent = async {
            // It is not read to its end.
            assert!(writing.write_all(request.as_bytes()).await.is_err());
        };
        let mut response = Vec::new();
        let ((), read) = tokio::join!(sent, reading.read_to_end(&mut response));
        drop(read);
        let response = String::from_utf8(response).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_is_closed_after_its_time() {
    let (client, served) = duplex(1_024);
    let sim = Config::new().build().unwrap();
    let (began, head) = (clock::now(), "HTTP/1.1\r\nhost: x\r\nx-api-key: e2b_x");
    let serving = tokio::spawn(async move {
        let graceful = GracefulShutdown::new();
        connection(&server(), served, sim, graceful.watcher()).await;
    });
    let (_reading, mut writing) = split(client);
    // Long enough responses that the client's end of the connection is full.
    for _ in 0..20 {
        let request = format!("GET /templates {head}\r\n\r\n");
        if time::timeout(Duration::from_secs(1), writing.write_all(request.as_bytes()))
            .await
            .is_err()
        {
            break;
        }
    }
    serving.await.unwrap();
    let seconds = (clock::now() - began).as_secs();
    assert!((60..=65).contains(&seconds), "{seconds} s");
}
