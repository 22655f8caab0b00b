use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, Limited};
use sandtower_core::{BoxError, Verdict};
use sandtower_http::DEFAULT_CAP;
use serde::de::DeserializeOwned;
use tower_service::Service;

use crate::{
    Answer, Call, Command, Config, Error, ListSandboxes, NewSandbox, Output, Page, Said, Sandbox,
    SandboxId, SandboxInfo, operation as op, request, run, strings::E2B, verdict_of_answer,
};

/// The most of an answer that is read: 4 MiB. A page of 100 sandboxes is below 1.
const LONGEST_ANSWER: usize = 4 * 1_024 * 1_024;

/// A typed client of E2B over any HTTP service: a bare connection pool, or a stack of layers over
/// one.
///
/// Each call clones the service, makes the clone ready and sends one request; whether more are sent
/// is up to the layers of the service. No call has a time-out of its own beyond what layers set.
/// Dropping the future of a call drops its request: what it asked for may still be done.
///
/// ```no_run
/// # use bytes::Bytes;
/// # use http::{Request, Response};
/// # use http_body_util::Full;
/// # use sandtower_core::BoxError;
/// use sandtower_e2b::{Client, Command, Config, NewSandbox};
///
/// # async fn example<S>(http: S) -> Result<(), BoxError>
/// # where
/// #     S: tower_service::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError> + Clone,
/// # {
/// let client = Client::new(http, Config::from_env()?);
/// let sandbox = client.create(&NewSandbox::new("base")).await?;
/// let output = client.run(&sandbox, &Command::new("echo hi")).await?;
/// assert_eq!(output.stdout_text(), "hi\n");
/// client.kill(sandbox.id()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client<S> {
    service: S,
    config: Arc<Config>,
}

impl<S> Client<S> {
    /// Talks to what `config` names, by way of `service`.
    pub fn new(service: S, config: Config) -> Self {
        Self { service, config: Arc::new(config) }
    }

    /// The service that requests are sent by.
    pub fn service(&self) -> &S {
        &self.service
    }
}

