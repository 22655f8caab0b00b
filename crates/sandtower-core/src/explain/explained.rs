use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::explanation::Explanation;
use super::recording::{Ended, Recording};
use crate::{BoxError, Outcome, Tick};

/// Runs `call`, one call of any kind, and explains where its time went.
///
/// The output is that of `call`, and its [`Explanation`]. Layers report to it as long as `call` itself
/// polls them; what another task does for it is part of the attempt. An error is
/// [unknown](Outcome::Unknown) to the explanation, unless a layer below explains the call, too.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use sandtower_core::explained;
///
/// let (result, explanation) = explained(async { Ok::<_, std::io::Error>(7) }).await;
/// assert_eq!(result.unwrap(), 7);
/// assert_eq!(explanation.to_string(), "attempt 1 succeeded in 0 ms");
/// # }
/// ```
pub fn explained<F, T, E>(call: F) -> Explained<F>
where
    F: Future<Output = Result<T, E>>,
{
    Explained { call, recording: None }
}

pin_project! {
    /// The future of [`explained`].
    ///
    /// # Panics
    ///
    /// When it is polled after it is done, unless `call` does something else then.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Explained<F> {
        #[pin]
        call: F,
        // `None` until it is first polled: the call begins then.
        recording: Option<Recording>,
    }
}

impl<F, T, E> Future for Explained<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = (Result<T, E>, Explanation);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let recording = this.recording.get_or_insert_with(|| Recording::begin(Tick::now()));
        let polled = {
            let _entered = recording.enter();
            this.call.poll(cx)
        };
        let result = ready!(polled);
        let outcome = if result.is_ok() { Outcome::Success } else { Outcome::Unknown };
        match recording.end(Ended::new(outcome), None, Tick::now()) {
            Some(explanation) => Poll::Ready((result, explanation)),
            None => panic!("`Explained` polled after completion"),
        }
    }
}

/// An error with the [`Explanation`] of its call.
///
/// It reads like the error inside, which [`find`](crate::find) gets back; its `source` is the source of
/// that.
#[derive(Debug)]
pub struct ExplainedError {
    explanation: Box<Explanation>,
    source: BoxError,
}

impl ExplainedError {
    /// `source`, the error of the call that `explanation` explains.
    pub fn new(explanation: Explanation, source: impl Into<BoxError>) -> Self {
        Self { explanation: Box::new(explanation), source: source.into() }
    }

    /// Where the time of the call went.
    pub fn explanation(&self) -> &Explanation {
        &self.explanation
    }

    /// The error inside.
    pub fn inner(&self) -> &BoxError {
        &self.source
    }

    /// The error inside, without the explanation.
    pub fn into_inner(self) -> BoxError {
        self.source
    }
}

impl std::fmt::Display for ExplainedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for ExplainedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
