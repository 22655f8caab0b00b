//! Requests to the service below a layer: listings, kills, connects and probes.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Effect, RequestInfo, TraceParent, Verdict};
use tower_service::Service;

use super::ledger::Listed;
use crate::api::hidden::Hidden;
use crate::api::lenient::List;
use crate::api::process::{self, Broken, ProcessStream, Step};
use crate::api::request;
use crate::transport::body::{drain_ready, piece};
use crate::transport::exchange::{read_json, send};
use crate::transport::within::within;
use crate::{
    Call, CallId, Command, Config, ENVD_PORT, Error, ListSandboxes, Marks, OWNER_KEY, Owner, Page,
    ProcessEvent, Sandbox, SandboxId, operation as op,
};

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The timeout of each request of the cleanup, whatever the layers below allow.
const REQUEST: Duration = Duration::from_secs(60);
/// The most pages of a listing: more sandboxes than the largest plan has.
const PAGES: usize = 100;
/// The same text as in E2B's own health checks of new sandboxes.
const PROBE: &str = "echo 'health_check'";
const PRINTS: &str = "health_check";
/// The most output of the probe.
const LONGEST_OUTPUT: usize = 1_024;

/// Lists and kills through a service of any type.
pub(crate) trait Below: Send + Sync {
    /// Lists all sandboxes of `owner`; on failure, those read so far.
    fn list(&self, owner: &Owner) -> BoxFuture<Listed>;

    /// Ends a sandbox, by a request that belongs to `trace`; `None`: it may not have ended, else whether it was there.
    fn kill(&self, sandbox: SandboxId, trace: Option<TraceParent>) -> BoxFuture<Option<bool>>;
}

/// An instance of a service whose requests have a body of type `Q`, for requests that no caller waits
/// for.
pub(crate) struct Requests<S, Q = Full<Bytes>> {
    service: S,
    config: Arc<Config>,
    caller: RequestInfo,
    body: PhantomData<fn() -> Q>,
}

impl<S, Q> Requests<S, Q> {
    pub(crate) fn new(service: S, config: Arc<Config>) -> Self {
        Self { service, config, caller: RequestInfo::default(), body: PhantomData }
    }

    /// Sends them for the caller of this request: with its tenant, its priority and its patience.
    pub(crate) fn on_behalf_of(mut self, request: Option<&RequestInfo>) -> Self {
        self.caller = request.copied().unwrap_or_default();
        self
    }
}

impl<S: Clone, Q> Clone for Requests<S, Q> {
    fn clone(&self) -> Self {
        let (service, config) = (self.service.clone(), Arc::clone(&self.config));
        Self { service, config, caller: self.caller, body: PhantomData }
    }
}

