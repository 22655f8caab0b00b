use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures_core::Stream;
use serde::Serialize;

use super::ErrorResponse;
use crate::admission::Progress;
use crate::{ProgressStream, ProgressUpdate};

/// Makes a call, and sends what its user reads meanwhile: server-sent events, for a handler to return.
///
/// | event | data |
/// |---|---|
/// | `progress` | a [`ProgressUpdate`] as JSON, whenever it changes |
/// | `result` | what `call` returned, as JSON; the last event |
/// | `error` | the body of an [`ErrorResponse`], as JSON; the last event |
///
/// `call` runs only while the response is read. When the user goes away, it is dropped where it is. The
/// status is 200 whatever it returns: it is sent before the call is made. A comment is sent each 15 s so
/// that proxies keep the connection.
pub fn sse<T, E>(
    progress: Progress,
    call: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Sse<KeepAliveStream<CallEvents>>
where
    T: Serialize,
    E: Into<ErrorResponse>,
{
    let call = async move {
        match call.await {
            Ok(value) => data("result", &value),
            Err(error) => data("error", &error.into().body()),
        }
    };
    let updates = ProgressStream::new(&progress);
    let events = CallEvents { updates, call: Some(Box::pin(call)), _progress: progress };
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// The progress of a call that is made elsewhere, as server-sent events `progress`: see [`sse`]. They end
/// once nothing holds `progress` any more.
pub fn progress_sse(progress: &Progress) -> Sse<KeepAliveStream<ProgressEvents>> {
    let events = ProgressEvents { updates: ProgressStream::new(progress) };
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn data(name: &str, value: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    match serde_json::to_string(value) {
        // JSON has no line breaks outside of strings, and none inside that are not escaped.
        Ok(json) => event.data(json),
        Err(_) => {
            Event::default().event("error").data(r#"{"error":"the result cannot be serialised"}"#)
        }
    }
}

fn progress(update: &ProgressUpdate) -> Result<Event, Infallible> {
    Ok(data("progress", update))
}

/// The events of [`sse`].
pub struct CallEvents {
    updates: ProgressStream,
    call: Option<Pin<Box<dyn Future<Output = Event> + Send>>>,
    // So that the updates do not end before the call does.
    _progress: Progress,
}

impl Stream for CallEvents {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        if let Poll::Ready(last) = call.as_mut().poll(cx) {
            self.call = None;
            return Poll::Ready(Some(Ok(last)));
        }
        match ready!(Pin::new(&mut self.updates).poll_next(cx)) {
            Some(update) => Poll::Ready(Some(progress(&update))),
            None => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for CallEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallEvents").field("updates", &self.updates).finish_non_exhaustive()
    }
}

/// The events of [`progress_sse`].
#[derive(Debug)]
pub struct ProgressEvents {
    updates: ProgressStream,
}

impl Stream for ProgressEvents {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let update = ready!(Pin::new(&mut self.updates).poll_next(cx));
        Poll::Ready(update.as_ref().map(progress))
    }
}
