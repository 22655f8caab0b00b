use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use sandtower_core::{Sleep, Tick};

/// The timeout of a call, and its deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    timeout: Option<Duration>,
    until: Tick,
}

impl Limit {
    /// `timeout` from now on; `None`: no limit.
    pub(crate) fn from_now(timeout: Option<Duration>) -> Self {
        let until = timeout.map_or(Tick::MAX, |timeout| Tick::now() + timeout);
        Self { timeout, until }
    }

    pub(crate) fn timeout(self) -> Option<Duration> {
        self.timeout
    }

    /// The deadline; [`Tick::MAX`]: none.
    pub(crate) fn until(self) -> Tick {
        self.until
    }

    /// The remaining time; `None`: no limit.
    pub(crate) fn left(self) -> Option<Duration> {
        self.timeout.map(|_| self.until.since(Tick::now()))
    }
}

/// Awaits `future` until `limit`; `None`: it elapsed first. Without a limit there is no timer.
pub(crate) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    let Some(limit) = limit else { return Some(future.await) };
    let mut future = pin!(future);
    let mut sleep = pin!(Sleep::until(Tick::now() + limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(None)
    })
    .await
}
