use std::time::Duration;

use http::StatusCode;
use sandtower_core::{
    Advice, BoxError, Effect, ExplainedError, Explanation, Operation, Outcome, Rejection, Replay,
    Verdict, find, verdict_of_error,
};
use sandtower_http::verdict_of_transport;
use sandtower_timeout::is_timeout;

use crate::api::stream_end::verdict_of_stream_error;
use crate::operation::{SANDBOX_CREATE, replay};
use crate::{CallId, ErrorBody, SandboxId};

use self::cause::{Aftermath, NoResponse};

pub(crate) use self::cause::Causes;

/// A call failed.
///
/// The error names the operation and the sandbox; [`hint`](Error::hint) says whether to try again. It
/// contains neither keys nor tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no response: one of our own layers rejected the call, or the connection failed. The
    /// message says which, and whether the request was sent.
    #[error("{call} {}{}", NoResponse(&**.source), Aftermath(.call, self))]
    NoResponse {
        /// The call.
        call: Call,
        /// The cause.
        source: BoxError,
    },
    /// The service returned a status that is not a success.
    #[error("{call} failed with status {response}")]
    Status {
        /// The call.
        call: Call,
        /// The response.
        response: Box<ErrorResponse>,
    },
    /// The call did not end before its timeout, waits and retries included: the caller's own
    /// [timeout](crate::Command::timeout) or the [default](crate::Timeouts).
    #[error("{call} did not end within {} s{}", .after.as_secs_f64(), Aftermath(.call, self))]
    DeadlineExceeded {
        /// The call.
        call: Call,
        /// The timeout.
        after: Duration,
    },
    /// The response broke off or cannot be parsed. The request may have taken effect.
    #[error("the response to {call} cannot be read: {}{}", Causes(&**.source), Aftermath(.call, self))]
    BrokenResponse {
        /// The call.
        call: Call,
        /// The cause.
        source: BoxError,
    },
    /// The sandbox could not run the command.
    #[error("{call} failed: {}", .body.message)]
    Process {
        /// The call.
        call: Call,
        /// The error that envd returned.
        body: Box<ErrorBody>,
    },
    /// The command exceeded its own timeout and was killed.
    #[error("{call} ran for longer than its timeout of {} s", .after.as_secs_f64())]
    CommandTimedOut {
        /// The call.
        call: Call,
        /// The timeout.
        after: Duration,
    },
    /// The code exceeded its own timeout. Whether it was stopped is up to the interpreter.
    #[error("{call} ran for longer than its timeout of {} s", .after.as_secs_f64())]
    CodeTimedOut {
        /// The call.
        call: Call,
        /// The timeout.
        after: Duration,
    },
    /// The file is longer than the limit.
    #[error("{call} found a file longer than {longest} bytes")]
    FileTooLong {
        /// The call.
        call: Call,
        /// The limit in bytes.
        longest: usize,
    },
    /// The command or the code printed more than the limit. It was left running.
    #[error("{call} printed more than {longest} bytes")]
    OutputTooLong {
        /// The call.
        call: Call,
        /// The limit in bytes.
        longest: usize,
    },
    /// The request could not be built.
    #[error("{call} could not be put into a request: {}", Causes(&**.source))]
    Request {
        /// The call.
        call: Call,
        /// The cause.
        source: BoxError,
    },
}

/// Identifies the call in an [`Error`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// The sandbox that the call is about, if any.
    pub sandbox: Option<SandboxId>,
    /// The id that is recorded on what the call creates, if it creates something.
    pub id: Option<CallId>,
    /// Whether a [tracker](crate::SandboxTracker) finds and removes what the call may have left behind.
    pub(crate) tracked: bool,
}

impl Call {
    pub(crate) fn new(operation: Operation, sandbox: Option<SandboxId>) -> Self {
        Self { operation, sandbox, id: None, tracked: false }
    }

    /// A call that creates a sandbox.
    pub(crate) fn creation(id: CallId) -> Self {
        Self { id: Some(id), ..Self::new(SANDBOX_CREATE, None) }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.operation)?;
        if let Some(sandbox) = &self.sandbox {
            write!(f, " of sandbox `{sandbox}`")?;
        }
        match self.id {
            Some(id) => write!(f, " (call {id})"),
            None => Ok(()),
        }
    }
}

/// A response with a status that is not a success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: ErrorBody,
    /// The verdict on it.
    pub verdict: Verdict,
    /// The number of the attempt within its call: 1, unless a layer below retried.
    pub attempt: u32,
    /// Where the time of its call went, if a layer below [explains](sandtower_http::ExplainLayer) it.
    pub explanation: Option<Box<Explanation>>,
}

