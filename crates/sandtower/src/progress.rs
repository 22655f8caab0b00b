use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use serde::Serialize;

use crate::Message;
use crate::admission::{CallState, Progress, WeakProgress};
use crate::core::{Operation, Sleep, Tick};

/// What a user reads of a call that is in progress, ready to be sent as JSON.
///
/// ```
/// use sandtower::ProgressUpdate;
/// use sandtower::admission::{CallState, QueuePosition};
///
/// let position = QueuePosition::new(2, 5, None, None);
/// let update = ProgressUpdate::from(&CallState::Queued(position));
/// assert_eq!(update.state, "queued");
/// assert_eq!(update.message, "You are 3rd in the queue.");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProgressUpdate {
    /// One of `waiting` (not in the queue yet, or before another attempt), `queued`, `creating` and
    /// `checking` (a sandbox), `running` (a command or code), `working` (any other call) and `done`.
    pub state: &'static str,
    /// The same in a sentence.
    pub message: String,
    /// How many calls are ahead, in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<usize>,
    /// The expected time in the queue in seconds, rounded up, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u64>,
}

impl ProgressUpdate {
    fn new(state: &'static str, message: &str) -> Self {
        Self { state, message: message.to_owned(), ahead: None, wait_s: None }
    }

    fn done() -> Self {
        Self::new("done", "Done.")
    }
}

impl From<&CallState> for ProgressUpdate {
    fn from(state: &CallState) -> Self {
        match state {
            CallState::Queued(position) => {
                let message = Message::from(position);
                let wait = message.retry_after();
                let wait_s = wait.map(|wait| wait.as_millis().div_ceil(1_000) as u64);
                let ahead = Some(position.ahead);
                Self { state: "queued", message: message.to_string(), ahead, wait_s }
            }
            CallState::Admitted(operation) => sent(*operation),
            CallState::Checking => Self::new("checking", "Your sandbox is being checked."),
            CallState::Running => running(),
            _ => Self::new("waiting", "Your request is being prepared."),
        }
    }
}

fn running() -> ProgressUpdate {
    ProgressUpdate::new("running", "Your code is running.")
}

#[cfg(feature = "e2b")]
fn sent(operation: Operation) -> ProgressUpdate {
    use crate::e2b::operation as op;

    match operation {
        op::SANDBOX_CREATE => ProgressUpdate::new("creating", "Your sandbox is being created."),
        op::PROCESS_START | op::CODE_EXECUTE => running(),
        _ => working(),
    }
}

#[cfg(not(feature = "e2b"))]
fn sent(_operation: Operation) -> ProgressUpdate {
    working()
}

fn working() -> ProgressUpdate {
    ProgressUpdate::new("working", "Your request is in progress.")
}

/// The progress of a call as a stream: each update that differs from the one before, the first at once.
///
/// It looks four times a second. It ends, with an update of the state `done`, once nothing else holds the
/// [`Progress`]: the call, its client and every clone are gone. It keeps nothing alive.
///
/// # Panics
///
/// When it has to wait outside a tokio runtime with its timer enabled.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct ProgressStream {
    progress: Option<WeakProgress>,
    last: Option<ProgressUpdate>,
    // Boxed, so that the stream is `Unpin`.
    sleep: Pin<Box<Sleep>>,
}

const EVERY: Duration = Duration::from_millis(250);

impl ProgressStream {
    /// The updates of `progress`.
    pub fn new(progress: &Progress) -> Self {
        let sleep = Box::pin(Sleep::until(Tick::MAX));
        Self { progress: Some(progress.downgrade()), last: None, sleep }
    }

    /// The next update; `None`: there is none any more. Dropped before it is done, it loses nothing.
    pub async fn next(&mut self) -> Option<ProgressUpdate> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ProgressStream {
    type Item = ProgressUpdate;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ProgressUpdate>> {
        loop {
            let Some(weak) = &self.progress else { return Poll::Ready(None) };
            let Some(progress) = weak.upgrade() else {
                self.progress = None;
                return Poll::Ready(Some(ProgressUpdate::done()));
            };
            let update = ProgressUpdate::from(&progress.snapshot());
            drop(progress);
            if self.last.as_ref() != Some(&update) {
                self.last = Some(update.clone());
                return Poll::Ready(Some(update));
            }
            if self.sleep.at() == Tick::MAX {
                self.sleep.as_mut().reset(Tick::now() + EVERY);
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.sleep.as_mut().reset(Tick::MAX);
        }
    }
}
