//! The ways in which the application runs code.

mod classic;
mod protected;
mod unprotected;

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use sandtower::core::BoxError;
use sandtower::e2b::{Client, Command, NewSandbox, Sandbox};
use sandtower_load::{Part, spend};
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use super::books::{Books, Counted};
use super::load::Caller;

pub(crate) use self::classic::Classic;
pub(crate) use self::protected::Protected;
pub(crate) use self::unprotected::Unprotected;

/// How the application runs code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Every failure is retried twice, whatever it was.
    Unprotected,
    /// A widespread hand-written pattern: one breaker around retries around the creation of a sandbox, which
    /// is then validated, with a warning at most.
    Classic,
    /// Over the recommended stack.
    Sandtower,
    /// Over the recommended stack with a warm pool, which is filled before the load begins.
    SandtowerPool,
}

impl Policy {
    /// Those that are compared, in presentation order. The pool is tried by its name.
    pub const ALL: [Self; 3] = [Self::Unprotected, Self::Classic, Self::Sandtower];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Classic => "classic",
            Self::Sandtower => "sandtower",
            Self::SandtowerPool => "sandtower-pool",
        }
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || Self::ALL.into_iter().chain([Self::SandtowerPool]);
        let found = known().find(|policy| policy.name() == name);
        let names = known().map(Self::name).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| format!("there is no policy {name:?}; there are {names}"))
    }
}

/// Runs one piece of code in a sandbox, by a policy.
pub(crate) trait Execute: Send + Sync + 'static {
    /// An error is what the agent sees.
    fn execute(
        &self,
        job: &Job,
        caller: Caller,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// A snapshot for display.
    fn look(&self) -> Look;
}

/// The code to execute, and the counters.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) command: Command,
    pub(crate) new: NewSandbox,
    pub(crate) books: Books,
}

impl Job {
    /// A heavy computation, which takes this long in its own sandbox.
    pub(crate) fn new(computes: Duration, mark: Option<(&str, &str)>) -> Self {
        let new = NewSandbox::new("base").timeout(LIFETIME);
        Self {
            command: Command::new(format!("sleep {}; echo 42", computes.as_secs_f64())),
            new: match mark {
                Some((key, value)) => new.metadata(key, value),
                None => new,
            },
            books: Books::default(),
        }
    }
}

/// The lifetime of a sandbox that is left behind.
const LIFETIME: Duration = Duration::from_secs(300);

/// Why an execution failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// With all its causes.
    pub(crate) text: String,
    /// The reason, if one of our own layers rejected it.
    pub(crate) rejected: Option<&'static str>,
}

impl Failure {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), rejected: None }
    }
}

impl From<sandtower::e2b::Error> for Failure {
    fn from(error: sandtower::e2b::Error) -> Self {
        let rejected = error.rejection().map(|rejection| rejection.reason().label());
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            text.push_str(&format!(": {cause}"));
            next = cause.source();
        }
        Self { text, rejected }
    }
}

/// What an operator sees of a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Look {
    pub(crate) retries: u64,
    pub(crate) breaker: Option<&'static str>,
    pub(crate) limit: Option<u64>,
    pub(crate) waiting: u64,
}

/// The transport to E2B: the simulator itself, or a client over sockets.
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

/// One type for whatever is below a client, so that the client is compiled once for all policies.
pub(crate) type Erased =
    BoxCloneSyncService<Sent, Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;
type Sent = Request<Full<Bytes>>;

pub(crate) fn erased(transport: impl Transport) -> Erased {
    let transport = transport
        .map_response(|response| response.map(|body| body.map_err(Into::into).boxed_unsync()))
        .map_err(Into::into);
    BoxCloneSyncService::new(transport)
}

/// Creates a sandbox through `creates`, and runs the code in it and kills it through `rest`.
async fn run_once<S: Transport>(
    creates: &Client<S>,
    rest: &Client<S>,
    job: &Job,
) -> Result<(), Failure> {
    let (sandbox, held) = make(creates, job).await?;
    let done = compute(rest, &sandbox, job).await;
    // The outcome does not matter to the query: the sandbox ends by itself eventually.
    let _ended = rest.kill(sandbox.id()).await;
    drop(held);
    done
}

async fn make<'a, S: Transport>(
    client: &Client<S>,
    job: &'a Job,
) -> Result<(Sandbox, Counted<'a>), Failure> {
    spend(Part::Queued);
    let sandbox = client.create(&job.new).await?;
    let held = job.books.holds(sandbox.id().as_str());
    Ok((sandbox, held))
}

async fn compute<S: Transport>(
    client: &Client<S>,
    sandbox: &Sandbox,
    job: &Job,
) -> Result<(), Failure> {
    spend(Part::Running);
    let output = client.run(sandbox, &job.command).await;
    spend(Part::Other);
    match output? {
        output if output.is_success() => Ok(()),
        output => Err(Failure::new(format!("exit code {}", output.exit_code))),
    }
}
