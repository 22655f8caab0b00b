use std::time::Duration;

use http::StatusCode;
use sandtower_core::{
    Advice, BoxError, Effect, Operation, Outcome, Rejection, Replay, Verdict, find,
    verdict_of_error,
};
use sandtower_http::verdict_of_transport;

use crate::{
    CallId, Said, SandboxId,
    operation::{SANDBOX_CREATE, replay},
    stream_end::verdict_of_stream_error,
};

/// What went wrong with a call.
///
/// It says which operation it was and of which sandbox; [`hint`](Error::hint) says whether to try
/// again. Neither keys nor tokens are in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no answer: one of our own layers rejected the call, or the connection failed. The
    /// source tells.
    #[error("{call} got no answer")]
    Unanswered {
        /// Which call.
        call: Call,
        /// What happened to it.
        source: BoxError,
    },
    /// The service said no.
    #[error("{call} was answered {answer}")]
    Answered {
        /// Which call.
        call: Call,
        /// What it said.
        answer: Box<Answer>,
    },
    /// The answer broke off or made no sense. What was asked for may have been done.
    #[error("the answer to {call} cannot be read")]
    Unreadable {
        /// Which call.
        call: Call,
        /// What is wrong with it.
        source: BoxError,
    },
    /// The sandbox could not run the command.
    #[error("{call} failed: {}", .said.message)]
    Process {
        /// Which call.
        call: Call,
        /// What its envd said.
        said: Box<Said>,
    },
    /// The command outlived its own time-out and was killed.
    #[error("{call} ran for longer than its time-out of {} s", .after.as_secs_f64())]
    CommandTimedOut {
        /// Which call.
        call: Call,
        /// The time-out.
        after: Duration,
    },
    /// The code outlived its own time-out. Whether it was stopped is up to the interpreter.
    #[error("{call} ran for longer than its time-out of {} s", .after.as_secs_f64())]
    CodeTimedOut {
        /// Which call.
        call: Call,
        /// The time-out.
        after: Duration,
    },
    /// The file is longer than was to be read.
    #[error("{call} found a file longer than {longest} bytes")]
    FileTooLong {
        /// Which call.
        call: Call,
        /// What is read at most.
        longest: usize,
    },
    /// The command, or the code, told more than is collected. It was left running.
    #[error("{call} printed more than {longest} bytes")]
    OutputTooLong {
        /// Which call.
        call: Call,
        /// What is collected at most.
        longest: usize,
    },
    /// The request could not be made.
    #[error("{call} could not be put into a request")]
    Request {
        /// Which call.
        call: Call,
        /// Why.
        source: BoxError,
    },
}

/// Which call it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The kind of call.
    pub operation: Operation,
    /// The sandbox it was about, if there was one.
    pub sandbox: Option<SandboxId>,
    /// The id that is written on what the call makes, if it makes something.
    pub id: Option<CallId>,
}

impl Call {
    pub(crate) fn new(operation: Operation, sandbox: Option<SandboxId>) -> Self {
        Self { operation, sandbox, id: None }
    }

    /// The call that makes a sandbox.
    pub(crate) fn creation(id: CallId) -> Self {
        Self { operation: SANDBOX_CREATE, sandbox: None, id: Some(id) }
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

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What it said.
    pub said: Said,
    /// What it means.
    pub verdict: Verdict,
    /// Which attempt of its call got it: 1, unless a layer below has sent the request again.
    pub attempt: u32,
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if let Some(code) = &self.said.code {
            write!(f, " {code}")?;
        }
        match self.said.message.as_str() {
            "" => Ok(()),
            message => write!(f, ": {message}"),
        }
    }
}

/// Whether to make a call again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// It may be made again, not before this time has passed if one is given.
    Again {
        /// How long to wait, if anybody said so.
        after: Option<Duration>,
    },
    /// It may have been done although it failed: look before making it again.
    Look,
    /// It would end the same.
    Stop,
}

impl Error {
    /// Which call it was.
    pub fn call(&self) -> &Call {
        match self {
            Self::Unanswered { call, .. }
            | Self::Answered { call, .. }
            | Self::Unreadable { call, .. }
            | Self::Process { call, .. }
            | Self::CommandTimedOut { call, .. }
            | Self::CodeTimedOut { call, .. }
            | Self::FileTooLong { call, .. }
            | Self::OutputTooLong { call, .. }
            | Self::Request { call, .. } => call,
        }
    }

    /// The status of the answer, if the service said no.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Answered { answer, .. } => Some(answer.status),
            _ => None,
        }
    }

    /// What the service said, in its own words.
    pub fn said(&self) -> Option<&Said> {
        match self {
            Self::Answered { answer, .. } => Some(&answer.said),
            Self::Process { said, .. } => Some(said),
            _ => None,
        }
    }

    /// The rejection, if one of our own layers said no.
    pub fn rejection(&self) -> Option<&Rejection> {
        find(self)
    }

    /// Whether one of our own layers said no: the service was not asked.
    pub fn is_rejection(&self) -> bool {
        self.rejection().is_some()
    }

    /// What the last attempt said.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Unanswered { source, .. } => {
                verdict_of_error(&**source).unwrap_or_else(|| verdict_of_transport(&**source))
            }
            Self::Answered { answer, .. } => answer.verdict,
            Self::Unreadable { .. } => Verdict::unknown(),
            Self::Process { said, .. } => verdict_of_stream_error(said),
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
        let is_safe = replay(self.call().operation) == Some(Replay::Safe);
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

#[cfg(test)]
mod tests;
