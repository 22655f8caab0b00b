//! The simulator as a service: one request in, one response out.

use std::task::{Context, Poll};
use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use tokio::{sync::oneshot, time};
use tower_service::Service;

use crate::body::{self, Body, Reserved, Unread};
use crate::dice::{Subject, dice, happens};
use crate::error::ConnectionError;
use crate::fault::{Break, Injected};
use crate::gzip;
use crate::proxy::{self, Destination};
use crate::request::{NamesSandbox, Received, Unreadable};
use crate::sim::Sim;
use crate::state::Shared;
use crate::{clock, control, envd, fault_control, traffic};

/// How long the way into a sandbox waits for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

type Outcome = Result<Response<Body>, ConnectionError>;
type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl<B> Service<Request<B>> for Sim
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = ConnectionError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let work = Box::pin(work(Arc::clone(&self.shared), request));
        ResponseFuture(Exchange::Unsent(work, Arc::clone(&self.shared)))
    }
}

/// The response to a request, once it comes.
///
/// The request is sent when this is first polled. From then on the simulator works on it as a
/// server would: dropping this abandons the response, not the work.
///
/// # Panics
///
/// When it is first polled outside a tokio runtime, and when it is polled after its end.
pub struct ResponseFuture(Exchange);

enum Exchange {
    Unsent(Work, Arc<Shared>),
    Sent(oneshot::Receiver<Outcome>),
    Done,
}

impl Future for ResponseFuture {
    type Output = Outcome;

    #[expect(
        clippy::panic,
        reason = "a future that is polled after its end is a bug of its caller"
    )]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut outcome = match std::mem::replace(&mut self.0, Exchange::Done) {
            Exchange::Unsent(work, shared) => send(work, shared),
            Exchange::Sent(outcome) => outcome,
            Exchange::Done => panic!("`ResponseFuture` polled after completion"),
        };
        let Poll::Ready(received) = Pin::new(&mut outcome).poll(cx) else {
            self.0 = Exchange::Sent(outcome);
            return Poll::Pending;
        };
        // There is none if the runtime shuts down, or if there is a bug in here.
        Poll::Ready(received.unwrap_or_else(|_| Err(ConnectionError::reset(true))))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}

fn send(work: Work, shared: Arc<Shared>) -> oneshot::Receiver<Outcome> {
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        if let Err(Ok(unheard)) = sender.send(work.await) {
            note_lost(&shared, &unheard);
        }
    });
    receiver
}

fn note_lost(shared: &Shared, unheard: &Response<Body>) {
    if let Some(NamesSandbox(id)) = unheard.extensions().get() {
        shared.note_lost_response(id);
    }
}

/// The faults of one request, those of the world's constants among them; drawn when it arrives.
fn inject(shared: &Shared, request: &str) -> Injected {
    let mut state = shared.state();
    state.connections += 1;
    let (world, seed) = (&shared.config.world, shared.config.seed);
    let mut dice = dice(seed, Subject::Connection, state.connections);
    let mut draw = |probability, fault| happens(&mut dice, probability).then_some(fault);
    let refused = draw(world.connection_refused, Break::Refuse);
    let reset = draw(world.connection_reset, Break::Reset);
    let lost = draw(world.response_lost, Break::Lose);
    let mut injected = state.faults.inject(seed, request, clock::now());
    let by_rule = injected.breaks;
    let by_chance = refused.or(reset);
    injected.breaks = match (by_chance, by_rule) {
        // The connection breaks before a rule could do anything else to it.
        (Some(Break::Reset), Some(Break::Refuse)) => by_rule,
        (Some(_), _) => by_chance,
        (None, Some(Break::Respond { .. }) | None) => by_rule.or(lost),
        (None, Some(_)) => by_rule,
    };
    if injected.breaks.is_some_and(|breaks| !matches!(breaks, Break::Respond { .. })) {
        state.broken_connections += 1;
    }
    injected
}

