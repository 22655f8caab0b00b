//! Calls run in tasks over every kind of transport. Half of the test is that it compiles.

#![expect(clippy::unwrap_used, reason = "helpers fail a test by panicking")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::rt::TokioExecutor;
use sandtower::E2b;
use sandtower::core::BoxError;
use sandtower::e2b::{Client, Config, NewSandbox, Sandbox};
use sandtower::stack::{Component, Stack};
use tower::{Service, service_fn};

type Sent = Request<Full<Bytes>>;
type Reply = Response<Full<Bytes>>;

fn config() -> Config {
    // No server listens there.
    Config::new("e2b_0123").unwrap().api_url("http://127.0.0.1:1").unwrap()
}

/// All layers but the health check, which a stubbed response without a sandbox cannot pass.
fn stack() -> Stack {
    Stack::builder(config()).disable(Component::HealthCheck).build().unwrap()
}

fn created() -> Reply {
    Response::new(Full::new(Bytes::from_static(br#"{"sandboxID":"i0abc"}"#)))
}

fn assert_created(sandbox: &Sandbox) {
    assert_eq!(sandbox.id().as_str(), "i0abc");
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_client_alone_over_a_closure_runs_in_a_task() {
    let http = service_fn(|_: Sent| async move { Ok::<_, BoxError>(created()) });
    let client = Client::new(http, config());
    let call = tokio::spawn(async move { client.create(&NewSandbox::new("base")).await });
    assert_created(&call.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_call_over_a_closure_with_an_error_of_its_own_runs_in_a_task() {
    let never =
        E2b::new(&stack(), service_fn(|_: Sent| async move { Ok::<_, Infallible>(created()) }));
    let call = tokio::spawn(async move { never.create(&NewSandbox::new("base")).await });
    assert_created(&call.await.unwrap().unwrap());

    let broken = service_fn(|_: Sent| async move {
        Err::<Reply, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    let broken = E2b::new(&stack(), broken);
    let call = tokio::spawn(async move { broken.create(&NewSandbox::new("base")).await });
    assert!(call.await.unwrap().is_err());
}

/// Like the transport of `sandtower_e2b`, or one over reqwest: its type names the error.
#[derive(Clone)]
struct Named;

impl Service<Sent> for Named {
    type Response = Reply;
    type Error = BoxError;
    type Future = Ready<Result<Reply, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Sent) -> Self::Future {
        ready(Ok(created()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_over_a_transport_with_a_name_runs_in_a_task() {
    let e2b = E2b::new(&stack(), Named);
    let call = tokio::spawn(async move { e2b.create(&NewSandbox::new("base")).await });
    assert_created(&call.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_call_over_hypers_client_runs_in_a_task() {
    let http = Hyper::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let e2b = E2b::new(&Stack::builder(config()).disable(Component::Retry).build().unwrap(), http);
    let call = tokio::spawn(async move { e2b.create(&NewSandbox::new("base")).await });
    assert!(call.await.unwrap().is_err());
}
