//! The errors of hyper's clients, over real sockets: was the request sent?

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
use sandtower_core::{BoxError, Classify, ClassifyResponse, Effect, Outcome, Resend, Verdict};
use sandtower_http::{
    CallerBody, HttpClassifier, HttpClassify, ReplayBody, Replayed, TransportFault,
    verdict_of_transport,
};
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

/// A server for one connection, which is passed to `serve`.
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
async fn a_failed_connect_means_that_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().request(post(&format!("http://{free}/"))).await.unwrap_err();
    assert_eq!(effect(error), Effect::None);
}

#[tokio::test]
async fn a_name_that_is_not_found_means_that_nothing_was_sent() {
    let error = client().request(post("http://no-such-host.invalid/")).await.unwrap_err();
    assert_eq!(effect(error), Effect::None);
}

/// A connector that fails like TLS: with an error of its own, which is opaque to us.
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
async fn whatever_fails_while_connecting_means_that_nothing_was_sent() {
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
async fn an_invalid_response_may_have_had_an_effect() {
    let uri = server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap();
    })
    .await;
    assert_eq!(effect(client().request(post(&uri)).await.unwrap_err()), Effect::Maybe);
}

#[tokio::test]
async fn a_response_that_breaks_off_may_have_had_an_effect() {
    let uri = server(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    })
    .await;
    let response = client().request(post(&uri)).await.unwrap();
    assert_eq!(effect(response.into_body().collect().await.unwrap_err()), Effect::Maybe);
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
async fn a_connection_that_was_closed_before_sent_nothing() {
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
async fn a_server_that_hangs_up_without_reading_may_have_read() {
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
async fn a_busy_connection_sent_nothing() {
    let (mut sender, _theirs) = connection::<Full<Bytes>>().await;
    sender.ready().await.unwrap();
    let _first = sender.send_request(post("/"));
    tokio::task::yield_now().await;
    let errors = [sender.send_request(post("/")), sender.send_request(post("/"))];
    let mut effects = Vec::new();
    for error in errors {
        let waited = tokio::time::timeout(Duration::from_millis(50), error).await;
        effects.extend(waited.ok().and_then(Result::err).map(effect));
    }
    assert!(!effects.is_empty(), "one of them was not taken");
    assert!(effects.iter().all(|effect| *effect == Effect::None));
}

/// The server's own signal for "not processed": HTTP/2's `REFUSED_STREAM`.
#[tokio::test]
async fn a_rejected_stream_had_no_effect_and_any_other_reset_may_have() {
    for (reason, expected) in
        [(h2::Reason::REFUSED_STREAM, Effect::None), (h2::Reason::INTERNAL_ERROR, Effect::Maybe)]
    {
        let (ours, theirs) = duplex(64 * 1_024);
        tokio::spawn(async move {
            let mut server = h2::server::handshake(theirs).await.unwrap();
            while let Some(Ok((_request, mut response))) = server.accept().await {
                response.send_reset(reason);
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
async fn the_default_classifier_distinguishes_them_too() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error: BoxError =
        client().request(post(&format!("http://{free}/"))).await.unwrap_err().into();
    let classifier = HttpClassifier::new(sandtower_core::RequestInfo::default());
    let verdict = ClassifyResponse::<Response<()>>::classify(&classifier, Err(&error));
    assert_eq!(verdict, Verdict::transient(Effect::None));
}

/// A body that is still arriving does not prevent a retry, and is sent whole both
/// times.
#[tokio::test]
async fn a_body_from_the_network_is_sent_again() {
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

/// A body whose source fails after the first chunk.
struct Broken(u32);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        self.0 += 1;
        Poll::Ready(Some(match self.0 {
            1 => Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
            _ => Err(std::io::ErrorKind::ConnectionRefused.into()),
        }))
    }
}

/// The error of hyper-util's client for a request with `body`, whose source could not connect.
async fn error_of<B>(body: B) -> BoxError
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let uri = server(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending().await
    })
    .await;
    let client = Client::builder(TokioExecutor::new()).build_http::<B>();
    client.request(Request::post(uri).body(body).unwrap()).await.unwrap_err().into()
}

#[tokio::test]
async fn a_request_body_that_fails_midway_is_a_cancelled_call_and_not_a_failed_connect() {
    let errors = [
        error_of(CallerBody::new(Broken(0))).await,
        error_of(ReplayBody::new(Broken(0))).await,
        error_of(Broken(0)).await,
        std::io::Error::other(error_of(CallerBody::new(Broken(0))).await).into(),
    ];
    for error in errors {
        let verdict = verdict_of_transport(&*error);
        assert_eq!(
            (verdict.outcome, verdict.effect),
            (Outcome::Cancelled, Effect::Maybe),
            "{error:?}"
        );
        assert!(!verdict.is_failure());
    }
}

/// A wrapper around hyper's errors, as of an HTTP library that follows redirects.
#[derive(Debug)]
struct Library(BoxError);

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("error sending request")
    }
}

impl std::error::Error for Library {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test]
async fn where_redirects_may_be_followed_a_failed_connect_may_have_had_an_effect() {
    let failed_connect = async || {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        client().request(post(&format!("http://{free}/"))).await.unwrap_err()
    };
    assert_eq!(effect(failed_connect().await), Effect::None);
    assert_eq!(effect(std::io::Error::other(failed_connect().await)), Effect::None);
    assert_eq!(effect(Library(failed_connect().await.into())), Effect::Maybe);
    assert_eq!(
        effect(std::io::Error::other(Library(failed_connect().await.into()))),
        Effect::Maybe
    );
    let classifier = HttpClassify::default().follows_redirects().classify(&post("/"));
    let error = failed_connect().await.into();
    let verdict = ClassifyResponse::<Response<()>>::classify(&classifier, Err(&error));
    assert_eq!(verdict, Verdict::transient(Effect::Maybe));
}

/// Fails to connect with `error`.
async fn connecting(error: fn() -> std::io::Error) -> BoxError {
    #[derive(Clone)]
    struct Fails(fn() -> std::io::Error);
    impl Service<Uri> for Fails {
        type Response = TokioIo<TcpStream>;
        type Error = std::io::Error;
        type Future = Ready<Result<Self::Response, std::io::Error>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _uri: Uri) -> Self::Future {
            ready(Err((self.0)()))
        }
    }
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(Fails(error));
    client.request(post("https://127.0.0.1/")).await.unwrap_err().into()
}

#[tokio::test]
async fn an_untrusted_certificate_is_permanent_and_no_outage() {
    let error = connecting(|| {
        let text = "invalid peer certificate: UnknownIssuer";
        std::io::Error::new(std::io::ErrorKind::InvalidData, text)
    })
    .await;
    assert_eq!(TransportFault::of(&*error), Some(TransportFault::UntrustedCertificate));
    assert_eq!(verdict_of_transport(&*error), Verdict::permanent().about_caller());
}

#[cfg(unix)]
#[tokio::test]
async fn an_exhausted_machine_sent_nothing_and_blames_no_service() {
    let errors: [fn() -> std::io::Error; 4] = [
        || std::io::Error::from_raw_os_error(24),
        || std::io::Error::from_raw_os_error(23),
        || std::io::Error::from_raw_os_error(12),
        || std::io::ErrorKind::AddrNotAvailable.into(),
    ];
    for error in errors {
        let error = connecting(error).await;
        let verdict = verdict_of_transport(&*error);
        assert_eq!(verdict, Verdict::transient(Effect::None).about_caller(), "{error:?}");
        assert!(!verdict.is_failure());
    }
}
