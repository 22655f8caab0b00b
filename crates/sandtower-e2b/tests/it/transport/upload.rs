//! Uploads that move, and those that stand still.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use sandtower_core::{Sleep, Tick};
use sandtower_e2b::{HttpTransport, Progress};
use tower::ServiceExt;

use super::net::Server;
use super::straight;

const LIMIT: Duration = Duration::from_secs(2);

/// What a timeout of attempts does that counts standing still: `None`, it gave up.
async fn upload(
    transport: &HttpTransport,
    uri: &str,
    length: usize,
) -> Option<(StatusCode, Duration)> {
    let progress = Progress::default();
    let body = Full::new(Bytes::from(vec![0; length]));
    let request = Request::post(uri).extension(progress.clone()).body(body).unwrap();
    let began = Tick::now();
    let mut response = std::pin::pin!(transport.clone().oneshot(request));
    loop {
        let until = progress.last_moved().unwrap_or(began) + LIMIT;
        if until <= Tick::now() {
            return None;
        }
        tokio::select! {
            biased;
            response = &mut response => {
                return Some((response.unwrap().status(), Tick::now().since(began)));
            }
            () = Sleep::until(until) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_moves_is_seen_to_move_however_long_it_takes() {
    let length = 24 << 20;
    // The last few MB are in the buffers of the system, where they are not seen to move: at this pace
    // for less than the limit.
    let every = Duration::from_millis(200);
    let server = Server::that_reads_slowly(length, 1 << 20, every).await;
    let transport = straight().build().unwrap();
    let (status, took) = upload(&transport, &server.uri, length).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(took > 2 * LIMIT, "it took longer than its timeout: {took:?}");
    assert_eq!(server.requests(), 1, "it was begun once");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_does_not_look_as_if_it_moved() {
    let length = 24 << 20;
    let server = Server::that_reads_slowly(length, 1 << 20, Duration::from_secs(3_600)).await;
    let transport = straight().build().unwrap();
    assert_eq!(upload(&transport, &server.uri, length).await, None);
}
