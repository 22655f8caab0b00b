//! A reqwest client as a service, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use sandtower_core::{BoxError, Effect, Outcome, verdict_of_error};
use sandtower_http::{Reqwest, retry_layer, verdict_of_transport};
use sandtower_retry::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

/// Responds to each connection with the next of `responses`, the last one again and again. Returns its
/// address and how many requests it got.
async fn server(responses: &'static [&'static str]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 1_024];
            let _ = stream.read(&mut head).await;
            let number = counted.fetch_add(1, Ordering::SeqCst).min(responses.len() - 1);
            let _ = stream.write_all(responses[number].as_bytes()).await;
        }
    });
    (address, requests)
}

fn request(url: &str) -> Request<Full<Bytes>> {
    Request::post(url).body(Full::from("body")).unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const BUSY: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\nconnection: close\r\n\
                    content-length: 0\r\n\r\n";
const MOVED: &str = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_response_passes_with_its_body() {
    let (url, requests) = server(&[BUSY, OK]).await;
    let service = retry_layer(Config::recommended()).layer(Reqwest::new().unwrap());
    let response = service.oneshot(request(&url)).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_redirect_is_a_response_like_any_other() {
    let (url, requests) = server(&[MOVED]).await;
    let response = Reqwest::new().unwrap().oneshot(request(&url)).await.unwrap();
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_without_redirects_is_it_known_that_nothing_was_sent() {
    // No service listens on a port that was just given back.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let effect = async |service: Reqwest| {
        let error: BoxError = service.oneshot(request(&url)).await.unwrap_err();
        let verdict = verdict_of_error(&*error).unwrap_or_else(|| verdict_of_transport(&*error));
        assert_eq!(verdict.outcome, Outcome::Transient);
        verdict.effect
    };
    assert_eq!(effect(Reqwest::new().unwrap()).await, Effect::None);
    assert_eq!(effect(Reqwest::from(reqwest::Client::new())).await, Effect::Maybe);
}
