use sandtower_core::Tick;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use sandtower_core::Sleep;

/// What `future` comes to within `limit`; `None`: the time was over first. Without a limit there is
/// no timer.
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
