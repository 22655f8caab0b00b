use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, header};
use pin_project_lite::pin_project;
use sandtower_core::{
    Attempt, BoxError, Classify, ClassifyResponse, HasInfo, Outcome, judge, recording,
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;
use tracing::field::Empty;

use super::traces::Traces;

/// Makes a span for each attempt: see [`AttemptSpans`].
#[derive(Clone, Debug)]
pub struct AttemptSpanLayer<C> {
    classify: C,
    /// `None`: it does nothing.
    traces: Option<Arc<Traces>>,
}

impl<C> AttemptSpanLayer<C> {
    /// Creates spans as configured by `traces`; `None` for no spans.
    pub fn new(traces: Option<Traces>, classify: C) -> Self {
        Self { classify, traces: traces.map(Arc::new) }
    }
}

impl<S, C: Clone> Layer<S> for AttemptSpanLayer<C> {
    type Service = AttemptSpans<S, C>;

    fn layer(&self, inner: S) -> AttemptSpans<S, C> {
        AttemptSpans { inner, classify: self.classify.clone(), traces: self.traces.clone() }
    }
}

/// Creates a span for each attempt, with the names of OpenTelemetry for HTTP clients. Created by an
/// [`AttemptSpanLayer`].
///
/// Place it below all layers that make attempts wait, and above the timeout of attempts, so that the span
/// covers one exchange. If an [`ExplainService`](super::ExplainService) is above, the span also records
/// what held the attempt in the queue, and for how long. The trace context is written on the request.
///
/// Ready when the service below is.
#[derive(Clone, Debug)]
pub struct AttemptSpans<S, C> {
    inner: S,
    classify: C,
    traces: Option<Arc<Traces>>,
}

impl<S, C, ReqB, ResB> Service<Request<ReqB>> for AttemptSpans<S, C>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    S::Error: Into<BoxError>,
    C: Classify<Request<ReqB>>,
    C::Classifier: ClassifyResponse<Response<ResB>>,
{
    type Response = Response<ResB>;
    type Error = BoxError;
    type Future = AttemptSpanFuture<S::Future, C::Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let Some(traces) = &self.traces else {
            return AttemptSpanFuture { future: self.inner.call(request), exchange: None };
        };
        let classifier = self.classify.classify(&request);
        let span = span(traces, &classifier, &request);
        traces.stamp(&mut request, &span);
        if span.is_disabled() {
            return AttemptSpanFuture { future: self.inner.call(request), exchange: None };
        }
        let future = span.in_scope(|| self.inner.call(request));
        let exchange = Some(Exchange { span, classifier, traces: Arc::clone(traces) });
        AttemptSpanFuture { future, exchange }
    }
}

fn span<B>(traces: &Traces, classifier: &impl HasInfo, request: &Request<B>) -> Span {
    let operation = classifier.info().operation;
    let span = tracing::info_span!(
        target: "sandtower::trace",
        "attempt",
        otel.name = Empty,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = %request.method(),
        http.request.resend_count = Empty,
        http.response.status_code = Empty,
        url.template = Empty,
        server.address = Empty,
        server.port = Empty,
        error.type = Empty,
        operation = operation.name(),
        verdict = Empty,
        queue.held_by = Empty,
        queue.duration_ms = Empty,
    );
    if span.is_disabled() {
        return span;
    }
    match traces.template_of(operation) {
        Some(template) => {
            span.record("url.template", template);
            span.record("otel.name", format_args!("{} {template}", request.method()).to_string());
        }
        None => drop(span.record("otel.name", request.method().as_str())),
    }
    if let Some((host, port)) = server(request) {
        span.record("server.address", host);
        if let Some(port) = port {
            span.record("server.port", port);
        }
    }
    if let Some(attempt) = request.extensions().get::<Attempt>().filter(|it| it.number > 1) {
        span.record("http.request.resend_count", attempt.number - 1);
    }
    if let Some(queue) = recording::last_queue() {
        span.record("queue.duration_ms", u64::try_from(queue.took.as_millis()).unwrap_or(u64::MAX));
        if let Some(why) = &queue.why {
            span.record("queue.held_by", why.layer());
        }
    }
    span
}

/// The host and the port that a request is sent to.
fn server<B>(request: &Request<B>) -> Option<(&str, Option<u16>)> {
    if let Some(authority) = request.uri().authority() {
        return Some((authority.host(), authority.port_u16()));
    }
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    match host.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok())),
        None => Some((host, None)),
    }
}

pin_project! {
    /// The response of one attempt.
    ///
    /// # Panics
    ///
    /// When it is polled after it is done, if the future below does.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct AttemptSpanFuture<F, C> {
        // Dropped before its span.
        #[pin]
        future: F,
        // `None`: there is no span, or it is done.
        exchange: Option<Exchange<C>>,
    }

    impl<F, C> PinnedDrop for AttemptSpanFuture<F, C> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(Exchange { span, .. }) = this.project().exchange {
                let cancelled = Outcome::Cancelled.label();
                span.record("verdict", cancelled);
                span.record("error.type", cancelled);
            }
        }
    }
}

#[derive(Debug)]
struct Exchange<C> {
    span: Span,
    classifier: C,
    traces: Arc<Traces>,
}

impl<F, C, B, E> Future for AttemptSpanFuture<F, C>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    C: ClassifyResponse<Response<B>>,
{
    type Output = Result<Response<B>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(exchange) = this.exchange else {
            return this.future.poll(cx).map_err(Into::into);
        };
        let polled = exchange.span.in_scope(|| this.future.poll(cx));
        let result = ready!(polled).map_err(Into::into);
        exchange.ended(&result);
        *this.exchange = None;
        Poll::Ready(result)
    }
}

impl<C> Exchange<C> {
    fn ended<B>(&self, result: &Result<Response<B>, BoxError>)
    where
        C: ClassifyResponse<Response<B>>,
    {
        let span = &self.span;
        let outcome = judge(&self.classifier, result.as_ref()).outcome;
        span.record("verdict", outcome.label());
        match result {
            Ok(response) => {
                let status = response.status();
                span.record("http.response.status_code", status.as_u16());
                if status.as_u16() >= 400 {
                    span.record("error.type", status.as_str());
                } else if outcome != Outcome::Success {
                    span.record("error.type", outcome.label());
                }
            }
            Err(error) => drop(span.record("error.type", self.traces.error_type_of(error))),
        }
        if outcome != Outcome::Success {
            span.record("otel.status_code", "ERROR");
        }
    }
}