impl<S, Q, B> Requests<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone,
    Q: From<Full<Bytes>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    async fn control(
        &self,
        call: &Call,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<B>, Error> {
        let request = request::control(&self.config, method, path, body);
        self.send(call, request).await
    }

    async fn send(
        &self,
        call: &Call,
        request: Result<Request<Full<Bytes>>, BoxError>,
    ) -> Result<Response<B>, Error> {
        let mut request = request.map_err(|error| request::failed(call, error))?.map(Q::from);
        let RequestInfo { tenant, priority, patience, .. } = self.caller;
        request.extensions_mut().insert(tenant);
        request.extensions_mut().insert(priority);
        patience.map(|patience| request.extensions_mut().insert(patience));
        let hidden = Hidden::of(&request);
        send(self.service.clone(), call, request, &hidden, self.patience(call)).await
    }

    fn patience(&self, call: &Call) -> Option<Duration> {
        self.config.operation_timeouts().attempt_of(call.operation)
    }

    async fn page(&self, which: &ListSandboxes) -> Result<Page, Error> {
        let call = Call::new(op::SANDBOX_LIST, None);
        let response = self.control(&call, Method::GET, &which.path(), Bytes::new()).await?;
        let (List(sandboxes), fields) = read_json(&call, response, self.patience(&call)).await?;
        Ok(Page::new(sandboxes, &fields))
    }

    async fn list_all(self, mut which: ListSandboxes) -> Listed {
        let mut sandboxes = Vec::new();
        for _ in 0..PAGES {
            let Some(Ok(page)) = within(Some(REQUEST), self.page(&which)).await else { break };
            sandboxes.extend(marked(page.sandboxes));
            match page.next {
                Some(next) => which = which.after(next),
                None => return Listed { sandboxes, complete: true },
            }
        }
        Listed { sandboxes, complete: false }
    }

    /// The sandboxes that were created for one call, as far as the listing shows.
    pub(super) async fn list_call(&self, call: CallId) -> Result<Vec<(SandboxId, Marks)>, Error> {
        let which = ListSandboxes::default().metadata(crate::CALL_KEY, call.to_string());
        let listed = self.page(&which.in_all_states()).await?.sandboxes;
        // Services that ignore the filter list everything.
        Ok(marked(listed).filter(|(_, marks)| marks.call == call).collect())
    }

    async fn end(self, sandbox: SandboxId, trace: Option<TraceParent>) -> Option<bool> {
        let path = format!("/sandboxes/{sandbox}");
        let call = Call::new(op::SANDBOX_KILL, Some(sandbox));
        let request = request::control(&self.config, Method::DELETE, &path, Bytes::new());
        let request = request.map(|mut request| {
            if let Some(trace) = trace {
                sandtower_http::set_trace_parent(&mut request, trace);
            }
            request
        });
        match within(Some(REQUEST), self.send(&call, request)).await? {
            Ok(_) => Some(true),
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
                Some(error.attempt() > 1)
            }
            Err(_) => None,
        }
    }

    /// Fetches the tokens of a sandbox again. Joins a start in flight, and resumes a paused sandbox.
    pub(super) async fn connect(
        &self,
        sandbox: &SandboxId,
        lifetime: u64,
    ) -> Result<Response<B>, Error> {
        let call = Call::new(op::SANDBOX_CONNECT, Some(sandbox.clone()));
        let path = format!("/sandboxes/{sandbox}/connect");
        let body = format!(r#"{{"timeout":{lifetime}}}"#);
        self.control(&call, Method::POST, &path, body.into()).await
    }

    /// Whether a sandbox can run a command.
    pub(crate) async fn probe(&self, sandbox: &Sandbox) -> Verdict {
        match self.print(sandbox).await {
            Ok(output) if output.trim_ascii() == PRINTS.as_bytes() => Verdict::success(),
            Ok(_) => Verdict::permanent(),
            Err(error) => error.verdict(),
        }
    }

    async fn print(&self, sandbox: &Sandbox) -> Result<Vec<u8>, Error> {
        let call = Call::new(op::PROCESS_START, Some(sandbox.id().clone()));
        let tag = self.config.next_call().to_string();
        let command = Command::new(PROBE);
        let message = process::start(&command, &tag);
        let (path, timeout) = ("/process.Process/Start", Some(Command::DEFAULT_TIMEOUT));
        let request = request::stream(&self.config, sandbox, path, None, timeout, &message);
        let mut body = Box::pin(self.send(&call, request).await?.into_body());
        let (mut stream, mut output) = (ProcessStream::default(), Vec::new());
        let broken = |broken| match broken {
            Broken::Reported(body) => Error::Process { call: call.clone(), body: Box::new(body) },
            broken => Error::BrokenResponse { call: call.clone(), source: broken.into() },
        };
        while output.len() <= LONGEST_OUTPUT {
            match stream.next().map_err(broken)? {
                Some(Step::End) => {
                    drain_ready(body.as_mut()).await;
                    break;
                }
                Some(Step::Event(ProcessEvent::Stdout(piece))) => output.extend_from_slice(&piece),
                Some(_) => {}
                None => match piece(body.as_mut(), timeout).await {
                    Some(Ok(piece)) => stream.push(&piece),
                    Some(Err(source)) => return Err(Error::BrokenResponse { call, source }),
                    None => return Err(broken(stream.cut_off())),
                },
            }
        }
        Ok(output)
    }

    /// Whether the daemon of a sandbox is healthy.
    pub(crate) async fn health(&self, sandbox: &Sandbox) -> Verdict {
        let call = Call::new(op::ENVD_HEALTH, Some(sandbox.id().clone()));
        let request = request::inside(&self.config, sandbox, ENVD_PORT, Method::GET, "/health")
            .and_then(|request| Ok(request.body(Full::default())?));
        match self.send(&call, request).await {
            Ok(_) => Verdict::success(),
            // A new sandbox may become reachable a moment late, so try again.
            Err(error) if error.status() == Some(StatusCode::BAD_GATEWAY) => {
                Verdict::transient(Effect::None)
            }
            Err(error) => error.verdict(),
        }
    }
}

fn marked(listed: Vec<crate::SandboxInfo>) -> impl Iterator<Item = (SandboxId, Marks)> {
    listed.into_iter().filter_map(|info| Some((info.id, Marks::read(&info.metadata)?)))
}

impl<S, Q, B> Below for Requests<S, Q>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    Q: From<Full<Bytes>> + Send + 'static,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    fn list(&self, owner: &Owner) -> BoxFuture<Listed> {
        let all = ListSandboxes::default().metadata(OWNER_KEY, owner.as_str());
        let (requests, all) = (self.clone(), all.in_all_states().limit(100));
        Box::pin(async move { requests.list_all(all).await })
    }

    fn kill(&self, sandbox: SandboxId, trace: Option<TraceParent>) -> BoxFuture<Option<bool>> {
        let requests = self.clone();
        Box::pin(async move { requests.end(sandbox, trace).await })
    }
}
