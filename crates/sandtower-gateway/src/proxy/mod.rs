//! One request, from a client to the service and back.

pub(crate) mod body;
mod control;
mod creation;
mod data;
mod failure;
mod forwarded;
mod headers;
mod keyed;
mod linger;
pub(crate) mod listing;
mod merged;
mod places;
mod route;
mod signed;
mod stock;
mod upgrade;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request};
use http_body::Body;
use sandtower::core::{BoxError, ExplainedError, Explanation, Operation, Tick, find};
use sandtower::e2b::{E2bClassify, ENVD_PORT, SandboxId};
use sandtower::http::{Deadline, RequestBody, server_timing};
use sandtower::stack::StackService;
use tower::ServiceExt;
use tower::util::Oneshot;

use self::body::{Hold, ResponseBody, UpstreamBody};
use self::failure::{Dialect, Failure};
use self::headers::{ACCESS_TOKEN, SHOULD_RETRY};
use crate::access_log::Record;
use crate::gateway::Shared;
use crate::generation::Generation;
use crate::keys::KeyStack;
use crate::sandboxes::Found;
use crate::server::ConnectionState;

pub(crate) use headers::API_KEY;
pub(crate) use places::Searches;
pub use route::{Route, route};
pub(crate) use signed::Signed;

/// Serves the requests of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) worker: usize,
}

/// The connection that a request came by.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    peer: IpAddr,
    /// The value of `X-Forwarded-For` for the peer.
    forwarded_for: HeaderValue,
    state: Arc<ConnectionState>,
}

impl Connection {
    pub(crate) fn new(peer: IpAddr, state: Arc<ConnectionState>) -> Self {
        let forwarded_for = forwarded::value(peer.to_canonical());
        Self { peer, forwarded_for, state }
    }

    /// The value of `X-Forwarded-For` for `client`, which is the peer in most cases.
    fn forwarded_for(&self, client: IpAddr) -> HeaderValue {
        match client == self.peer.to_canonical() {
            true => self.forwarded_for.clone(),
            false => forwarded::value(client),
        }
    }
}

/// What one request is served with.
struct Exchange<'a> {
    proxy: &'a Proxy,
    generation: &'a Generation,
    connection: &'a Connection,
    arrived: Tick,
    record: Box<Record>,
    hold: Hold,
}

impl Proxy {
    /// The response to `request`.
    pub(crate) async fn respond<B>(
        &self,
        connection: &Connection,
        request: Request<B>,
    ) -> Response<ResponseBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let generation = self.shared.generation.load_full();
        let (head, body) = request.into_parts();
        let (log, trusted) = (&generation.config.access_log, &generation.config.trusted_proxies);
        let client = forwarded::client(connection.peer, &head.headers, trusted);
        let mut record = Box::new(Record::new(&self.shared.access_log, log, client));
        record.method = head.method.clone();
        record.version = head.version;
        head.uri.path().clone_into(&mut record.path);
        let mut exchange = Exchange {
            proxy: self,
            generation: &generation,
            connection,
            arrived: Tick::now(),
            record,
            hold: Hold {
                in_flight: Some((self.shared.in_flight.enter(), connection.state.begin())),
                ..Hold::default()
            },
        };
        let (response, dialect) = exchange.route(head, body).await;
        exchange.finish(response, &dialect)
    }
}

type Outcome = Result<Response<ResponseBody>, Failure>;

