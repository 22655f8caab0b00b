//! The call that an orphan comes from, for the spans of its cleanup.

use std::sync::Arc;

use http::Request;
use sandtower_core::TraceParent;
use tracing::Span;

use crate::{Marks, SandboxId};

/// The call that created a sandbox, or may have.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    span: Span,
    trace: Option<TraceParent>,
}

impl Origin {
    /// No call that is known.
    pub(crate) fn unknown() -> Self {
        Self { span: Span::none(), trace: None }
    }

    /// The call at hand, which sends `request`.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self { span: Span::current(), trace: sandtower_http::trace_parent(request) }
    }

    /// What is left of the call is an orphan from here on.
    pub(super) fn orphaned(
        &self,
        attempt: Option<&Marks>,
        sandbox: Option<&SandboxId>,
    ) -> Arc<Orphaned> {
        let span = tracing::info_span!(
            target: "sandtower::trace",
            parent: None,
            "cleanup",
            call_id = attempt.map(|attempt| tracing::field::display(attempt.call)),
            sandbox_id = sandbox.map(tracing::field::display),
        );
        // Not its child: the span of the call would stay open until the cleanup is done.
        span.follows_from(&self.span);
        Arc::new(Orphaned { span, trace: self.trace })
    }
}

/// The cleanup of one orphan. Shared, since a subscriber hears of each clone of a span.
#[derive(Debug)]
pub(super) struct Orphaned {
    pub(super) span: Span,
    pub(super) trace: Option<TraceParent>,
}
