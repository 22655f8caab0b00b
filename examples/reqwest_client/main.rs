//! The recommended stack over reqwest, for those who have a configured reqwest client already.
//!
//! ```sh
//! cargo run -p examples --example reqwest_client
//! ```
//!
//! Any HTTP client that is a [`Service`] of `http` requests works; the 20 lines of `Reqwest` adapt reqwest.
//! Its own retries are disabled: retrying is up to the stack, which alone knows what may be sent twice. E2B
//! is simulated and without TLS; for TLS enable the features of reqwest.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use examples::simulated;
use http::{Request, Response};
use http_body_util::Full;
use sandtower::E2b;
use sandtower::core::{BoxError, ClassifiedError, Effect, Verdict};
use sandtower::e2b::{Client, Command, NewSandbox};
use sandtower::stack::{Plan, Stack};
use tokio::net::TcpListener;
use tower::Service;

/// A reqwest client as a service. Its errors pass unchanged: the layers find out from their sources whether
/// the request was sent.
#[derive(Clone)]
struct Reqwest(reqwest::Client);

impl Reqwest {
    fn new() -> Result<Self, reqwest::Error> {
        let once = reqwest::Client::builder().retry(reqwest::retry::never());
        Ok(Self(once.redirect(reqwest::redirect::Policy::none()).build()?))
    }
}

impl Service<Request<Full<Bytes>>> for Reqwest {
    type Response = Response<reqwest::Body>;
    type Error = BoxError;
    // Boxed: an HTTP request costs far more than the allocation.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move {
            let request = request.map(reqwest::Body::wrap).try_into()?;
            match client.execute(request).await {
                Ok(response) => Ok(response.into()),
                // Redirects are off: a failed connection then belongs to this request, and nothing was sent.
                Err(error) if error.is_connect() => {
                    Err(ClassifiedError::new(Verdict::transient(Effect::None), error).into())
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let sim = sandtower_sim::Config::new().build()?;
    let config = simulated::config(&simulated::serve(sim.clone()).await?)?;
    let stack = Stack::builder(config).plan(Plan::Hobby).build()?;

    let e2b = E2b::new(&stack, Reqwest::new()?);
    // In a task, as in a service with many users.
    let create = tokio::spawn({
        let e2b = e2b.clone();
        async move { e2b.create(&NewSandbox::new("base")).await }
    });
    let sandbox = create.await??;
    let output = e2b.run(&sandbox, &Command::new("echo hello")).await?;
    say(&format!("the sandbox says {}", output.stdout_text().trim()));
    e2b.kill(sandbox.id()).await?;
    e2b.drain().await?;
    say(&format!("sandboxes left behind: {}", sim.active()));

    // No server listens on a port that was just released.
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let bare = Client::new(Reqwest::new()?, simulated::config(&format!("http://{closed}"))?);
    if let Err(error) = bare.create(&NewSandbox::new("base")).await {
        say(&format!("on a closed port: {}, {:?}", error.verdict().outcome, error.hint()));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
