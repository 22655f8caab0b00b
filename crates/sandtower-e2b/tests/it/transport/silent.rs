//! Connections that die silently.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use sandtower_core::BoxError;
use sandtower_e2b::{E2bClassify, HttpTransport, TransportBody};
use tokio::task::{JoinSet, yield_now};
use tokio::time;
use tower::ServiceExt;

use super::net::Server;
use super::{get, straight, version};

const POOLED: usize = 8;

/// A transport whose pool has only dead connections to `server`.
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

type Call = Pin<Box<dyn Future<Output = Result<Response<TransportBody>, BoxError>>>>;

/// A request that stays in flight.
async fn sent(transport: &HttpTransport, request: Request<Full<Bytes>>) -> Call {
    let mut call: Call = Box::pin(transport.clone().oneshot(request));
    for _ in 0..20 {
        tokio::select! {
            biased;
            _ = &mut call => panic!("it takes a dead connection"),
            () = yield_now() => {}
        }
    }
    call
}

async fn sent_to(transport: &HttpTransport, uri: &str) -> Call {
    sent(transport, Request::get(uri).body(Full::default()).unwrap()).await
}

/// Drops a call after this long. The clock is paused otherwise, so that it does not run ahead of the
/// sockets.
async fn give_up(call: Call, after: Duration) {
    time::pause();
    time::advance(after).await;
    drop(call);
    time::resume();
}

const TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn after_a_timeout_the_next_attempt_takes_a_new_connection() {
    let server = Server::whose_first_connections_die(POOLED).await;
    let transport = poisoned(&server).await;
    give_up(sent_to(&transport, &server.uri).await, TIMEOUT).await;
    for _ in 0..POOLED {
        assert_eq!(version(&transport, &server.uri).await, "HTTP/1.1");
    }
    assert_eq!(server.connections(), POOLED + 1);
}

#[tokio::test]
async fn many_that_time_out_one_after_the_other_make_one_new_pool() {
    let server = Server::whose_first_connections_die(POOLED).await;
    let transport = poisoned(&server).await;
    let mut calls = Vec::new();
    for _ in 0..POOLED {
        calls.push(sent_to(&transport, &server.uri).await);
    }
    for call in calls {
        give_up(call, TIMEOUT).await;
        version(&transport, &server.uri).await;
    }
    assert_eq!(server.connections(), POOLED + 1, "one connection serves them all");
}

#[tokio::test]
async fn a_caller_that_goes_away_at_once_is_no_evidence_about_connections() {
    let server = Server::whose_first_connections_die(1).await;
    let transport = straight().build().unwrap();
    get(&transport, &server.uri).await.unwrap();
    let (first, other) = (server.connections(), Server::plain().await);
    version(&transport, &other.uri).await;
    give_up(sent_to(&transport, &server.uri).await, Duration::from_millis(900)).await;
    version(&transport, &other.uri).await;
    assert_eq!((first, other.connections()), (1, 1));
}

#[tokio::test]
async fn one_silent_host_leaves_the_connections_to_others_alone() {
    let (silent, other) =
        (Server::whose_first_connections_die(POOLED).await, Server::plain().await);
    let transport = poisoned(&silent).await;
    version(&transport, &other.uri).await;
    give_up(sent_to(&transport, &silent.uri).await, TIMEOUT).await;
    version(&transport, &silent.uri).await;
    version(&transport, &other.uri).await;
    assert_eq!(other.connections(), 1);
}

#[tokio::test]
async fn an_open_ended_call_is_no_evidence_about_connections() {
    let server = Server::whose_first_connections_die(POOLED).await;
    let transport = poisoned(&server).await;
    let user_port = || {
        let request = Request::get(&server.uri).header("e2b-sandbox-port", "3000");
        let mut request = request.header("e2b-sandbox-id", "i0").body(Full::default()).unwrap();
        assert!(E2bClassify::put_info(&mut request).open_ended);
        request
    };
    for _ in 1..POOLED {
        give_up(sent(&transport, user_port()).await, TIMEOUT).await;
    }
    // Only the call that is not open-ended takes a new connection; the others reused one.
    assert_eq!(server.connections(), POOLED);
}
