//! Progress as server-sent events, and errors as responses of Axum.

use std::time::Duration;

use ::axum::response::IntoResponse;
use http::StatusCode;
use http_body_util::BodyExt;
use sandtower::admission::Progress;
use sandtower::axum::{ErrorResponse, progress_sse, sse};
use sandtower::core::{BoxError, Reason, Rejection};

/// The events of a response: their names and data.
async fn events(response: impl IntoResponse) -> Vec<(String, serde_json::Value)> {
    let response = response.into_response();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let events = text.split("\n\n").filter(|event| event.starts_with("event:"));
    let parsed = events.map(|event| {
        let field = |name| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
        (field("event:").to_owned(), serde_json::from_str(field("data:")).unwrap())
    });
    parsed.collect()
}

#[tokio::test(start_paused = true)]
async fn a_call_sends_its_progress_and_then_its_result() {
    let progress = Progress::new();
    let shown = progress.clone();
    let call = async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        shown.checking();
        tokio::time::sleep(Duration::from_secs(1)).await;
        shown.running();
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok::<_, BoxError>("two\nlines")
    };
    let events = events(sse(progress, call)).await;
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["progress", "progress", "progress", "result"]);
    let states: Vec<_> = events[..3].iter().map(|(_, data)| data["state"].clone()).collect();
    assert_eq!(states, ["waiting", "checking", "running"]);
    assert_eq!(events[3].1, "two\nlines");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_sends_an_error_without_its_text() {
    let call = async { Err::<(), BoxError>("secret".into()) };
    let events = events(sse(Progress::new(), call)).await;
    let (name, data) = events.last().unwrap();
    assert_eq!(name, "error");
    assert!(data["error"].is_string() && !data.to_string().contains("secret"), "{data}");
}

#[tokio::test(start_paused = true)]
async fn the_progress_of_a_call_elsewhere_ends_with_the_call() {
    let progress = Progress::new();
    let response = progress_sse(&progress);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(progress);
    });
    let states: Vec<_> =
        events(response).await.into_iter().map(|(_, data)| data["state"].clone()).collect();
    assert_eq!(states, ["waiting", "done"]);
}

#[tokio::test]
async fn every_rejection_has_a_status_a_type_and_a_time() {
    for (reason, status, after) in [
        (Reason::OverLimit { count: 9, limit: 9 }, StatusCode::TOO_MANY_REQUESTS, "5"),
        (Reason::Draining, StatusCode::SERVICE_UNAVAILABLE, "5"),
        (Reason::QueueFull { waiting: 3 }, StatusCode::SERVICE_UNAVAILABLE, "1"),
    ] {
        let error = BoxError::from(Rejection::new("admission", "E2B", reason));
        let response = ErrorResponse::from(error).into_response();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["retry-after"], after);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(body["error"].is_string(), "{body}");
    }
    let known = Rejection::new("admission", "E2B", Reason::Draining);
    let known = ErrorResponse::from(&known.come_back_in(Duration::from_millis(7_200)));
    let response = known.into_response();
    assert_eq!(response.headers()["retry-after"], "8");
}

#[tokio::test]
async fn a_timeout_is_a_504_and_any_other_error_a_502_without_its_text() {
    let timeout = std::io::Error::from(std::io::ErrorKind::TimedOut);
    assert_eq!(ErrorResponse::from(BoxError::from(timeout)).status(), StatusCode::GATEWAY_TIMEOUT);
    let other = ErrorResponse::from(BoxError::from("secret"));
    assert_eq!(other.status(), StatusCode::BAD_GATEWAY);
    assert!(!format!("{other:?}").contains("secret"));
}
