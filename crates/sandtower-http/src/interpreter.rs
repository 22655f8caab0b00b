use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::Body;
use pin_project_lite::pin_project;
use sandtower_core::Verdict;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Interpret, Interpreted, ended::Watch, reading::Reading};

/// The default limit for buffering a body: 64 KiB. Error bodies of APIs are below 1 KiB, and so are most
/// requests.
pub const DEFAULT_CAP: usize = 64 * 1_024;

/// The innermost layer, and the only one that reads bodies: see [`Interpreter`].
#[derive(Clone, Copy, Debug)]
pub struct InterpretLayer<I> {
    interpret: I,
    cap: usize,
}

impl<I> InterpretLayer<I> {
    /// Reads what `interpret` wants read, up to [`DEFAULT_CAP`].
    pub const fn new(interpret: I) -> Self {
        Self { interpret, cap: DEFAULT_CAP }
    }

    /// Buffers at most `cap` bytes of a body. The buffer may exceed it by less than one frame, which had
    /// already arrived.
    #[must_use]
    pub fn cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }
}

impl<S, I: Clone> Layer<S> for InterpretLayer<I> {
    type Service = Interpreter<S, I>;

    fn layer(&self, inner: S) -> Interpreter<S, I> {
        Interpreter { inner, interpret: self.interpret.clone(), cap: self.cap }
    }
}

/// Reads the bodies of error responses, so that all layers above can classify them by their head alone.
///
/// An [`Interpret`] hook decides what a response means. Responses that the hook does not want read pass
/// unchanged and without allocation; of the others at most a cap is read ahead, and the caller still gets
/// [the whole body](Interpreted).
///
/// It has no timeout: a peer that sends its error body byte by byte holds the call until the attempt
/// timeout above ends it. Dropping the future drops the response and its connection; the hook then sees
/// nothing of the body.
#[derive(Clone, Copy, Debug)]
pub struct Interpreter<S, I> {
    inner: S,
    interpret: I,
    cap: usize,
}

impl<S, I, ReqB, ResB> Service<Request<ReqB>> for Interpreter<S, I>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    I: Interpret + Clone,
    ResB: Body<Data = Bytes>,
{
    type Response = Response<Interpreted<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, I, ResB>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let memo = self.interpret.remember(&request);
        let future = self.inner.call(request);
        ResponseFuture {
            state: State::Waiting { future },
            interpret: self.interpret.clone(),
            memo,
            cap: self.cap,
        }
    }
}

pin_project! {
    /// The response, once the hook has seen as much of its body as it wants.
    ///
    /// # Panics
    ///
    /// If polled after completion.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, I: Interpret, B: Body> {
        #[pin]
        state: State<F, B>,
        interpret: I,
        memo: I::Memo,
        cap: usize,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B: Body> {
        Waiting { #[pin] future: F },
        // Empty once the response was returned.
        Reading { response: Option<(response::Parts, Reading<B>)> },
        Done,
    }
}

impl<F, I, B, E> Future for ResponseFuture<F, I, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    I: Interpret,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<Interpreted<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let (mut head, body) = match this.state.as_mut().project() {
                StateProj::Waiting { future } => match ready!(future.poll(cx)) {
                    Ok(response) => response.into_parts(),
                    Err(error) => {
                        this.state.set(State::Done);
                        return Poll::Ready(Err(error));
                    }
                },
                StateProj::Reading { response } => {
                    if let Some((_, reading)) = response {
                        ready!(reading.poll_ahead(cx, *this.cap));
                    }
                    let Some((mut head, reading)) = response.take() else {
                        panic!("`ResponseFuture` polled after completion")
                    };
                    reading.show(*this.cap, |body| this.interpret.read(this.memo, &mut head, body));
                    return Poll::Ready(Ok(Response::from_parts(head, Interpreted::read(reading))));
                }
                StateProj::Done => panic!("`ResponseFuture` polled after completion"),
            };
            if this.interpret.reads(this.memo, &head) {
                let response = Some((head, Reading::new(body)));
                this.state.set(State::Reading { response });
                continue;
            }
            let body = match this.interpret.end(this.memo, &head) {
                None => Interpreted::untouched(body),
                Some(reader) => {
                    let (end, watch) = Watch::new(reader, Verdict::success());
                    head.extensions.insert(end);
                    Interpreted::watched(body, watch)
                }
            };
            this.state.set(State::Done);
            return Poll::Ready(Ok(Response::from_parts(head, body)));
        }
    }
}

impl<F, I: Interpret, B: Body> std::fmt::Debug for ResponseFuture<F, I, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Waiting { .. } => "waiting",
            State::Reading { .. } => "reading",
            State::Done => "done",
        };
        f.debug_struct("ResponseFuture").field("state", &state).finish_non_exhaustive()
    }
}
