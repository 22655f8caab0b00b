//! The recommended stack over reqwest, for those who have set up a reqwest client already.
//!
//! ```sh
//! cargo run -p examples --example reqwest_client
//! ```
//!
//! Any HTTP client will do that is a [`Service`] of `http` requests; the 20 lines of `Reqwest` make
//! one of reqwest's. It is left to send each request once: to retry is the stack's business, and only
//! the stack knows what may be sent twice. E2B is simulated and speaks no TLS; turn on reqwest's
//! features for that.

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

/// A reqwest client as a service. Its errors pass as they are: the layers find out by their sources
/// whether the request left.
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
    // Boxed: an HTTP request costs more than that by far.
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
                // Redirects are off: a connection that failed is this request's, and nothing was sent.
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
    // In a task, as a service does it for its users.
    let made = tokio::spawn({
        let e2b = e2b.clone();
        async move { e2b.create(&NewSandbox::new("base")).await }
    });
    let sandbox = made.await??;
    let output = e2b.run(&sandbox, &Command::new("echo hello")).await?;
    say(&format!("the sandbox says {}", output.stdout_text().trim()));
    e2b.kill(sandbox.id()).await?;
    e2b.drain().await?;
    say(&format!("sandboxes left behind: {}", sim.active()));

    // Nobody listens on a port that was just given back.
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let bare = Client::new(Reqwest::new()?, simulated::config(&format!("http://{nobody}"))?);
    if let Err(error) = bare.create(&NewSandbox::new("base")).await {
        say(&format!("where nobody listens: {}, {:?}", error.verdict().outcome, error.hint()));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program for people")]
fn say(text: &str) {
    println!("{text}");
}
