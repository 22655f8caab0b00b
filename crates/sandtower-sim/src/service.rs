//! The simulator as a service: one request in, one answer out.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use tokio::{sync::oneshot, time};
use tower_service::Service;

use crate::{
    body::{self, Body, ReadError, Reserved},
    clock, control,
    dice::{Subject, dice, happens},
    envd,
    error::ConnectionError,
    fault::{Break, Mishap},
    fault_control,
    gzip::{self, Unpacking},
    proxy::{self, Destination},
    sim::{Shared, Sim},
};

/// How long the way into a sandbox waits for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A request whose body was read.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) parts: Parts,
    pub(crate) body: Result<Bytes, Unreadable>,
}

/// Why there is no body to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is longer than its destination takes, before or after unpacking.
    TooLong,
    /// It is said to be gzip, and is not.
    Malformed,
}

/// Marks the answer that names a new sandbox, so that the ledger can tell when it is lost.
#[derive(Clone, Debug)]
pub(crate) struct NamesSandbox(pub(crate) String);

type Answer = Result<Response<Body>, ConnectionError>;
type Work = Pin<Box<dyn Future<Output = Answer> + Send>>;

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

/// The answer to a request, once it comes.
///
/// The request is sent when this is first polled. From then on the simulator works on it as a
/// server would: dropping this abandons the answer, not the work.
///
/// # Panics
///
/// When it is first polled outside a tokio runtime.
pub struct ResponseFuture(Exchange);

enum Exchange {
    Unsent(Work, Arc<Shared>),
    Sent(oneshot::Receiver<Answer>),
    Done,
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut answer = match std::mem::replace(&mut self.0, Exchange::Done) {
            Exchange::Unsent(work, shared) => send(work, shared),
            Exchange::Sent(answer) => answer,
            // Asked again after its answer: there will be no other.
            Exchange::Done => return Poll::Pending,
        };
        let Poll::Ready(received) = Pin::new(&mut answer).poll(cx) else {
            self.0 = Exchange::Sent(answer);
            return Poll::Pending;
        };
        // Nobody answers if the runtime shuts down, or if there is a bug in here.
        Poll::Ready(received.unwrap_or_else(|_| Err(ConnectionError::reset(true))))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Exchange::Unsent(..) => "ResponseFuture(unsent)",
            Exchange::Sent(_) => "ResponseFuture(sent)",
            Exchange::Done => "ResponseFuture(done)",
        })
    }
}

fn send(work: Work, shared: Arc<Shared>) -> oneshot::Receiver<Answer> {
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
        shared.note_lost_answer(id);
    }
}

/// What breaks a connection, decided when it is made.
struct Weather {
    refused: bool,
    reset: bool,
    answer_lost: bool,
    mishap: Mishap,
}

impl Weather {
    fn draw(shared: &Shared, request: &str) -> Self {
        let mut state = shared.state();
        state.connections += 1;
        let (world, seed) = (&shared.config.world, shared.config.seed);
        let mut dice = dice(seed, Subject::Connection, state.connections);
        let mut weather = Self {
            refused: happens(&mut dice, world.connection_refused),
            reset: happens(&mut dice, world.connection_reset),
            answer_lost: happens(&mut dice, world.answer_lost),
            mishap: state.faults.befall(seed, request, clock::now()),
        };
        match weather.mishap.breaks {
            Some(Break::Refuse) => weather.refused = true,
            Some(Break::Reset) => weather.reset = true,
            Some(Break::Lose) => weather.answer_lost = true,
            _ => {}
        }
        let stalls = matches!(weather.mishap.breaks, Some(Break::Stall { .. } | Break::Cut));
        if weather.refused || weather.reset || weather.answer_lost || stalls {
            state.broken_connections += 1;
        }
        weather
    }
}

