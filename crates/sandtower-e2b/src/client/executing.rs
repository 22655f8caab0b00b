use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;
use sandtower_core::{BoxError, Tick};

use crate::api::code::{CodeStep, CodeStream, TooLong};
use crate::transport::body::{Silent, drain_ready, piece};
use crate::transport::within::Limit;
use crate::{Call, CodeEvent, Error, Execution};

/// Running code, as a stream of its events.
///
/// Dropping it closes the connection. Whether the code stops then is up to the interpreter.
pub struct Executing<B> {
    call: Call,
    limit: Limit,
    longest: usize,
    body: Pin<Box<B>>,
    stream: CodeStream,
    over: bool,
}

/// The body ended before the execution did.
#[derive(Debug, thiserror::Error)]
#[error("the response ended before the execution did")]
struct NoEnd;

impl<B> Executing<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The code whose response is `body`.
    pub(crate) fn new(call: Call, limit: Limit, longest: usize, body: B) -> Self {
        let (body, stream) = (Box::pin(body), CodeStream::new(longest));
        Self { call, limit, longest, body, stream, over: false }
    }

    /// The call that runs the code.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The next event; `None`: the code has ended. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`CodeTimedOut`](Error::CodeTimedOut) and [`OutputTooLong`](Error::OutputTooLong) are caused by
    /// the code; after any other error it may still be running. `None` follows an error.
    pub async fn next(&mut self) -> Option<Result<CodeEvent, Error>> {
        if self.over {
            return None;
        }
        let next = self.step().await.transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }

    /// Waits until the code ends, and collects the result.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    pub async fn execution(mut self) -> Result<Execution, Error> {
        let mut execution = Execution::default();
        while let Some(event) = self.next().await {
            execution.add(event?);
        }
        Ok(execution)
    }

    async fn step(&mut self) -> Result<Option<CodeEvent>, Error> {
        let mut ended = false;
        loop {
            match self.stream.next() {
                Ok(Some(CodeStep::Event(event))) => return Ok(Some(event)),
                Ok(Some(CodeStep::End)) => {
                    drain_ready(self.body.as_mut()).await;
                    return Ok(None);
                }
                Ok(None) if ended => return Err(self.unreadable(NoEnd)),
                Ok(None) => {}
                Err(bad) => return Err(self.unreadable(bad)),
            }
            match piece(self.body.as_mut(), self.limit.left()).await {
                None => {
                    self.stream.finish();
                    ended = true;
                }
                Some(Ok(piece)) => {
                    if let Err(TooLong) = self.stream.push(&piece) {
                        let (call, longest) = (self.call.clone(), self.longest);
                        return Err(Error::OutputTooLong { call, longest });
                    }
                }
                Some(Err(source)) => return Err(self.failed(source)),
            }
        }
    }

    fn failed(&self, source: BoxError) -> Error {
        match self.limit.timeout() {
            Some(after) if source.is::<Silent>() && Tick::now() >= self.limit.until() => {
                Error::CodeTimedOut { call: self.call.clone(), after }
            }
            _ => self.unreadable(source),
        }
    }

    fn unreadable(&self, source: impl Into<BoxError>) -> Error {
        Error::BrokenResponse { call: self.call.clone(), source: source.into() }
    }
}

impl<B> std::fmt::Debug for Executing<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executing")
            .field("call", &self.call)
            .field("timeout", &self.limit.timeout())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
