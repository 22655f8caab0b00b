//! The two ways in which the application runs code.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower::core::{BoxError, Seed};
use sandtower::e2b::{Client, Command, Config, NewSandbox};
use sandtower::stack::{Handles, Plan, Recommended, Stack};
use tower_service::Service;

use super::app::Execute;

/// The heavy computation that every query is about.
const CODE: &str = "sleep 4; echo 42";

/// What reaches E2B: the simulator itself, or a client over sockets.
pub(crate) trait Transport:
    Service<
        Request<Full<Bytes>>,
        Response = Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static
{
    type Body: Body<Data = Bytes, Error: Into<BoxError> + Send> + Send + 'static;
}

impl<S, B> Transport for S
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    type Body = B;
}

/// Makes a sandbox, runs the code in it, and ends it.
async fn run_once<S: Transport>(client: &Client<S>) -> Result<(), String> {
    let new = NewSandbox::new("base").timeout(Duration::from_secs(300));
    let sandbox = client.create(&new).await.map_err(told)?;
    let output = client.run(&sandbox, &Command::new(CODE)).await;
    // What comes of it is of no matter to the query: the sandbox ends by itself in the end.
    let _ended = client.kill(sandbox.id()).await;
    match output {
        Ok(output) if output.is_success() => Ok(()),
        Ok(output) => Err(format!("exit code {}", output.exit_code)),
        Err(error) => Err(told(error)),
    }
}

/// An error with all its causes.
fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

/// The application as it was: every failure is retried twice, whatever it was.
#[derive(Debug)]
pub(crate) struct Unprotected<S> {
    client: Client<S>,
    retries: AtomicU64,
}

const BLIND_RETRIES: u32 = 2;
const BLIND_PAUSE: Duration = Duration::from_secs(1);
/// How long the official clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl<S> Unprotected<S> {
    pub(crate) fn new(transport: S, config: Config) -> Self {
        Self { client: Client::new(transport, config), retries: AtomicU64::new(0) }
    }

    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }
}

impl<S: Transport> Execute for Unprotected<S> {
    async fn execute(&self) -> Result<(), String> {
        let mut left = BLIND_RETRIES;
        loop {
            let outcome = tokio::time::timeout(PATIENCE, run_once(&self.client)).await;
            let error = match outcome {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => format!("no answer within {PATIENCE:?}"),
            };
            if left == 0 {
                return Err(error);
            }
            left -= 1;
            self.retries.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(BLIND_PAUSE).await;
        }
    }
}

/// The same application over the recommended stack. It retries nothing itself.
#[derive(Debug)]
pub(crate) struct Protected<S: Clone> {
    client: Client<Recommended<S>>,
    handles: Handles,
}

impl<S: Clone> Protected<S> {
    pub(crate) fn new(transport: S, config: Config, seed: u64) -> Self {
        let stack = Stack::seeded(config, Plan::Hobby, Seed::fixed(seed));
        Self { client: stack.client(transport), handles: stack.handles().clone() }
    }

    pub(crate) fn retries(&self) -> u64 {
        let retry = self.handles.retry.snapshot();
        retry.retries + retry.returns
    }
}

impl<S: Transport> Execute for Protected<S> {
    fn execute(&self) -> impl Future<Output = Result<(), String>> + Send {
        run_once(&self.client)
    }
}
