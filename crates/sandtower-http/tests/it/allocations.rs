//! Classification does not allocate.

use std::hint::black_box;

use http::{Request, Response};
use sandtower_core::{Classify, ClassifyResponse, Outcome};
use sandtower_http::{GrpcClassify, HttpClassify};
use sandtower_testkit::allocations;

fn response(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

fn costs<C>(classify: &C, response: &Response<()>, expected: Outcome) -> u64
where
    C: Classify<Request<()>, Classifier: ClassifyResponse<Response<()>>>,
{
    let request = Request::post("https://a.test/a.B/C").body(()).unwrap();
    allocations(|| {
        let verdict = classify.classify(&request).classify(Ok(response));
        assert_eq!(black_box(verdict).outcome, expected);
    })
}

#[test]
fn classifying_a_response_does_not_allocate() {
    let http = HttpClassify::default();
    assert_eq!(costs(&http, &response(200, &[]), Outcome::Success), 0);
    let limited = response(
        200,
        &[
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("ratelimit", "\"burst\";r=50;t=30, \"day\";r=900;t=3600"),
            ("ratelimit-policy", "\"burst\";q=100;w=60, \"day\";q=1000;w=86400"),
        ],
    );
    assert_eq!(costs(&http, &limited, Outcome::Success), 0);
    let throttled = response(
        429,
        &[
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 08:49:44 GMT"),
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "784111784"),
        ],
    );
    assert_eq!(costs(&http, &throttled, Outcome::Throttled), 0);
}

#[test]
fn classifying_grpc_does_not_allocate() {
    let grpc = GrpcClassify::default();
    assert_eq!(costs(&grpc, &response(200, &[]), Outcome::Success), 0);
    let busy = response(200, &[("grpc-status", "8"), ("grpc-retry-pushback-ms", "100")]);
    assert_eq!(costs(&grpc, &busy, Outcome::Throttled), 0);
}

#[cfg(feature = "tower-http")]
#[test]
fn classifying_with_tower_http_does_not_allocate() {
    use sandtower_http::TowerClassify;
    use tower_http::classify::ServerErrorsAsFailures;

    let classify = TowerClassify::new(ServerErrorsAsFailures::make_classifier());
    assert_eq!(costs(&classify, &response(200, &[]), Outcome::Success), 0);
    assert_eq!(costs(&classify, &response(503, &[]), Outcome::Transient), 0);
}
