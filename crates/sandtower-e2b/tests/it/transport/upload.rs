//! Uploads record their progress.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use sandtower_core::Tick;
use sandtower_e2b::Progress;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::net::Server;
use super::straight;

/// More than the socket buffers of the system hold.
const LENGTH: usize = 24 << 20;

#[tokio::test]
async fn an_upload_progresses_as_its_peer_reads_it() {
    let (begun, reads) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server =
        Server::that_reads_when_notified(LENGTH, Arc::clone(&begun), Arc::clone(&reads)).await;
    let transport = straight().build().unwrap();
    for _ in 0..3 {
        let progress = Progress::default();
        let body = Full::new(Bytes::from(vec![0; LENGTH]));
        let request = Request::post(&server.uri).extension(progress.clone()).body(body).unwrap();
        let upload = tokio::spawn(transport.clone().oneshot(request));
        begun.notified().await;
        // It has begun, and cannot end before its peer reads.
        let notified = Tick::now();
        assert!(progress.last_moved().is_some_and(|moved| moved <= notified));
        reads.notify_one();
        assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::OK);
        assert!(progress.last_moved().is_some_and(|moved| moved > notified), "it moved after that");
    }
}
