use http::{Request, header, response::Parts};
use sandtower_core::{Operation, Verdict};
use sandtower_http::{Excerpt, Interpret, ReadEnd};

use crate::{
    Said, Sandbox, TemplateNotFound,
    creation::Sent,
    operation as op, recognise,
    stream_end::StreamEnd,
    strings::{E2B, Rule, is_template_not_found},
    verdict_of_answer,
};

/// Says what E2B's answers mean: the hook of [`InterpretLayer`](sandtower_http::InterpretLayer).
///
/// - An answer that is no success gets the [`Verdict`] of [`verdict_of_answer`].
/// - An answer that hands out a sandbox (create, connect, resume) gets the [`Sandbox`] itself as an
///   extension, so that layers above can look after it without touching the body. If it cannot be
///   made out, the verdict is unknown: there is a sandbox, and nobody knows which.
/// - An answer to a creation that knows no such template gets a [`TemplateNotFound`].
/// - A stream of envd that ends in an error has an [ending](sandtower_core::Classifier::ending) that says
///   what it means: a breaker hears of it.
///
/// It is the last to see a request, and notes on those that make a sandbox that they were sent: see
/// [`SafeCreate`](crate::SafeCreate).
///
/// Compressed bodies are not read; their answers are judged by their status.
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
    /// Recognises answers by `rules`: for providers that speak E2B's API in other words.
    pub const fn new(rules: &'static [Rule]) -> Self {
        Self { rules }
    }
}

impl Default for E2bInterpret {
    /// Recognises what E2B says: [`strings::E2B`](crate::strings::E2B).
    fn default() -> Self {
        Self::new(E2B)
    }
}

impl Interpret for E2bInterpret {
    type Memo = Operation;

    fn remember<B>(&self, request: &Request<B>) -> Operation {
        let operation = recognise(request).0;
        if operation == op::SANDBOX_CREATE {
            Sent::mark(request.extensions());
        }
        operation
    }

    fn reads(&self, operation: &Operation, head: &Parts) -> bool {
        let wanted = match head.status.as_u16() {
            200..=299 => hands_out_a_sandbox(*operation),
            status => status >= 400,
        };
        wanted && !is_encoded(head)
    }

    /// The streams of envd say success in their head, and what came of them in their last envelope.
    fn end(&self, _operation: &Operation, head: &Parts) -> Option<Box<dyn ReadEnd>> {
        let kind = head.headers.get(header::CONTENT_TYPE)?;
        (kind == "application/connect+json").then(|| Box::new(StreamEnd::default()) as _)
    }

    fn read(&self, operation: &Operation, head: &mut Parts, body: Excerpt<'_>) {
        if head.status.is_success() {
            match serde_json::from_slice::<Sandbox>(body.bytes) {
                Ok(sandbox) => drop(head.extensions.insert(sandbox)),
                Err(_) => drop(head.extensions.insert(Verdict::unknown())),
            }
        } else {
            let said = Said::parse(body.bytes);
            let verdict =
                verdict_of_answer(self.rules, *operation, head.status, &head.headers, &said);
            head.extensions.insert(verdict);
            if is_template_not_found(*operation, head.status.as_u16(), &said) {
                head.extensions.insert(TemplateNotFound);
            }
            if *operation == op::SANDBOX_CREATE {
                head.extensions.insert(said);
            }
        }
    }
}

fn hands_out_a_sandbox(operation: Operation) -> bool {
    [op::SANDBOX_CREATE, op::SANDBOX_CONNECT, op::SANDBOX_RESUME].contains(&operation)
}

fn is_encoded(head: &Parts) -> bool {
    head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity")
}
