//! Judging costs no allocation.

#![expect(clippy::unwrap_used, reason = "what helps a test fails it by a panic")]

use std::hint::black_box;

use http::{Request, Response};
use sandtower_core::{Classify, ClassifyResponse, Outcome};
use sandtower_http::{GrpcClassify, HttpClassify};
use sandtower_testkit::{CountingAllocator, allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::system();

fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> Response<()> {
    let mut answer = Response::builder().status(status);
    for (name, value) in fields {
        answer = answer.header(*name, *value);
    }
    answer.body(()).unwrap()
}

fn costs<C>(classify: &C, answer: &Response<()>, expected: Outcome) -> u64
where
    C: Classify<Request<()>, Classifier: ClassifyResponse<Response<()>>>,
{
    let request = Request::post("https://a.test/a.B/C").body(()).unwrap();
    allocations(|| {
        let verdict = classify.classify(&request).classify(Ok(answer));
        assert_eq!(black_box(verdict).outcome, expected);
    })
}

#[test]
fn judging_an_answer_costs_no_allocation() {
    let http = HttpClassify::default();
    assert_eq!(costs(&http, &answer(200, &[]), Outcome::Success), 0);
    let limited = answer(
        200,
        &[
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("ratelimit", "\"burst\";r=50;t=30, \"day\";r=900;t=3600"),
            ("ratelimit-policy", "\"burst\";q=100;w=60, \"day\";q=1000;w=86400"),
        ],
    );
    assert_eq!(costs(&http, &limited, Outcome::Success), 0);
    let throttled = answer(
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
fn judging_grpc_costs_no_allocation() {
    let grpc = GrpcClassify::default();
    assert_eq!(costs(&grpc, &answer(200, &[]), Outcome::Success), 0);
    let busy = answer(200, &[("grpc-status", "8"), ("grpc-retry-pushback-ms", "100")]);
    assert_eq!(costs(&grpc, &busy, Outcome::Throttled), 0);
}

#[cfg(feature = "tower-http")]
#[test]
fn judging_by_a_classifier_of_tower_http_costs_no_allocation() {
    use sandtower_http::TowerClassify;
    use tower_http::classify::ServerErrorsAsFailures;

    let classify = TowerClassify::new(ServerErrorsAsFailures::make_classifier());
    assert_eq!(costs(&classify, &answer(200, &[]), Outcome::Success), 0);
    assert_eq!(costs(&classify, &answer(503, &[]), Outcome::Transient), 0);
}