async fn work<B>(shared: Arc<Shared>, request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let (parts, body) = request.into_parts();
    if parts.uri.path().starts_with("/_sim/") {
        // The way out of a fault is never befallen by one.
        let body = read(&shared, body, fault_control::MAX_BODY);
        let Ok(body) = time::timeout(BODY_TIMEOUT, body).await else {
            return Err(ConnectionError::reset(false));
        };
        return Ok(fault_control::answer(&shared, &Received { parts, body: body?.whole() }));
    }
    let destination = Destination::of(&parts);
    let name = match &destination {
        Destination::ControlPlane => control::name(&parts),
        Destination::Sandbox { port, .. } => envd::name(*port, parts.uri.path()),
        Destination::Nowhere(_) => "unknown",
    };
    let weather = Weather::draw(&shared, name);
    if weather.refused {
        return Err(ConnectionError::refused());
    }
    if weather.reset {
        return Err(ConnectionError::reset(false));
    }
    time::sleep(weather.mishap.slow).await;
    let instead = match weather.mishap.breaks {
        Some(Break::Answer { answer, lasting, after_work }) => {
            let sandbox = match &destination {
                Destination::Sandbox { id, port } => Some((id.as_str(), *port)),
                _ => None,
            };
            Some((answer.response(sandbox), lasting, after_work))
        }
        _ => None,
    };
    let does_nothing = match weather.mishap.breaks {
        Some(Break::Stall { lasting, after_work: false }) => {
            time::sleep(lasting).await;
            return Err(ConnectionError::reset(false));
        }
        Some(Break::Answer { after_work, .. }) => !after_work,
        _ => false,
    };
    let mut answer = if does_nothing {
        control::note_refused(
            &shared,
            &parts,
            &destination,
            instead.as_ref().map(|(a, ..)| a.status()),
        );
        Response::new(Body::empty())
    } else {
        right(&shared, destination, parts, body).await?
    };
    match weather.mishap.breaks {
        Some(Break::Stall { lasting, .. }) => {
            note_lost(&shared, &answer);
            time::sleep(lasting).await;
            return Err(ConnectionError::reset(true));
        }
        Some(Break::Cut) => {
            note_lost(&shared, &answer);
            return Ok(answer.map(Body::cut));
        }
        _ => {}
    }
    if let Some((instead, lasting, _)) = instead {
        note_lost(&shared, &answer);
        time::sleep(lasting).await;
        return Ok(instead);
    }
    if weather.answer_lost {
        note_lost(&shared, &answer);
        return Err(ConnectionError::reset(true));
    }
    if weather.mishap.bare {
        for name in ["retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"] {
            answer.headers_mut().remove(name);
        }
    }
    Ok(answer)
}

/// The answer that nothing has befallen.
async fn right<B>(shared: &Arc<Shared>, to: Destination, parts: Parts, body: B) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    match to {
        Destination::ControlPlane => of_control_plane(shared, parts, body).await,
        Destination::Sandbox { id, port } => {
            let body = read(shared, body, envd::max_body(&parts));
            let Ok(body) = time::timeout(BODY_TIMEOUT, body).await else {
                return Err(ConnectionError::reset(false));
            };
            let body = body?.unpacked(&parts)?;
            let request = Received { parts, body: body.whole() };
            Ok(envd::answer(shared, &id, port, request).await)
        }
        Destination::Nowhere(message) => Ok(proxy::nowhere(message)),
    }
}

/// The control plane's answer, or its balancer's when it takes too long.
async fn of_control_plane<B>(shared: &Arc<Shared>, parts: Parts, body: B) -> Answer
where
    B: http_body::Body<Data = Bytes>,
{
    let request = control::Arrival::note(shared, &parts);
    let answered = time::timeout(shared.config.world.api_deadline, async {
        let body = read(shared, body, control::MAX_BODY).await?.whole();
        Ok(control::answer(shared, &request, Received { parts, body }).await)
    });
    let answer = match answered.await {
        Ok(answer) => answer?,
        Err(_) => control::balancer_timeout(),
    };
    request.note_answer(shared, answer.status());
    Ok(answer)
}

/// A body that was read, and the room that it takes until this is dropped.
struct Whole(Result<(Bytes, Reserved), Unreadable>);

impl Whole {
    fn whole(&self) -> Result<Bytes, Unreadable> {
        self.0.as_ref().map(|(bytes, _)| bytes.clone()).map_err(|unreadable| *unreadable)
    }

    /// The body as it was before it was packed for the way into a sandbox.
    fn unpacked(self, parts: &Parts) -> Result<Self, ConnectionError> {
        let Self(Ok((packed, mut room))) = self else { return Ok(self) };
        if !gzip::is_packed(&parts.headers) {
            return Ok(Self(Ok((packed, room))));
        }
        match gzip::unpack(&packed, envd::max_body(parts)) {
            Ok(plain) if room.take(plain.len()) => Ok(Self(Ok((plain, room)))),
            Ok(_) => Err(ConnectionError::reset(false)),
            Err(Unpacking::TooLong) => Ok(Self(Err(Unreadable::TooLong))),
            Err(Unpacking::Malformed) => Ok(Self(Err(Unreadable::Malformed))),
        }
    }
}

async fn read<B>(shared: &Shared, body: B, cap: usize) -> Result<Whole, ConnectionError>
where
    B: http_body::Body<Data = Bytes>,
{
    match body::read(body, cap, &shared.bodies).await {
        Ok(body) => Ok(Whole(Ok(body))),
        Err(ReadError::TooLarge) => Ok(Whole(Err(Unreadable::TooLong))),
        Err(ReadError::Aborted | ReadError::NoRoom) => Err(ConnectionError::reset(false)),
    }
}
