//! Streaming requests under a retry: replayable bodies and retries together.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use sandtower_core::{Attempt, BoxError};
use sandtower_http::{ReplayBody, ReplayLayer, Replayed, retry_layer};
use sandtower_retry::Config;
use tower::{Layer, ServiceExt, service_fn};

/// A body that exists once, in chunks, and cannot be cloned.
struct Upload(u32);

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0 = match self.0.checked_sub(1) {
            Some(left) => left,
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
    }
}

type Received = Arc<Mutex<Vec<usize>>>;

/// Uploads this many chunks to a service that first responds with 503, and returns the successful attempt
/// and what was received.
async fn upload(pieces: u32) -> (Response<Empty<Bytes>>, Vec<usize>) {
    let received = Received::default();
    let service = service_fn({
        let received = Arc::clone(&received);
        move |request: Request<ReplayBody<Upload>>| {
            let received = Arc::clone(&received);
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let mut received = received.lock().unwrap();
                received.push(body.len());
                let mut response = Response::new(Empty::new());
                if received.len() == 1 {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                Ok::<_, BoxError>(response)
            }
        }
    });
    let retry = retry_layer(Config::classic()).resend(Replayed);
    let service = ReplayLayer::new().cap(100).layer(retry.layer(service));
    let response = service.oneshot(Request::put("/file").body(Upload(pieces)).unwrap()).await;
    let received = received.lock().unwrap().clone();
    (response.unwrap(), received)
}

#[tokio::test(start_paused = true)]
async fn a_streaming_upload_is_retried_with_its_whole_body() {
    let (response, received) = upload(10).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(received, [50, 50]);
    assert_eq!(response.extensions().get::<Attempt>().unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn an_upload_beyond_the_cap_is_sent_once_and_its_response_passed_on() {
    let (response, received) = upload(1_000).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(received, [5_000]);
}

/// A body whose source cannot connect after the first chunk.
struct Broken(bool);

impl Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(match std::mem::replace(&mut self.0, true) {
            false => Ok(Frame::data(Bytes::from_static(b"piece"))),
            true => Err(std::io::ErrorKind::ConnectionRefused.into()),
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_body_fails_midway_is_sent_once() {
    for method in [http::Method::POST, http::Method::PUT] {
        let orders = Arc::new(Mutex::new(0));
        let service = service_fn({
            let orders = Arc::clone(&orders);
            move |request: Request<ReplayBody<Broken>>| {
                *orders.lock().unwrap() += 1;
                async move {
                    let body = request.into_body().collect().await;
                    Err::<Response<Empty<Bytes>>, BoxError>(body.map(drop).unwrap_err())
                }
            }
        });
        let retry = retry_layer(Config::recommended()).resend(Replayed);
        let service = ReplayLayer::new().layer(retry.layer(service));
        let order = Request::builder().method(method).uri("/order").body(Broken(false)).unwrap();
        assert!(service.oneshot(order).await.is_err());
        assert_eq!(*orders.lock().unwrap(), 1);
    }
}