impl std::fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(code) = &self.body.code {
            write!(f, " {code}")?;
        }
        match self.body.message.as_str() {
            "" => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

/// Whether to make a call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The call may be made again, after this time if one is given.
    Again {
        /// How long to wait, if the service or a layer said so.
        after: Option<Duration>,
    },
    /// The call may have taken effect although it failed: look before making it again.
    Look,
    /// The call would fail again in the same way.
    Stop,
}

impl Error {
    /// The call.
    pub fn call(&self) -> &Call {
        match self {
            Self::NoResponse { call, .. }
            | Self::Status { call, .. }
            | Self::DeadlineExceeded { call, .. }
            | Self::BrokenResponse { call, .. }
            | Self::Process { call, .. }
            | Self::CommandTimedOut { call, .. }
            | Self::CodeTimedOut { call, .. }
            | Self::FileTooLong { call, .. }
            | Self::OutputTooLong { call, .. }
            | Self::Request { call, .. } => call,
        }
    }

    fn call_mut(&mut self) -> &mut Call {
        match self {
            Self::NoResponse { call, .. }
            | Self::Status { call, .. }
            | Self::DeadlineExceeded { call, .. }
            | Self::BrokenResponse { call, .. }
            | Self::Process { call, .. }
            | Self::CommandTimedOut { call, .. }
            | Self::CodeTimedOut { call, .. }
            | Self::FileTooLong { call, .. }
            | Self::OutputTooLong { call, .. }
            | Self::Request { call, .. } => call,
        }
    }

    /// The same error, for a call whose attempts are tracked.
    pub(crate) fn tracked(mut self) -> Self {
        self.call_mut().tracked = true;
        self
    }

    /// The number of the attempt within its call, as far as the response shows it.
    pub(crate) fn attempt(&self) -> u32 {
        match self {
            Self::Status { response, .. } => response.attempt,
            _ => 1,
        }
    }

    /// The status of the response, if there is one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { response, .. } => Some(response.status),
            _ => None,
        }
    }

    /// The body of the error response, if there is one.
    pub fn body(&self) -> Option<&ErrorBody> {
        match self {
            Self::Status { response, .. } => Some(&response.body),
            Self::Process { body, .. } => Some(body),
            _ => None,
        }
    }

    /// The rejection, if one of our own layers rejected the call.
    pub fn rejection(&self) -> Option<&Rejection> {
        find(self)
    }

    /// Where the time of the call went, and why, if a layer below
    /// [explains](sandtower_http::ExplainLayer) it. Of a call that succeeds it is an extension of the
    /// response; [`explained`](sandtower_core::explained) around a call of the client gets it back, too.
    pub fn explanation(&self) -> Option<&Explanation> {
        match self {
            Self::Status { response, .. } => response.explanation.as_deref(),
            _ => find::<ExplainedError>(self).map(ExplainedError::explanation),
        }
    }

    /// Whether one of our own layers rejected the call: the service was not called.
    pub fn is_rejected(&self) -> bool {
        self.rejection().is_some()
    }

    /// Whether the time of the call, of an attempt, or of the user's own command or code was over.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::DeadlineExceeded { .. }
            | Self::CommandTimedOut { .. }
            | Self::CodeTimedOut { .. } => true,
            _ => is_timeout(self),
        }
    }

    /// What the last attempt said.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::NoResponse { source, .. } => {
                verdict_of_error(&**source).unwrap_or_else(|| verdict_of_transport(&**source))
            }
            Self::Status { response, .. } => response.verdict,
            Self::DeadlineExceeded { .. } => Verdict::transient(Effect::Maybe),
            Self::BrokenResponse { .. } => Verdict::unknown(),
            Self::Process { body, .. } => verdict_of_stream_error(body),
            Self::Request { .. } => Verdict::permanent(),
            Self::CommandTimedOut { .. }
            | Self::CodeTimedOut { .. }
            | Self::FileTooLong { .. }
            | Self::OutputTooLong { .. } => Verdict::success(),
        }
    }

    /// Whether to make the call again.
    pub fn hint(&self) -> Hint {
        let verdict = self.verdict();
        if verdict.advice == Some(Advice::Stop) {
            return Hint::Stop;
        }
        // The tracker removes these; the caller need not look for them.
        let is_safe = self.call().tracked || replay(self.call().operation) == Some(Replay::Safe);
        match (verdict.outcome, verdict.effect) {
            (Outcome::Success, _) | (Outcome::Permanent, Effect::None) => Hint::Stop,
            (Outcome::Rejected, _) => {
                Hint::Again { after: self.rejection().and_then(Rejection::retry_after) }
            }
            (Outcome::Permanent, Effect::Maybe) => Hint::Look,
            (_, Effect::Maybe) if !is_safe => Hint::Look,
            _ => Hint::Again { after: verdict.retry_after },
        }
    }
}

mod cause;
#[cfg(test)]
mod tests;
