//! The errors of hyper's clients, over real sockets: did the request leave?

#![cfg(feature = "hyper")]
#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sandtower_core::{BoxError, ClassifyResponse, Effect, Resend, Verdict};
use sandtower_http::{HttpClassifier, ReplayBody, Replayed, verdict_of_transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tower::Service;

fn effect(error: impl Into<BoxError>) -> Effect {
    let error = error.into();
    let verdict = verdict_of_transport(&*error);
    assert!(verdict.is_failure(), "{verdict:?}: {error:?}");
    verdict.effect
}

fn post(uri: &str) -> Request<Full<Bytes>> {
    Request::post(uri).body(Full::from("to be done once")).unwrap()
}

/// A server of one connection, which is handed to `serve`.
async fn server<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    uri
}

/// Reads until the head of a request is there.
async fn read_head(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

#[tokio::test]
async fn a_rejected_port_means_that_nothing_left() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().request(post(&format!("http://{free}/"))).await.unwrap_err();
    assert_eq!(effect(error), Effect::None);
}

#[tokio::test]
async fn a_name_that_is_not_found_means_that_nothing_left() {
    let error = client().request(post("http://nobody.invalid/")).await.unwrap_err();
    assert_eq!(effect(error), Effect::None);
}

/// A connector that fails as TLS does: with an error of its own, which says nothing to us.
#[derive(Clone)]
struct Handshake;

impl Service<Uri> for Handshake {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = Ready<Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: Uri) -> Self::Future {
        let alert = "received fatal alert: HandshakeFailure";
        ready(Err(std::io::Error::new(std::io::ErrorKind::InvalidData, alert)))
    }
}

#[tokio::test]
async fn whatever_fails_while_connecting_means_that_nothing_left() {
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(Handshake);
    let error = client.request(post("https://127.0.0.1/")).await.unwrap_err();
    assert_eq!(effect(error), Effect::None);
}

#[tokio::test]
async fn a_server_that_hangs_up_after_it_read_may_have_done_the_work() {
    let uri = server(|mut stream| async move { read_head(&mut stream).await }).await;
    assert_eq!(effect(client().request(post(&uri)).await.unwrap_err()), Effect::Maybe);
}

#[tokio::test]
async fn a_reset_after_the_request_may_have_had_an_effect() {
    let uri = server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(effect(client().request(post(&uri)).await.unwrap_err()), Effect::Maybe);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_an_answer_to_what_was_done() {
    let uri = server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap();
    })
    .await;
    assert_eq!(effect(client().request(post(&uri)).await.unwrap_err()), Effect::Maybe);
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_have_had_an_effect() {
    let uri = server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let answer = client().request(post(&uri)).await.unwrap();
    assert_eq!(effect(answer.into_body().collect().await.unwrap_err()), Effect::Maybe);
}

type Sender<B> = hyper::client::conn::http1::SendRequest<B>;

/// A connection of hyper's lowest layer, driven in the background, and its other end.
async fn connection<B>() -> (Sender<B>, DuplexStream)
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let (ours, theirs) = duplex(64 * 1_024);
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    (sender, theirs)
}

#[tokio::test]
async fn a_connection_that_was_closed_before_took_nothing() {
    let (mut sender, theirs) = connection::<Full<Bytes>>().await;
    drop(theirs);
    let closed = loop {
        match sender.ready().await {
            Err(closed) => break closed,
            Ok(()) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(effect(closed), Effect::None);
    let cancelled = sender.send_request(post("/")).await.unwrap_err();
    assert!(cancelled.is_canceled());
    assert_eq!(effect(cancelled), Effect::None);
}

#[tokio::test]
async fn a_server_that_hangs_up_without_reading_could_have_read_for_all_we_know() {
    let (mut sender, theirs) = connection::<Full<Bytes>>().await;
    let attempt = tokio::spawn(sender.send_request(post("/")));
    // Long enough for the connection's task to write it.
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    drop(theirs);
    assert_eq!(effect(attempt.await.unwrap().unwrap_err()), Effect::Maybe);
}

#[tokio::test]
async fn a_connection_that_is_busy_took_nothing() {
    let (mut sender, _theirs) = connection::<Full<Bytes>>().await;
    sender.ready().await.unwrap();
    let _first = sender.send_request(post("/"));
    tokio::task::yield_now().await;
    let errors = [sender.send_request(post("/")), sender.send_request(post("/"))];
    let mut told = Vec::new();
    for error in errors {
        let waited = tokio::time::timeout(Duration::from_millis(50), error).await;
        told.extend(waited.ok().and_then(Result::err).map(effect));
    }
    assert!(!told.is_empty(), "one of them was not taken");
    assert!(told.iter().all(|effect| *effect == Effect::None));
}

/// The server's own word for "I did nothing": HTTP/2's `REFUSED_STREAM`.
#[tokio::test]
async fn a_rejected_stream_had_no_effect_and_any_other_reset_may_have() {
    for (reason, expected) in
        [(h2::Reason::REFUSED_STREAM, Effect::None), (h2::Reason::INTERNAL_ERROR, Effect::Maybe)]
    {
        let (ours, theirs) = duplex(64 * 1_024);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            while let Some(Ok((_request, mut answer))) = server.accept().await {
                answer.send_reset(reason);
            }
        });
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(ours))
                .await
                .unwrap();
        tokio::spawn(connection);
        let error = sender.send_request(post("http://a.test/")).await.unwrap_err();
        assert_eq!(effect(error), expected, "{reason:?}");
    }
}

#[tokio::test]
async fn the_default_judge_tells_them_apart_too() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error: BoxError =
        client().request(post(&format!("http://{free}/"))).await.unwrap_err().into();
    let judge = HttpClassifier::new(sandtower_core::RequestInfo::default());
    let verdict = ClassifyResponse::<Response<()>>::classify(&judge, Err(&error));
    assert_eq!(verdict, Verdict::transient(Effect::None));
}

/// A body that is still arriving is no reason not to retry, and is sent whole both
/// times.
#[tokio::test]
async fn museum_15_a_body_that_came_over_the_network_is_sent_again() {
    // A request comes in over one connection...
    let (incoming, mut bodies) = tokio::sync::mpsc::unbounded_channel::<Incoming>();
    let (mut front, their_end) = connection::<Full<Bytes>>().await;
    tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(
        TokioIo::new(their_end),
        hyper::service::service_fn(move |request: Request<Incoming>| {
            incoming.send(request.into_body()).unwrap();
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        }),
    ));
    tokio::spawn(front.send_request(post("/")));
    let body = ReplayBody::new(bodies.recv().await.unwrap());
    let request = Request::post("/").header("host", "b.test").body(body).unwrap();
    let again = Replayed.copy(&request).unwrap();

    // ... goes out over a second, which breaks when its head was read ...
    let (mut broken, mut their_end) = connection().await;
    let attempt = tokio::spawn(broken.send_request(request));
    their_end.read_exact(&mut [0; 8]).await.unwrap();
    drop(their_end);
    assert_eq!(effect(attempt.await.unwrap().unwrap_err()), Effect::Maybe);

    // ... and again over a third.
    assert!(again.body().is_replayable());
    let (mut sender, mut their_end) = connection().await;
    tokio::spawn(sender.send_request(again));
    let mut read = Vec::new();
    while !read.ends_with(b"to be done once") {
        assert_ne!(their_end.read_buf(&mut read).await.unwrap(), 0);
    }
}
