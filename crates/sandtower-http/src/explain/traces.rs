use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request};
use sandtower_core::{
    BoxError, Explanation, Operation, Outcome, RequestInfo, TraceParent, verdict_of_error,
};
use tracing::Span;
use tracing::field::{Empty, display};

use crate::{TransportFault, verdict_of_transport};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Ties spans to the traces of other services: `tracing` knows no ids of traces, its subscribers do.
///
/// The example `otlp_traces` has one for `tracing-opentelemetry`.
pub trait PropagateTrace: Send + Sync + 'static {
    /// Called when `span` begins, for a call whose request carried `parent`.
    fn begin(&self, _span: &Span, _parent: TraceParent) {}

    /// The trace and the id of `span`, for the requests that are sent within it; `None`: it is in no
    /// trace, and what the request came with is passed on.
    fn context(&self, span: &Span) -> Option<TraceParent>;
}

/// How spans are created and named.
///
/// A valid `traceparent` of a request is passed on, and an invalid one is removed. With
/// [`propagate`](Self::propagate) each attempt names its own span there.
///
/// Spans contain methods, paths as templates, hosts, states and times: no header field, no query, no
/// body. They cost nothing if no subscriber wants the target `sandtower::trace`.
#[derive(Clone)]
#[must_use = "a configuration does nothing by itself"]
pub struct Traces {
    propagate: Option<Arc<dyn PropagateTrace>>,
    template: fn(Operation) -> Option<&'static str>,
    error_type: fn(&BoxError) -> Option<&'static str>,
}

impl Default for Traces {
    fn default() -> Self {
        Self { propagate: None, template: |_| None, error_type: |_| None }
    }
}

impl Traces {
    /// Spans without ids, and without templates of paths.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends the id of each attempt's span, as `propagate` knows it.
    pub fn propagate(self, propagate: Arc<dyn PropagateTrace>) -> Self {
        Self { propagate: Some(propagate), ..self }
    }

    /// Names the path of an operation as a template, for `url.template`: `/sandboxes/{sandboxID}`.
    pub fn template(self, template: fn(Operation) -> Option<&'static str>) -> Self {
        Self { template, ..self }
    }

    /// Names the type of an error, for `error.type`: one of few. Of errors without a name it is the
    /// outcome.
    pub fn error_type(self, error_type: fn(&BoxError) -> Option<&'static str>) -> Self {
        Self { error_type, ..self }
    }

    pub(super) fn call_span(&self, info: &RequestInfo, parent: Option<TraceParent>) -> Span {
        let operation = info.operation.name();
        let span = tracing::info_span!(
            target: "sandtower::trace",
            "call",
            otel.name = operation,
            otel.status_code = Empty,
            operation,
            outcome = Empty,
            attempts = Empty,
            explanation = Empty,
        );
        if let (Some(parent), Some(propagate)) = (parent, &self.propagate)
            && !span.is_disabled()
        {
            propagate.begin(&span, parent);
        }
        span
    }

    pub(super) fn call_ended(&self, span: &Span, call: &Explanation) {
        if span.is_disabled() {
            return;
        }
        span.record("outcome", call.outcome().label());
        span.record("attempts", call.attempts());
        span.record("explanation", display(call));
        if call.outcome() != Outcome::Success {
            span.record("otel.status_code", "ERROR");
        }
    }

    /// The trace that `span` belongs to.
    pub(super) fn of(&self, span: &Span, incoming: Option<TraceParent>) -> Option<TraceParent> {
        let own = self.propagate.as_ref().filter(|_| !span.is_disabled());
        own.and_then(|propagate| propagate.context(span)).or(incoming)
    }

    /// Writes on a request which trace it belongs to.
    pub(super) fn stamp<B>(&self, request: &mut Request<B>, span: &Span) {
        let came_with = trace_parent(request);
        let trace = self.of(span, came_with);
        match trace {
            Some(trace) if Some(trace) == came_with => {}
            Some(trace) => set_trace_parent(request, trace),
            None => remove(request.headers_mut()),
        }
    }

    pub(super) fn template_of(&self, operation: Operation) -> Option<&'static str> {
        (self.template)(operation)
    }

    pub(super) fn error_type_of(&self, error: &BoxError) -> &'static str {
        if let Some(named) = (self.error_type)(error) {
            return named;
        }
        match TransportFault::of(&**error) {
            Some(TransportFault::NotSent) => "not_sent",
            Some(TransportFault::UntrustedCertificate) => "untrusted_certificate",
            Some(TransportFault::Exhausted { .. }) => "local_resource",
            Some(TransportFault::RequestBody | TransportFault::NotReplayable) => "request_body",
            None => {
                let verdict = verdict_of_error(&**error);
                verdict.unwrap_or_else(|| verdict_of_transport(&**error)).outcome.label()
            }
        }
    }
}

/// Writes the header field `traceparent` of `request`, in place of any before.
pub fn set_trace_parent<B>(request: &mut Request<B>, trace: TraceParent) {
    if let Ok(value) = HeaderValue::try_from(trace.to_string()) {
        request.headers_mut().insert(TRACEPARENT, value);
    }
}

fn remove(fields: &mut HeaderMap) {
    fields.remove(TRACEPARENT);
    fields.remove(TRACESTATE);
}

/// The trace that the header field `traceparent` of `request` names; `None`: none, or it is invalid.
pub fn trace_parent<B>(request: &Request<B>) -> Option<TraceParent> {
    let mut fields = request.headers().get_all(TRACEPARENT).iter();
    let (first, second) = (fields.next()?, fields.next());
    // Several are as good as none.
    first.to_str().ok().filter(|_| second.is_none())?.parse().ok()
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traces")
            .field("propagates", &self.propagate.is_some())
            .finish_non_exhaustive()
    }
}
