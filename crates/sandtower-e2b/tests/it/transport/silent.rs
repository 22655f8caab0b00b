//! Connections that die without a word.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use sandtower_core::RequestInfo;
use sandtower_e2b::{E2bClassify, HttpTransport};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;

use super::net::Server;
use super::{get, straight};

const POOLED: usize = 8;

/// A transport whose pool has nothing but dead connections to `server`.
async fn poisoned(server: &Server) -> HttpTransport {
    let transport = straight().build().unwrap();
    let mut first = JoinSet::new();
    for _ in 0..POOLED {
        let (transport, uri) = (transport.clone(), server.uri.clone());
        first.spawn(async move { get(&transport, &uri).await.unwrap().status() });
    }
    assert!(first.join_all().await.iter().all(|status| *status == StatusCode::OK));
    assert_eq!(server.connections(), POOLED);
    transport
}

async fn gives_up(transport: &HttpTransport, uri: &str, after: Duration) {
    assert!(timeout(after, get(transport, uri)).await.is_err(), "it takes a dead connection");
}

/// The clock is paused: as soon as nothing else can happen, the timeout does.
#[tokio::test(start_paused = true)]
async fn after_a_timeout_the_next_attempt_takes_a_new_connection() {
    let server = Server::whose_first_connections_die(POOLED).await;
    let transport = poisoned(&server).await;
    let after = Duration::from_secs(5);
    gives_up(&transport, &server.uri, after).await;
    for _ in 0..POOLED {
        let response = timeout(after, get(&transport, &server.uri)).await.unwrap().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert!(server.connections() > POOLED);
}

#[tokio::test(start_paused = true)]
async fn many_that_time_out_together_make_one_new_pool() {
    let server = Server::whose_first_connections_die(POOLED).await;
    let transport = poisoned(&server).await;
    let mut waiting = JoinSet::new();
    for number in 0..POOLED as u64 {
        let (transport, uri) = (transport.clone(), server.uri.clone());
        let after = Duration::from_secs(5 + number);
        waiting.spawn(async move { gives_up(&transport, &uri, after).await });
    }
    while let Some(gave_up) = waiting.join_next().await {
        gave_up.unwrap();
        assert_eq!(get(&transport, &server.uri).await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(server.connections(), POOLED + 1, "one connection serves them all");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_at_once_says_nothing_of_the_connections() {
    let server = Server::plain().await;
    let transport = straight().build().unwrap();
    get(&transport, &server.uri).await.unwrap();
    drop(get(&transport, &server.uri));
    for _ in 0..3 {
        get(&transport, &server.uri).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_silent_host_leaves_the_connections_to_others_alone() {
    let (silent, other) =
        (Server::whose_first_connections_die(POOLED).await, Server::plain().await);
    let transport = poisoned(&silent).await;
    get(&transport, &other.uri).await.unwrap();
    gives_up(&transport, &silent.uri, Duration::from_secs(5)).await;
    get(&transport, &silent.uri).await.unwrap();
    get(&transport, &other.uri).await.unwrap();
    assert_eq!(other.connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_end_of_its_own_says_nothing_of_the_connections() {
    let server = Server::whose_first_connections_die(1).await;
    let transport = straight().build().unwrap();
    get(&transport, &server.uri).await.unwrap();
    let mut request = Request::get(&server.uri).header("e2b-sandbox-port", "3000");
    request = request.header("e2b-sandbox-id", "i0");
    let mut request = request.body(Full::<Bytes>::default()).unwrap();
    let info: RequestInfo = E2bClassify::put_info(&mut request);
    assert!(info.open_ended);
    let poll = transport.clone().oneshot(request);
    assert!(timeout(Duration::from_secs(60), poll).await.is_err());
    assert_eq!(server.connections(), 1);
}
