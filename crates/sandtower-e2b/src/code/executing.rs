use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use sandtower_core::{BoxError, Tick};

use crate::{Call, Error, body::piece};

use super::execution::{CodeEvent, Execution, Told, read};
use super::line::{Lines, TooLong};

/// Code that runs, and the stream of what it does.
///
/// Dropping this closes the connection. Whether the code stops then is up to the interpreter.
pub struct Executing<B> {
    call: Call,
    timeout: Option<Duration>,
    until: Option<Tick>,
    longest: usize,
    body: Pin<Box<B>>,
    lines: Lines,
    /// There is no more of the body.
    ended: bool,
    /// There is no more to tell.
    over: bool,
}

impl<B> Executing<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The code whose answer `body` is, and which may run until `until`, for `timeout` in all.
    pub(crate) fn new(
        call: Call,
        timeout: Option<Duration>,
        until: Option<Tick>,
        longest: usize,
        body: B,
    ) -> Self {
        let (body, lines) = (Box::pin(body), Lines::new(longest));
        Self { call, timeout, until, longest, body, lines, ended: false, over: false }
    }

    /// The call that runs it.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What it does next; `None`: it has ended, and all was told. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`CodeTimedOut`](Error::CodeTimedOut) and [`OutputTooLong`](Error::OutputTooLong) are about
    /// the code; after any other it may still run. `None` comes after an error.
    pub async fn next(&mut self) -> Option<Result<CodeEvent, Error>> {
        if self.over {
            return None;
        }
        let next = self.read().await;
        self.over = !matches!(next, Some(Ok(_)));
        next
    }

    /// Waits for its end, and collects what it does until then.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next).
    pub async fn execution(mut self) -> Result<Execution, Error> {
        let mut execution = Execution::default();
        while let Some(event) = self.next().await {
            execution.add(event?);
        }
        Ok(execution)
    }

    async fn read(&mut self) -> Option<Result<CodeEvent, Error>> {
        loop {
            // Behind the last line the answer is read to its end, so that its connection can be used
            // again.
            while let Some(line) = self.line() {
                match read(&line) {
                    Ok(Told::Event(event)) => return Some(Ok(event)),
                    Ok(Told::End | Told::Nothing) => {}
                    Err(error) => return Some(Err(self.unreadable(&error))),
                }
            }
            if self.ended {
                return None;
            }
            let left = self.until.map(|until| until.since(Tick::now()));
            match piece(self.body.as_mut(), left).await {
                None => self.ended = true,
                Some(Ok(piece)) => {
                    if let Err(TooLong) = self.lines.push(&piece) {
                        let (call, longest) = (self.call.clone(), self.longest);
                        return Some(Err(Error::OutputTooLong { call, longest }));
                    }
                }
                Some(Err(source)) => return Some(Err(self.broken(source))),
            }
        }
    }

    fn line(&mut self) -> Option<Bytes> {
        match self.lines.line() {
            None if self.ended => self.lines.rest(),
            line => line,
        }
    }

    fn broken(&self, source: BoxError) -> Error {
        let call = self.call.clone();
        match self.timeout {
            Some(after) if source.is::<crate::Silent>() => Error::CodeTimedOut { call, after },
            _ => Error::Unreadable { call, source },
        }
    }

    /// The place of the error in the line is said, not the line.
    fn unreadable(&self, error: &serde_json::Error) -> Error {
        let source = format!("a line is no such json at column {}", error.column()).into();
        Error::Unreadable { call: self.call.clone(), source }
    }
}

impl<B> std::fmt::Debug for Executing<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executing")
            .field("call", &self.call)
            .field("timeout", &self.timeout)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
