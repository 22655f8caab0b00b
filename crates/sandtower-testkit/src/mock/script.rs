//! The scripts of a mock: how it replies to a call, and when an instance is ready.

use std::{fmt, time::Duration};

use crate::BoxError;

/// How a [`Mock`](crate::Mock) replies to one call.
///
/// ```
/// use std::time::Duration;
/// use sandtower_testkit::Reply;
///
/// let _busy: Reply<u64> = Reply::err("busy");
/// let _slow = Reply::ok(7).after(Duration::from_secs(2));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Reply<Res> {
    /// The call succeeds at once.
    Ok(Res),
    /// The call fails at once.
    Err(BoxError),
    /// Replies after this time on the tokio clock.
    After(Duration, Box<Reply<Res>>),
    /// Never replies.
    Hang,
    /// Never replies, and exhausts tokio's cooperative budget of its task at each poll, like a future that
    /// always has work.
    Busy,
}

impl<Res> Reply<Res> {
    /// The call succeeds at once.
    pub fn ok(response: Res) -> Self {
        Self::Ok(response)
    }

    /// The call fails at once; a `&str` is accepted as the error.
    pub fn err(error: impl Into<BoxError>) -> Self {
        Self::Err(error.into())
    }

    /// This reply, `delay` later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// When an instance of a [`Mock`](crate::Mock) is ready for its next call.
///
/// Evaluated once before each call, at the first poll; see
/// [`Handle::set_readiness`](crate::Handle::set_readiness).
#[derive(Debug)]
#[non_exhaustive]
pub enum Readiness {
    /// Ready at once.
    Ready,
    /// Ready when this much time has passed on the tokio clock since the first poll.
    After(Duration),
    /// Not ready until the script of readiness is replaced.
    Pending,
    /// Not ready until the script of readiness is replaced, and each poll exhausts tokio's cooperative
    /// budget of the task.
    Busy,
    /// `poll_ready` fails. The instance may then only be dropped.
    Err(BoxError),
}

/// One of the instances of a [`Mock`](crate::Mock): the first one, or one of its clones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Instance {
    /// Its number, from 0 in the order of creation.
    pub number: u64,
    /// The instance that it was cloned from; `None` for the first.
    pub made_from: Option<u64>,
}

impl Instance {
    /// Whether it is the first instance and not a clone.
    #[must_use]
    pub fn is_original(self) -> bool {
        self.made_from.is_none()
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.made_from {
            None => write!(f, "original #{}", self.number),
            Some(parent) => write!(f, "clone #{}, cloned from #{parent}", self.number),
        }
    }
}
