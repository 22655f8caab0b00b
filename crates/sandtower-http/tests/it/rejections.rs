//! Rejections as responses, for clients of a server that is built on the layers.

use std::future::ready;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use sandtower_core::{BoxError, ClassifiedError, Operation, Reason, Rejection, Verdict};
use sandtower_http::{RejectionResponseLayer, rejection_head, rejection_response};
use sandtower_testkit::Exchange;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

const REASONS: [(Reason, u16); 10] = [
    (Reason::Open { failed: 7, of: 8 }, 503),
    (Reason::ForcedOpen, 503),
    (Reason::Probing, 503),
    (Reason::OverLimit { count: 5, limit: 5 }, 429),
    (Reason::Throttled, 429),
    (Reason::Full { limit: 9 }, 503),
    (Reason::QueueFull { waiting: 9 }, 503),
    (Reason::TooLate { waited: Duration::from_secs(1) }, 503),
    (Reason::Unhealthy, 503),
    (Reason::Draining, 503),
];

fn rejection(reason: Reason) -> Rejection {
    Rejection::new("circuit breaker", "E2B", reason)
}

/// The response of a service that fails with `error`.
async fn respond(
    layer: RejectionResponseLayer,
    error: impl Into<BoxError>,
) -> Result<Response<Bytes>, BoxError> {
    let mut error = Some(error.into());
    let inner = service_fn(move |_: Request<()>| {
        ready(Err::<Response<Full<Bytes>>, _>(error.take().unwrap()))
    });
    let service = layer.layer(inner);
    let (head, body) = service.oneshot(Request::new(())).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await.unwrap().to_bytes()))
}

#[test]
fn each_reason_has_its_status() {
    for (reason, status) in REASONS {
        assert_eq!(rejection_response(&rejection(reason)).status().as_u16(), status, "{reason:?}");
    }
}

#[test]
fn retry_after_is_rounded_up() {
    let retry_after = |wait| {
        let rejection = rejection(Reason::Probing).come_back_in(wait);
        rejection_response(&rejection).headers()[header::RETRY_AFTER].to_str().unwrap().to_owned()
    };
    assert_eq!(retry_after(Duration::ZERO), "1");
    assert_eq!(retry_after(Duration::from_millis(999)), "1");
    assert_eq!(retry_after(Duration::from_secs(45)), "45");
    assert_eq!(retry_after(Duration::new(45, 1)), "46");
    assert_eq!(retry_after(Duration::MAX), u64::MAX.to_string());
    let guessed = |reason| rejection_response(&rejection(reason)).headers()["retry-after"].clone();
    assert_eq!(guessed(Reason::QueueFull { waiting: 9 }), "1");
    assert_eq!(guessed(Reason::Draining), "5");
}

#[tokio::test]
async fn the_body_names_the_layer_the_reason_and_the_wait() {
    let rejected = rejection(Reason::Open { failed: 7, of: 8 })
        .about(Operation::new(1, "sandbox_create"))
        .come_back_in(Duration::from_millis(1_200));
    let response = respond(RejectionResponseLayer::new(), rejected).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(
        serde_json::from_slice::<Value>(response.body()).unwrap(),
        json!({
            "error": "circuit breaker `E2B` for sandbox_create is open: 7 of the last 8 calls \
                failed; retry in 1.2 s",
            "reason": "open",
            "layer": "circuit breaker",
            "operation": "sandbox_create",
            "retry_after_ms": 1_200,
        }),
    );
}

