use http::{Request, header, response::Parts};
use sandtower_core::{Effect, Operation, RequestInfo, Verdict};
use sandtower_http::{DEFAULT_CAP, Excerpt, Interpret, ReadEnd};

use crate::{
    ErrorBody, Sandbox, TemplateNotFound,
    api::sent::Sent,
    api::stream_end::StreamEnd,
    operation as op, recognise,
    strings::{E2B, Rule, is_template_not_found},
    verdict_of_response,
};

/// Interprets E2B's responses: the hook of [`InterpretLayer`](sandtower_http::InterpretLayer).
///
/// - An error response gets the [`Verdict`] of [`verdict_of_response`].
/// - A response that returns a sandbox (create, connect, resume) gets the [`Sandbox`] as an extension, so
///   that layers above can track it without reading the body. If the sandbox cannot be parsed, the
///   verdict is unknown: there is a sandbox, but it is not known which.
/// - A response to a creation whose template does not exist gets a [`TemplateNotFound`].
/// - A listing, or another short message that is safe to request again, is read before it is passed on,
///   so that a body that breaks off is a transient failure. This depends on the layer's [`DEFAULT_CAP`]:
///   do not lower it.
/// - A stream of envd that ends in an error gets an [end](sandtower_core::ClassifyResponse::end_of_stream)
///   with the verdict, so that a breaker hears of it.
///
/// As the last layer to see a request it also records that a creation was sent: see
/// [`Tracking`](crate::Tracking).
///
/// Compressed bodies are not read; those responses are classified by status.
///
/// ```
/// use sandtower_e2b::E2bInterpret;
/// use sandtower_http::InterpretLayer;
///
/// let layer = InterpretLayer::new(E2bInterpret::default());
/// # let _ = layer;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct E2bInterpret {
    rules: &'static [Rule],
}

impl E2bInterpret {
    /// Recognises responses by `rules`, for providers of E2B's API with other messages.
    pub const fn new(rules: &'static [Rule]) -> Self {
        Self { rules }
    }
}

impl Default for E2bInterpret {
    /// Recognises the messages of E2B: [`strings::E2B`](crate::strings::E2B).
    fn default() -> Self {
        Self::new(E2B)
    }
}

impl Interpret for E2bInterpret {
    type Memo = Memo;

    fn remember<B>(&self, request: &Request<B>) -> Memo {
        let info = request.extensions().get::<RequestInfo>().copied();
        let operation = info.map_or_else(|| recognise(request).0, |info| info.operation);
        if operation == op::SANDBOX_CREATE {
            Sent::mark(request.extensions());
        }
        Memo { operation, info }
    }

    fn reads(&self, Memo { operation, .. }: &Memo, head: &Parts) -> bool {
        let wanted = match head.status.as_u16() {
            200..=299 => hands_out_a_sandbox(*operation) || is_collected(*operation),
            status => status >= 400,
        };
        wanted && !is_encoded(head)
    }

    /// Streams of envd report success in the status and the outcome in the last envelope.
    fn end(&self, _memo: &Memo, head: &Parts) -> Option<Box<dyn ReadEnd>> {
        let kind = head.headers.get(header::CONTENT_TYPE)?;
        (kind == "application/connect+json").then(|| Box::new(StreamEnd::default()) as _)
    }

    fn read(&self, memo: &Memo, head: &mut Parts, body: Excerpt<'_>) {
        let Memo { operation, info } = memo;
        if head.status.is_success() && is_collected(*operation) {
            // Longer bodies are not read ahead.
            if !body.complete && body.bytes.len() < DEFAULT_CAP {
                head.extensions.insert(BROKEN_OFF);
            }
        } else if head.status.is_success() {
            match serde_json::from_slice::<Sandbox>(body.bytes) {
                Ok(sandbox) => {
                    head.extensions.insert(sandbox);
                    // For whom its probes are.
                    info.map(|info| head.extensions.insert(info));
                }
                Err(_) => drop(head.extensions.insert(Verdict::unknown())),
            }
        } else {
            let body = ErrorBody::parse(body.bytes);
            let verdict =
                verdict_of_response(self.rules, *operation, head.status, &head.headers, &body);
            head.extensions.insert(verdict);
            if is_template_not_found(*operation, head.status.as_u16(), &body) {
                head.extensions.insert(TemplateNotFound);
            }
            if *operation == op::SANDBOX_CREATE {
                head.extensions.insert(body);
            }
        }
    }
}

/// What a response is to.
#[derive(Clone, Copy, Debug)]
pub struct Memo {
    operation: Operation,
    /// If the request was classified before.
    info: Option<RequestInfo>,
}

fn hands_out_a_sandbox(operation: Operation) -> bool {
    [op::SANDBOX_CREATE, op::SANDBOX_CONNECT, op::SANDBOX_RESUME].contains(&operation)
}

/// A body that broke off is worth another attempt: these requests are safe to repeat.
const BROKEN_OFF: Verdict = Verdict::transient(Effect::Maybe);

/// Whether a success is one short message, which is read as a whole before it is passed on, so that the
/// layers above learn of one that breaks off.
fn is_collected(operation: Operation) -> bool {
    [
        op::SANDBOX_LIST,
        op::SANDBOX_INFO,
        op::SANDBOX_METRICS,
        op::SNAPSHOT_LIST,
        op::FILE_STAT,
        op::FILE_LIST,
        op::PROCESS_LIST,
    ]
    .contains(&operation)
}

fn is_encoded(head: &Parts) -> bool {
    head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}
