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
    body::{self, Body, ReadError},
    control,
    dice::{Subject, dice, happens},
    envd,
    error::ConnectionError,
    proxy::{self, Destination},
    sim::{Shared, Sim},
};

/// How long the way into a sandbox waits for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// A request whose body was read.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) parts: Parts,
    /// `None` if it is longer than its destination takes.
    pub(crate) body: Option<Bytes>,
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
}

impl Weather {
    fn draw(shared: &Shared) -> Self {
        let number = {
            let mut state = shared.state();
            state.connections += 1;
            state.connections
        };
        let world = &shared.config.world;
        let mut dice = dice(shared.config.seed, Subject::Connection, number);
        let weather = Self {
            refused: happens(&mut dice, world.connection_refused),
            reset: happens(&mut dice, world.connection_reset),
            answer_lost: happens(&mut dice, world.answer_lost),
        };
        if weather.refused || weather.reset || weather.answer_lost {
            shared.state().broken_connections += 1;
        }
        weather
    }
}

async fn work<B>(shared: Arc<Shared>, request: Request<B>) -> Answer
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    let weather = Weather::draw(&shared);
    if weather.refused {
        return Err(ConnectionError::refused());
    }
    if weather.reset {
        return Err(ConnectionError::reset(false));
    }
    let (parts, body) = request.into_parts();
    let answer = match Destination::of(&parts) {
        Destination::ControlPlane => of_control_plane(&shared, parts, body).await?,
        Destination::Sandbox { id, port } => {
            let body = read(body, envd::MAX_BODY);
            let Ok(body) = time::timeout(BODY_TIMEOUT, body).await else {
                return Err(ConnectionError::reset(false));
            };
            envd::answer(&shared, &id, port, Received { parts, body: body? }).await
        }
        Destination::Nowhere(message) => proxy::nowhere(message),
    };
    if weather.answer_lost {
        note_lost(&shared, &answer);
        return Err(ConnectionError::reset(true));
    }
    Ok(answer)
}

/// The control plane's answer, or its balancer's when it takes too long.
async fn of_control_plane<B>(shared: &Arc<Shared>, parts: Parts, body: B) -> Answer
where
    B: http_body::Body<Data = Bytes>,
{
    let request = control::Arrival::note(shared, &parts);
    let answered = time::timeout(shared.config.world.api_deadline, async {
        let body = read(body, control::MAX_BODY).await?;
        Ok(control::answer(shared, &request, Received { parts, body }).await)
    });
    let answer = match answered.await {
        Ok(answer) => answer?,
        Err(_) => control::balancer_timeout(),
    };
    request.note_answer(shared, answer.status());
    Ok(answer)
}

async fn read<B>(body: B, cap: usize) -> Result<Option<Bytes>, ConnectionError>
where
    B: http_body::Body<Data = Bytes>,
{
    match body::read(body, cap).await {
        Ok(body) => Ok(Some(body)),
        Err(ReadError::TooLarge) => Ok(None),
        Err(ReadError::Aborted) => Err(ConnectionError::reset(false)),
    }
}
