//! The recommended stack as its users have it: calls of E2B, over an HTTP service that responds at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::Full;
use sandtower::core::{CallEnd, ObserveCalls};
use sandtower::e2b::{Config, operation};
use sandtower::http::Explain;
use sandtower::stack::{Builder, Plan, Stack, StackService};
use sandtower_telemetry::Durations;
use tower::{Layer, Service};

use crate::bare;
use crate::case::{Case, Runner};

type Request = http::Request<Full<Bytes>>;

const GET: (Method, &str) = (Method::GET, "https://api.e2b.app/sandboxes/iabcdefghijklmnopqrst");

const ENVD: (Method, &str) =
    (Method::POST, "https://49983-iabcdefghijklmnopqrst.e2b.app/filesystem.Filesystem/Stat");

/// The baseline of the others: a request is created, by copying another, and gets its response.
pub(super) fn request() -> Case {
    Case::shared_work("e2b/request", || runner(Api, GET))
}

/// A sandbox is asked for.
pub(super) fn get() -> Case {
    stacked("sandtower/e2b", GET)
}

/// The same, with each call observed.
pub(super) fn observed() -> Case {
    built("sandtower/e2b-observed", |stack| stack.observe_calls(Arc::new(Ignore)))
}

/// The same, with histograms of durations.
pub(super) fn durations() -> Case {
    let durations = Durations::new(operation::GROUPS, operation::group);
    built("sandtower/e2b-durations", |stack| stack.observe_calls(Arc::new(durations)))
}

/// The same, with an explanation on each response.
pub(super) fn explained() -> Case {
    built("sandtower/e2b-explained", |stack| stack.explain(Explain::new()))
}

/// The same, with spans that no subscriber wants.
pub(super) fn traced() -> Case {
    built("sandtower/e2b-traced", |stack| stack.traces(|traces| traces))
}

struct Ignore;

impl ObserveCalls for Ignore {
    fn call_ended(&self, call: &CallEnd<'_>) {
        black_box(call.explanation.total());
    }
}

/// Something in a sandbox is.
pub(super) fn envd() -> Case {
    stacked("sandtower/e2b-envd", ENVD)
}

#[expect(clippy::expect_used, reason = "a key of the right form")]
fn stacked(name: &'static str, what: (Method, &'static str)) -> Case {
    let config = Config::new("e2b_0123").expect("a key");
    let service = Stack::recommended(config, Plan::Pro).layer(Api);
    Case::shared_work(name, move || runner(service.clone(), what.clone()))
}

#[expect(clippy::expect_used, reason = "a key of the right form, and the stack's own defaults")]
fn built(name: &'static str, change: impl FnOnce(Builder) -> Builder) -> Case {
    let config = Config::new("e2b_0123").expect("a key");
    let stack = change(Stack::builder(config).plan(Plan::Pro)).build().expect("its own defaults");
    let service: StackService = stack.layer(Api);
    Case::shared_work(name, move || runner(service.clone(), GET))
}

/// # Panics
///
/// If calls do not succeed: something else would be measured.
#[expect(clippy::expect_used, reason = "constants that make a request")]
fn runner<S, B>(mut service: S, (method, uri): (Method, &str)) -> Runner
where
    S: Service<Request, Response = Response<B>> + Send + 'static,
{
    let request = http::Request::builder().method(method).uri(uri).header("x-api-key", "e2b_0123");
    let request = request.body(Full::default()).expect("a request");
    let mut ask = move || black_box(bare::call(&mut service, black_box(request.clone())));
    assert!(ask().is_ok_and(|response| response.status().is_success()), "no success");
    Box::new(move |calls| {
        for _ in 0..calls {
            let _ = ask();
        }
    })
}

/// Responds at once, with an empty body.
#[derive(Clone, Debug)]
struct Api;

impl Service<Request> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: Request) -> Self::Future {
        ready(Ok(Response::new(Full::default())))
    }
}
