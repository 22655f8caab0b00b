use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::Site;

/// A page that is open.
struct Open(TcpStream, String);

impl Open {
    async fn new(site: &Site, page: &str) -> Self {
        let mut stream = TcpStream::connect(site.address()).await.unwrap();
        let head = format!("GET /api/v1/events?page={page} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream, String::new())
    }

    /// Reads until the text is there.
    async fn until(&mut self, text: &str) {
        let Self(stream, read) = self;
        while !read.contains(text) {
            let mut buffer = [0; 65_536];
            let length = stream.read(&mut buffer).await.unwrap();
            assert_ne!(length, 0, "it ended: {read}");
            read.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }
}

#[tokio::test]
async fn a_change_is_on_the_page_within_two_seconds_and_only_what_changed_is_sent() {
    let site = Site::new(&[]).await;
    let mut page = Open::new(&site, "/breakers").await;
    let late = |what: &str| panic!("{what} not within 2 s");
    let two = Duration::from_secs(2);
    tokio::time::timeout(two, page.until("retry: 2000\n\n"))
        .await
        .unwrap_or_else(|_| late("the first byte"));
    let head = page.1.to_lowercase();
    assert!(head.contains("x-accel-buffering: no") && head.contains("text/event-stream"), "{head}");
    tokio::time::timeout(two, page.until("\"id\":\"breakers\""))
        .await
        .unwrap_or_else(|_| late("the page"));
    page.1.clear();
    let (status, _) = site.change("/api/v1/breakers/data_plane/force_open", json!({})).await;
    assert_eq!(status, 200);
    tokio::time::timeout(two, page.until("forced")).await.unwrap_or_else(|_| late("the change"));
    let events: Vec<Value> = page
        .1
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    assert!(events.iter().all(|event| event["id"] != "retry"), "{events:?}");
}

#[tokio::test]
async fn no_more_pages_are_open_than_may_be_and_one_that_closes_makes_room() {
    let site = Site::new(&[]).await;
    let mut open = Vec::new();
    for _ in 0..256 {
        let mut page = Open::new(&site, "/").await;
        page.until("retry: 2000").await;
        open.push(page);
    }
    let mut one_more = Open::new(&site, "/").await;
    one_more.until("503 Service Unavailable").await;
    open.clear();
    let opens = async {
        loop {
            let mut page = Open::new(&site, "/").await;
            page.until("\r\n\r\n").await;
            if page.1.starts_with("HTTP/1.1 200") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::support::LONG, opens).await.unwrap();
}