impl Exchange<'_> {
    async fn route<B>(&mut self, head: request::Parts, body: B) -> (Outcome, Dialect)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        if let Some(problem) = route::host_problem(&head) {
            let failure = Failure::of_request(StatusCode::BAD_REQUEST, problem);
            return (Err(failure), Dialect::Control);
        }
        match route(self.generation.domain_name(), &head) {
            Route::Control => (self.control(head, body).await, Dialect::Control),
            Route::Sandbox { id, port } => {
                let dialect = Dialect::inside(&id, &head.headers);
                (self.data(id, port, head, body).await, dialect)
            }
            Route::Unnamed { port } => match self.find(&head, port) {
                Ok(id) => {
                    let dialect = Dialect::inside(&id, &head.headers);
                    (self.data(id, port, head, body).await, dialect)
                }
                Err(failure) => (Err(failure), Dialect::Control),
            },
            Route::Invalid(problem) => {
                (Err(Failure::of_request(StatusCode::BAD_REQUEST, problem)), Dialect::Control)
            }
        }
    }

    /// The sandbox of a request that names none.
    fn find(&self, head: &request::Parts, port: u16) -> Result<SandboxId, Failure> {
        let token = head.headers.get(ACCESS_TOKEN).and_then(|token| token.to_str().ok());
        let writes = head.method == http::Method::POST;
        let is_file = port == ENVD_PORT && head.uri.path() == "/files";
        let query = head.uri.query().filter(|_| is_file);
        let signed = query.and_then(|query| Signed::read(query, writes));
        match self.proxy.shared.sandboxes.find(token, signed.as_ref()) {
            Found::One(id) => Ok(id),
            Found::None => Err(Failure::of_request(
                StatusCode::UNAUTHORIZED,
                "no sandbox that the gateway knows has this token or signature: connect to it first",
            )),
            Found::Unclear => Err(Failure::of_request(
                StatusCode::BAD_REQUEST,
                "which sandbox is not clear without a signature: send the headers E2b-Sandbox-Id and \
                 E2b-Sandbox-Port",
            )),
        }
    }

    /// Classifies a request, as `call` wants it.
    fn classify<B>(&mut self, request: &mut Request<B>) -> Operation {
        let operation = E2bClassify::put_info(request).operation;
        self.record.operation = operation.name();
        operation
    }

    /// Sends a classified request through a stack. The result is for `called`.
    ///
    /// Not asynchronous itself: the future of a call is the largest part of that of a request, and each async
    /// function around it holds its arguments twice.
    fn call(
        &self,
        stack: &KeyStack,
        mut request: Request<RequestBody>,
        deadline: Option<Duration>,
    ) -> Oneshot<StackService<RequestBody>, Request<RequestBody>> {
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(self.arrived + deadline));
        }
        let worker = self.proxy.worker;
        stack.service(worker).oneshot(request)
    }

    /// Notes where the time of a call went.
    fn called(
        &mut self,
        result: Result<Response<UpstreamBody>, BoxError>,
    ) -> Result<Response<UpstreamBody>, BoxError> {
        self.record.explanation = match &result {
            Ok(response) => response.extensions().get::<Explanation>().cloned(),
            Err(error) => find::<ExplainedError>(&**error).map(|it| it.explanation().clone()),
        };
        result
    }

    /// How long a call may take: a little less than the client waits.
    fn patience(&self) -> Duration {
        let whole = self.generation.config.client_timeout;
        whole - (whole / 10).min(Duration::from_secs(2))
    }

    fn finish(mut self, outcome: Outcome, dialect: &Dialect) -> Response<ResponseBody> {
        let mut response = outcome.unwrap_or_else(|failure| {
            self.record.reason = Some(failure.reason);
            failure.response(dialect)
        });
        let now = Tick::now();
        self.record.status = response.status().as_u16();
        self.record.head = Some(now);
        if let Some(id) = &self.record.request_id {
            response.headers_mut().insert(headers::REQUEST_ID, id.clone());
        }
        if let Some(explanation) = &self.record.explanation {
            let timing = server_timing(explanation);
            response.headers_mut().append(headers::SERVER_TIMING, timing);
        }
        let hold = Hold { record: Some(self.record), ..self.hold };
        response.map(|body| body.holding(hold))
    }
}

/// The response of the service as that of the gateway, its body as it comes.
fn pass(mut response: Response<UpstreamBody>, first: Option<Bytes>) -> Response<ResponseBody> {
    headers::strip_hop_by_hop(response.headers_mut());
    say_that_it_was_retried(&mut response);
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_connect = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/connect+"));
    response.extensions_mut().clear();
    response.map(|body| ResponseBody::stream(first, body, is_connect))
}

/// The same with another body.
fn replace<B>(mut response: Response<B>, body: Bytes) -> Response<ResponseBody> {
    headers::strip_hop_by_hop(response.headers_mut());
    say_that_it_was_retried(&mut response);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.extensions_mut().clear();
    response.map(|_| ResponseBody::whole(body))
}

/// A failure was retried here, or must not be: an SDK that retries it as well multiplies the attempts.
fn say_that_it_was_retried<B>(response: &mut Response<B>) {
    let status = response.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}
