//! The strings that distinguish responses of E2B where the status does not. They occur only here.

use sandtower_core::{Effect, Operation, Verdict};

use crate::{ErrorBody, operation as op};

/// A rule: responses with these statuses that match mean this verdict.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    statuses: &'static [u16],
    says: Says,
    verdict: Verdict,
}

/// How a response is matched. Case is ignored in messages, but not in codes.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// The message begins with this.
    Begins(&'static str),
    /// The message contains this.
    Mentions(&'static str),
    /// The error code is this.
    Code(&'static str),
}

impl Rule {
    /// Responses with `statuses` whose message begins with `text` mean `verdict`.
    pub const fn begins(statuses: &'static [u16], text: &'static str, verdict: Verdict) -> Self {
        Self { statuses, says: Says::Begins(text), verdict }
    }

    /// Responses with `statuses` whose message contains `text` mean `verdict`.
    pub const fn mentions(statuses: &'static [u16], text: &'static str, verdict: Verdict) -> Self {
        Self { statuses, says: Says::Mentions(text), verdict }
    }

    /// Responses with `statuses` whose error code is `code` mean `verdict`.
    pub const fn code(statuses: &'static [u16], code: &'static str, verdict: Verdict) -> Self {
        Self { statuses, says: Says::Code(code), verdict }
    }

    /// The verdict on a matching response.
    pub(crate) fn verdict(&self, status: u16, body: &ErrorBody) -> Option<Verdict> {
        let recognised = match self.says {
            Says::Begins(text) => begins(&body.message, text),
            Says::Mentions(text) => mentions(&body.message, text),
            Says::Code(code) => body.code.as_deref() == Some(code),
        };
        (recognised && self.statuses.contains(&status)).then_some(self.verdict)
    }
}

fn begins(message: &str, text: &str) -> bool {
    let (message, text) = (message.as_bytes(), text.as_bytes());
    message.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
}

pub(crate) fn mentions(message: &str, text: &str) -> bool {
    let (message, text) = (message.as_bytes(), text.as_bytes());
    message.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
}

/// Whether a response to a creation says that the template does not exist. A server without the call
/// returns 404 too, but mentions no template.
pub(crate) fn is_template_not_found(operation: Operation, status: u16, body: &ErrorBody) -> bool {
    operation == op::SANDBOX_CREATE && status == 404 && mentions(&body.message, "template")
}

/// The message of E2B's API for an unknown call.
pub(crate) const NO_SUCH_CALL: &str = "no matching operation";

/// The message of the service for pausing a paused sandbox.
const ALREADY_PAUSED: &str = "already paused";

/// Whether the request has nothing left to do: a kill of a sandbox that does not exist, a pause of a
/// paused one.
pub(crate) fn is_so_already(operation: Operation, status: u16, body: &ErrorBody) -> bool {
    match status {
        404 => operation == op::SANDBOX_KILL,
        409 => operation == op::SANDBOX_PAUSE && mentions(&body.message, ALREADY_PAUSED),
        _ => false,
    }
}

/// Whether the sandbox is busy for a moment: it is being killed, paused or snapshotted.
pub(crate) fn is_busy(operation: Operation, status: u16) -> bool {
    let waits = [op::SANDBOX_KILL, op::SANDBOX_CONNECT, op::SANDBOX_PAUSE];
    status == 409 && waits.contains(&operation)
}

const PASSING: Verdict = Verdict::transient(Effect::None);
/// Concerns one sandbox or one call: the service is healthy.
const PASSING_OF_ONE: Verdict = PASSING.about_one();
const PERHAPS_DONE: Verdict = Verdict::transient(Effect::Maybe);

/// The messages of E2B. The first matching rule applies; otherwise the status does.
pub const E2B: &[Rule] = &[
    // Slots: only the end of a sandbox or a build frees one.
    Rule::begins(
        &[429],
        "you have reached the maximum number of concurrent E2B sandboxes",
        Verdict::exhausted(),
    ),
    Rule::begins(
        &[429],
        "you have reached the maximum number of concurrent template builds",
        Verdict::exhausted(),
    ),
    Rule::begins(
        &[429],
        "The sandbox has too many concurrent incoming connections",
        PASSING_OF_ONE,
    ),
    // Creation. The API returns these after it has cleaned up; after a timeout a sandbox may still
    // start late.
    Rule::code(&[500], "sandbox_create_failed", PASSING),
    Rule::code(&[500], "sandbox_create_refused", Verdict::permanent()),
    Rule::code(&[500], "internal_server_error", Verdict::unknown()),
    Rule::code(&[503], "sandbox_capacity_unavailable", PASSING),
    Rule::code(&[503], "sandbox_no_compatible_node", Verdict::permanent()),
    Rule::code(&[504], "sandbox_placement_timeout", PERHAPS_DONE),
    Rule::begins(&[500, 503], "Failed to place sandbox", PASSING),
    Rule::mentions(&[503], "node is busy", PASSING),
    // The proxy in front of the sandboxes. The first two concern one sandbox, not the service.
    Rule::begins(&[502], "The sandbox was not found", Verdict::permanent()),
    Rule::begins(&[502], "The sandbox is running but port is not open", Verdict::permanent()),
    Rule::begins(&[502], "Failed to route request to sandbox", PERHAPS_DONE),
    Rule::mentions(&[409], "sandbox is still transitioning", PASSING_OF_ONE),
    // Conflicts that resolve by themselves, or never.
    Rule::code(&[409], "sandbox_start_in_flight", PASSING_OF_ONE),
    Rule::code(&[409, 422], "idempotency_in_progress", PERHAPS_DONE.about_one()),
    Rule::code(
        &[409, 422],
        "idempotency_outcome_unknown",
        Verdict::permanent().effect(Effect::Maybe),
    ),
    Rule::code(&[409, 422], "idempotency_request_mismatch", Verdict::permanent()),
];