#[test]
fn the_head_for_a_custom_body_has_no_content_type() {
    let rejected = rejection(Reason::Throttled).come_back_in(Duration::from_secs(2));
    let text = rejection_head(&rejected).map(|()| rejected.to_string());
    assert!(!text.headers().contains_key(header::CONTENT_TYPE));
    let json = rejection_response(&rejected);
    assert_eq!(json.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(text.status(), json.status());
    assert_eq!(text.headers()[header::RETRY_AFTER], json.headers()[header::RETRY_AFTER]);
}

#[tokio::test]
async fn a_name_with_quotes_is_escaped_in_json() {
    let rejected = Rejection::new("admission", "\"a\\\n", Reason::Draining);
    let response = respond(RejectionResponseLayer::new(), rejected).await.unwrap();
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["error"], "admission `\"a\\\n` is shutting down");
}

#[tokio::test]
async fn a_rejection_is_found_deep_in_the_chain() {
    let deep = ClassifiedError::new(Verdict::rejected(), rejection(Reason::Throttled));
    let response = respond(RejectionResponseLayer::new(), deep).await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn every_other_error_passes_unchanged() {
    let error = respond(RejectionResponseLayer::new(), std::io::Error::other("broken")).await;
    assert_eq!(error.unwrap_err().downcast::<std::io::Error>().unwrap().to_string(), "broken");
}

#[test]
fn keeps_the_tower_contract() {
    let response = |number: u64| {
        let mut response = Response::new(Full::<Bytes>::from("body"));
        response.extensions_mut().insert(number);
        response
    };
    Exchange::new(Request::new, response)
        .contract(
            |inner| RejectionResponseLayer::new().layer(inner),
            |response| *response.extensions().get().unwrap(),
        )
        .run();
}

#[cfg(feature = "tonic")]
mod grpc {
    use sandtower_core::{Classify, ClassifyResponse};
    use sandtower_http::{GrpcClassify, rejection_grpc};
    use tonic::Code;

    use super::*;

    #[test]
    fn each_reason_has_its_code() {
        for (reason, status) in REASONS {
            let expected = match (reason, status) {
                (Reason::TooLate { .. }, _) => Code::DeadlineExceeded,
                (_, 429) => Code::ResourceExhausted,
                _ => Code::Unavailable,
            };
            assert_eq!(rejection_grpc(&rejection(reason)).code(), expected, "{reason:?}");
        }
    }

    #[tokio::test]
    async fn a_grpc_client_gets_the_pushback() {
        let rejected =
            rejection(Reason::Throttled).come_back_in(Duration::from_nanos(1_200_000_001));
        let response = respond(RejectionResponseLayer::grpc(), rejected).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/grpc");
        let classifier = GrpcClassify::default().classify(&Request::new(()));
        let wait = Duration::from_millis(1_201);
        let throttled = Verdict::throttled().effect(sandtower_core::Effect::Maybe);
        assert_eq!(classifier.classify(Ok(&response)), throttled.retry_after(wait));
    }

    #[test]
    fn a_wait_beyond_the_range_of_pushback_is_capped() {
        let status = rejection_grpc(&rejection(Reason::Probing).come_back_in(Duration::MAX));
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "2147483647");
    }

    /// The statuses that Tonic's servers write are classified.
    #[test]
    fn the_statuses_of_tonic_are_classified_by_the_table() {
        let classifier = GrpcClassify::default().classify(&Request::new(()));
        for (code, verdict) in [
            (Code::Ok, Verdict::success()),
            (Code::NotFound, Verdict::permanent()),
            (Code::ResourceExhausted, Verdict::throttled().effect(sandtower_core::Effect::Maybe)),
            (Code::Unavailable, Verdict::transient(sandtower_core::Effect::Maybe)),
            (Code::Internal, Verdict::unknown()),
        ] {
            let response: Response<()> = tonic::Status::new(code, "said").into_http();
            assert_eq!(classifier.classify(Ok(&response)), verdict, "{code:?}");
        }
    }

    #[test]
    fn a_channel_that_failed_to_connect_sent_nothing() {
        let error = tonic::ConnectError("handshake failed".into());
        let verdict = sandtower_http::verdict_of_transport(&error);
        assert_eq!(verdict, Verdict::transient(sandtower_core::Effect::None));
    }
}
