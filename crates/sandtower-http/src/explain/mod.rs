//! The outermost layer: where the time of a call went.

mod attempts;
mod call;
mod events;
mod server_timing;
mod traces;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use sandtower_core::{
    BoxError, Classify, ClassifyResponse, HasInfo, ObserveCalls, Recording, Tick,
};
use tower_layer::Layer;
use tower_service::Service;

pub use self::attempts::{AttemptSpanFuture, AttemptSpanLayer, AttemptSpans};
pub use self::call::ExplainFuture;
pub use self::server_timing::server_timing;
pub use self::traces::{PropagateTrace, Traces, set_trace_parent, trace_parent};

use self::call::Call;
use self::events::Events;

/// A call that takes longer is logged by default.
const SLOW: Duration = Duration::from_secs(10);

/// What is done with the explanations of calls.
///
/// By default they are put on responses and errors, and calls that take longer than 10 s or are rejected
/// are logged.
#[derive(Clone)]
#[must_use = "a configuration does nothing by itself"]
pub struct Explain {
    attach: bool,
    slow: Option<Duration>,
    observers: Vec<Arc<dyn ObserveCalls>>,
    traces: Option<Traces>,
}

impl Default for Explain {
    fn default() -> Self {
        Self { attach: true, slow: Some(SLOW), ..Self::off() }
    }
}

impl Explain {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is recorded, and a call costs nothing more.
    pub const fn off() -> Self {
        Self { attach: false, slow: None, observers: Vec::new(), traces: None }
    }

    /// Whether the [`Explanation`](sandtower_core::Explanation) is put on the response, as an extension,
    /// and around an error, as an [`ExplainedError`](sandtower_core::ExplainedError).
    pub fn attach(self, attach: bool) -> Self {
        Self { attach, ..self }
    }

    /// Logs calls that take longer than this until the head of their response, and calls that are
    /// rejected; `None`: neither.
    pub fn slow_after(self, slow: Option<Duration>) -> Self {
        Self { slow, ..self }
    }

    /// Calls `observer` for each call that has ended, after those that were named before.
    pub fn observe(mut self, observer: Arc<dyn ObserveCalls>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Makes a span for each call.
    pub fn traces(self, traces: Traces) -> Self {
        Self { traces: Some(traces), ..self }
    }

    fn is_off(&self) -> bool {
        !self.attach && self.slow.is_none() && self.observers.is_empty() && self.traces.is_none()
    }
}

impl std::fmt::Debug for Explain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explain")
            .field("attach", &self.attach)
            .field("slow", &self.slow)
            .field("observers", &self.observers.len())
            .field("traces", &self.traces)
            .finish()
    }
}

/// Explains where the time of calls went: see [`ExplainService`].
///
/// # Events
///
/// With the target `sandtower::explain`: a slow call and a rejected call (`INFO`), at most ten a second;
/// `operation`, `outcome`, `took_ms`, `explanation`, and `suppressed`, how many events were left out
/// before, are their fields.
#[derive(Clone, Debug)]
pub struct ExplainLayer<C> {
    classify: C,
    /// `None`: it does nothing.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    explain: Explain,
    events: Events,
}

impl<C> ExplainLayer<C> {
    /// A layer that does as `explain` says. `classify` says which operation a request is, and how its
    /// call ended.
    pub fn new(explain: Explain, classify: C) -> Self {
        let shared = Shared { explain, events: Events::default() };
        let shared = (!shared.explain.is_off()).then(|| Arc::new(shared));
        Self { classify, shared }
    }
}

impl<S, C: Clone> Layer<S> for ExplainLayer<C> {
    type Service = ExplainService<S, C>;

    fn layer(&self, inner: S) -> ExplainService<S, C> {
        ExplainService { inner, classify: self.classify.clone(), shared: self.shared.clone() }
    }
}

/// Records what each call does, and explains it at the head of its response. Created by an
/// [`ExplainLayer`].
///
/// Keep it outermost. It sees what the layers below report on the same task: a layer such as tower's
/// `Buffer`, which moves calls to another task, hides what is below it. A call whose future is dropped is
/// observed as cancelled.
///
/// Ready when the service below is.
#[derive(Clone, Debug)]
pub struct ExplainService<S, C> {
    inner: S,
    classify: C,
    shared: Option<Arc<Shared>>,
}

impl<S, C, ReqB, ResB> Service<Request<ReqB>> for ExplainService<S, C>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
    C: Classify<Request<ReqB>>,
    C::Classifier: ClassifyResponse<Response<ResB>>,
{
    type Response = Response<ResB>;
    type Error = BoxError;
    type Future = ExplainFuture<S::Future, C::Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let Some(shared) = &self.shared else {
            return ExplainFuture::new(self.inner.call(request), None);
        };
        let classifier = self.classify.classify(&request);
        let trace = shared.explain.traces.as_ref().and_then(|_| trace_parent(&request));
        let span = match &shared.explain.traces {
            Some(traces) => traces.call_span(classifier.info(), trace),
            None => tracing::Span::none(),
        };
        let recording = Recording::begin(Tick::now());
        let mut call = Call::new(recording, classifier, Arc::clone(shared), span, trace);
        let future = call.within(|| self.inner.call(request));
        ExplainFuture::new(future, Some(call))
    }
}