/// Every method fails with an [`Error`] that says which call, what happened and whether to make it
/// again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Makes a sandbox.
    ///
    /// # Errors
    ///
    /// After an error whose [hint](Error::hint) is [`Look`](crate::Hint::Look) there may be a
    /// sandbox that nobody holds: find it by its metadata.
    pub async fn create(&self, new: &NewSandbox) -> Result<Sandbox, Error> {
        let call = Call::new(op::SANDBOX_CREATE, None);
        let body = serde_json::to_vec(new).map_err(|error| request::failed(&call, error))?;
        let request = self.control(&call, Method::POST, "/v2/sandboxes", body.into())?;
        self.json(&call, request).await.map(|(sandbox, _)| sandbox)
    }

    /// Ends a sandbox. `false`: it was gone already.
    ///
    /// # Errors
    ///
    /// It may be gone all the same: ending it again is safe.
    pub async fn kill(&self, id: &SandboxId) -> Result<bool, Error> {
        let call = Call::new(op::SANDBOX_KILL, Some(id.clone()));
        let path = format!("/sandboxes/{id}");
        let request = self.control(&call, Method::DELETE, &path, Bytes::new())?;
        match self.successful(&call, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the service knows of a sandbox.
    ///
    /// # Errors
    ///
    /// Status 404: there is no such sandbox.
    pub async fn info(&self, id: &SandboxId) -> Result<SandboxInfo, Error> {
        let call = Call::new(op::SANDBOX_INFO, Some(id.clone()));
        let path = format!("/sandboxes/{id}");
        let request = self.control(&call, Method::GET, &path, Bytes::new())?;
        self.json(&call, request).await.map(|(info, _)| info)
    }

    /// One page of the sandboxes there are.
    ///
    /// # Errors
    ///
    /// As for every call.
    pub async fn list(&self, which: &ListSandboxes) -> Result<Page, Error> {
        let call = Call::new(op::SANDBOX_LIST, None);
        let request = self.control(&call, Method::GET, &which.path(), Bytes::new())?;
        let (sandboxes, fields) = self.json(&call, request).await?;
        let text = |name: &str| fields.get(name)?.to_str().ok().filter(|text| !text.is_empty());
        Ok(Page {
            sandboxes,
            next: text("x-next-token").map(str::to_owned),
            running: text("x-total-running").and_then(|running| running.parse().ok()),
        })
    }

    /// Whether the control plane is well: an error if not.
    ///
    /// # Errors
    ///
    /// It did not answer, or not with a success.
    pub async fn health(&self) -> Result<(), Error> {
        let call = Call::new(op::HEALTH, None);
        let request = self.control(&call, Method::GET, "/health", Bytes::new())?;
        self.successful(&call, request).await.map(drop)
    }

    /// Whether a sandbox is alive, by its envd's own word: `false` if the proxy before it does not
    /// reach it.
    ///
    /// # Errors
    ///
    /// Nobody can tell.
    pub async fn envd_health(&self, sandbox: &Sandbox) -> Result<bool, Error> {
        let call = Call::new(op::ENVD_HEALTH, Some(sandbox.id().clone()));
        let request = request::envd(&self.config, sandbox, Method::GET, "/health")
            .and_then(|request| Ok(request.body(Full::default())?))
            .map_err(|error| request::failed(&call, error))?;
        match self.successful(&call, request).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::BAD_GATEWAY) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Runs a command and collects what it prints, until it ends. An exit code that is not 0 is no
    /// error.
    ///
    /// Dropping the future does not stop the command: its time-out does.
    ///
    /// # Errors
    ///
    /// [`CommandTimedOut`](Error::CommandTimedOut), [`OutputTooLong`](Error::OutputTooLong) and
    /// [`Process`](Error::Process) are about the command; after any other it may be running.
    pub async fn run(&self, sandbox: &Sandbox, command: &Command) -> Result<Output, Error> {
        let call = Call::new(op::PROCESS_START, Some(sandbox.id().clone()));
        let request = run::request(&self.config, sandbox, command)
            .map_err(|error| request::failed(&call, error))?;
        let body = self.successful(&call, request).await?.into_body();
        run::collect(body, command).await.map_err(|error| error.of(call, command))
    }

    fn control(
        &self,
        call: &Call,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Error> {
        request::control(&self.config, method, path, body)
            .map_err(|error| request::failed(call, error))
    }

    /// The answer as JSON, with its header fields.
    async fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: Request<Full<Bytes>>,
    ) -> Result<(T, HeaderMap), Error> {
        let (head, body) = self.successful(call, request).await?.into_parts();
        let unreadable = |source| Error::Unreadable { call: call.clone(), source };
        let body = read(body, LONGEST_ANSWER).await.map_err(unreadable)?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok((value, head.headers)),
            // Its place in the text is said, not the text: that may hold a token.
            Err(error) => Err(unreadable(
                format!("no such json at line {} column {}", error.line(), error.column()).into(),
            )),
        }
    }

    /// The answer, if it is a success.
    async fn successful(
        &self,
        call: &Call,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<B>, Error> {
        let unanswered = |source| Error::Unanswered { call: call.clone(), source };
        let secrets = request::secrets(&request);
        let mut service = self.service.clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(|e| unanswered(e.into()))?;
        let response = service.call(request).await.map_err(|e| unanswered(e.into()))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // An error is told even if its body cannot be read.
        let said = Said::parse(&read(body, DEFAULT_CAP).await.unwrap_or_default());
        let verdict = head.extensions.get::<Verdict>().copied().unwrap_or_else(|| {
            verdict_of_answer(E2B, call.operation, head.status, &head.headers, &said)
        });
        let said = secrets.iter().flatten().fold(said, Said::without);
        let answer = Box::new(Answer { status: head.status, said, verdict });
        Err(Error::Answered { call: call.clone(), answer })
    }
}

async fn read<B>(body: B, longest: usize) -> Result<Bytes, BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    Ok(Limited::new(body, longest).collect().await?.to_bytes())
}

impl<S> std::fmt::Debug for Client<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}