async fn work<B>(shared: Arc<Shared>, request: Request<B>) -> Outcome
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_sim/") {
        // The way out of a fault has none injected.
        return match read_in_time(&shared, body, &parts, fault_control::MAX_BODY).await {
            Ok((body, _room)) => Ok(fault_control::respond(&shared, &Received { parts, body })),
            Err(unread) => unread.outcome(),
        };
    }
    let destination = match Destination::of(&parts) {
        // Signed URLs over one base URL say nothing of their sandbox.
        Destination::ControlPlane if parts.uri.path() == "/files" => {
            match envd::signature::sandbox(&shared, &parts) {
                Ok(id) => Destination::Sandbox { id, port: envd::PORT },
                Err(error) => return Ok(error.envd_response()),
            }
        }
        destination => destination,
    };
    let name = match &destination {
        Destination::ControlPlane => control::name(&parts),
        Destination::Sandbox { port, .. } => traffic::name(*port, parts.uri.path()),
        Destination::Nowhere(_) => "unknown",
    };
    let injected = inject(&shared, name);
    match injected.breaks {
        Some(Break::Refuse) => return Err(ConnectionError::refused()),
        Some(Break::Reset) => return Err(ConnectionError::reset(false)),
        _ => {}
    }
    time::sleep(injected.slow).await;
    let mut response = match injected.breaks {
        Some(Break::Stall { lasting, after_work: false }) => {
            time::sleep(lasting).await;
            return Err(ConnectionError::reset(false));
        }
        Some(Break::Respond { response, lasting, after_work: false }) => {
            let response = response.response(&destination);
            control::note_replaced(&shared, &parts, &destination, Some(response.status()));
            time::sleep(lasting).await;
            return Ok(response);
        }
        _ => right(&shared, &destination, parts, body).await?,
    };
    if injected.breaks.is_some() {
        note_lost(&shared, &response);
    }
    match injected.breaks {
        Some(Break::Stall { lasting, .. }) => {
            time::sleep(lasting).await;
            return Err(ConnectionError::reset(true));
        }
        Some(Break::Respond { response: instead, lasting, .. }) => {
            time::sleep(lasting).await;
            return Ok(instead.response(&destination));
        }
        Some(Break::Cut) => return Ok(response.map(Body::cut)),
        Some(Break::Refuse | Break::Reset | Break::Lose) => {
            return Err(ConnectionError::reset(true));
        }
        None => {}
    }
    if injected.bare {
        for name in ["retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            response.headers_mut().remove(name);
        }
    }
    Ok(response)
}

/// The response without any fault.
async fn right<B>(shared: &Arc<Shared>, to: &Destination, parts: Parts, body: B) -> Outcome
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    match to {
        Destination::ControlPlane => of_control_plane(shared, parts, body).await,
        Destination::Sandbox { id, port } => {
            match read_in_time(shared, body, &parts, traffic::max_body(&parts)).await {
                Ok((body, _room)) => {
                    Ok(traffic::respond(shared, id, *port, Received { parts, body }).await)
                }
                Err(unread) => unread.outcome(),
            }
        }
        Destination::Nowhere(message) => Ok(proxy::nowhere(message)),
    }
}

/// The control plane's response, or its balancer's when it takes too long.
async fn of_control_plane<B>(shared: &Arc<Shared>, parts: Parts, body: B) -> Outcome
where
    B: http_body::Body<Data = Bytes>,
{
    let request = control::Arrival::note(shared, &parts);
    let responding = time::timeout(shared.config.world.api_deadline, async {
        match body::read(body, control::MAX_BODY, &shared.bodies).await {
            Ok((body, _room)) => {
                Ok(control::respond(shared, &request, Received { parts, body }).await)
            }
            Err(unread) => unread.outcome(),
        }
    });
    let response = match responding.await {
        Ok(response) => response?,
        Err(_) => control::balancer_timeout(),
    };
    request.note_response(shared, response.status());
    Ok(response)
}

/// Reads a body on its way into a sandbox, and unpacks it.
async fn read_in_time<B>(
    shared: &Shared,
    body: B,
    parts: &Parts,
    cap: usize,
) -> Result<(Result<Bytes, Unreadable>, Reserved), Unread>
where
    B: http_body::Body<Data = Bytes>,
{
    let reading = time::timeout(BODY_TIMEOUT, body::read(body, cap, &shared.bodies));
    let (body, mut room) = reading.await.unwrap_or(Err(Unread::Aborted))?;
    if !gzip::is_packed(&parts.headers) {
        return Ok((body, room));
    }
    let plain = body.and_then(|body| gzip::unpack(&body, cap));
    let fits = room.take(plain.as_ref().map_or(0, Bytes::len));
    if fits { Ok((plain, room)) } else { Err(Unread::NoRoom) }
}

impl Unread {
    /// The end of a request whose body could not be read.
    fn outcome(self) -> Outcome {
        match self {
            Self::Aborted => Err(ConnectionError::reset(false)),
            Self::NoRoom => Ok(proxy::too_many_bodies()),
        }
    }
}
