//! Discarding responses: a short failed one is read to its end, and the last one carries its attempt.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use sandtower_core::{Attempt, Outcome, Tick};
use sandtower_http::Http;
use sandtower_retry::ResponseHooks;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A server that responds to every request with 503 and a body of this length, and counts connections.
async fn server(len: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            let response = hyper::service::service_fn(move |_| async move {
                let mut response = Response::new(Full::<Bytes>::from(vec![0; len]));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Ok::<_, Infallible>(response)
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), response);
            tokio::spawn(connection);
        }
    });
    (uri, connections)
}

/// How many connections three calls take whose responses are discarded.
async fn connections_of_three_calls(len: usize) -> usize {
    let (uri, connections) = server(len).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<Full<Bytes>>();
    for _ in 0..3 {
        let request = Request::get(&uri).body(Full::default()).unwrap();
        Http.discard(client.request(request).await.unwrap()).await;
        // The connection returns to its pool in another task on this thread, which runs now.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
    }
    connections.load(Ordering::Relaxed)
}

/// A response that is kept keeps its connection from being reused.
#[tokio::test]
async fn the_connection_of_a_short_failed_response_is_reused() {
    assert_eq!(connections_of_three_calls(16 * 1_024).await, 1);
}

#[tokio::test]
async fn the_connection_of_a_long_failed_response_is_closed() {
    assert_eq!(connections_of_three_calls(4 * 1_024 * 1_024).await, 3);
}

/// A body of the frames that are sent to it.
struct Streamed(mpsc::Receiver<Bytes>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

fn streamed() -> (mpsc::Sender<Bytes>, Response<Streamed>) {
    let (frames, receiver) = mpsc::channel(1_024);
    (frames, Response::new(Streamed(receiver)))
}

#[tokio::test(start_paused = true)]
async fn a_slow_response_is_dropped_after_a_second() {
    let (frames, response) = streamed();
    let mut drain = pin!(Http.discard(response));
    let nearly = Duration::from_millis(999);
    assert!(tokio::time::timeout(nearly, drain.as_mut()).await.is_err());
    assert!(!frames.is_closed());
    let soon = Duration::from_millis(2);
    assert!(tokio::time::timeout(soon, drain.as_mut()).await.is_ok());
    assert!(frames.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_endless_response_is_dropped_as_soon_as_it_is_too_long() {
    for frame in [vec![0; 1_024], vec![]] {
        let (frames, response) = streamed();
        for _ in 0..1_000 {
            frames.try_send(Bytes::from(frame.clone())).unwrap();
        }
        let mut drain = pin!(Http.discard(response));
        let soon = Duration::from_millis(1);
        tokio::time::timeout(soon, drain.as_mut()).await.expect("it waits for nothing");
        assert!(frames.is_closed(), "the body is gone although the future is not");
    }
}

#[test]
fn the_response_for_the_caller_carries_its_attempt() {
    let mut response = Response::new(Full::<Bytes>::default());
    let second = Attempt::first(Tick::ZERO).next(Outcome::Transient);
    Http.stamp(&mut response, &second);
    assert_eq!(response.extensions().get::<Attempt>(), Some(&second));
}
