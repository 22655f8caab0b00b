use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use sandtower_core::BoxError;

use crate::{
    Call, Error, Output,
    body::piece,
    envelope::{Decoder, EnvelopeError},
    hidden::Hidden,
};

use super::event::{Exit, ProcessEvent, Told, read, read_last};

/// How long a stream may be silent: envd is asked to say every 50 s that it is alive, and may be
/// late twice.
const PATIENCE: Duration = Duration::from_secs(110);

/// A process in a sandbox, and the stream of what it does.
///
/// What is not read waits: a process whose output nobody takes is stopped by full pipes, as
/// anywhere. Dropping this stops listening; the process runs on until its time-out, and can be
/// [found again](crate::Client::connect_process) or [killed](crate::Client::kill_process).
#[derive(Debug)]
pub struct Running<B> {
    call: Call,
    pid: u32,
    timeout: Option<Duration>,
    hidden: Hidden,
    events: Events<B>,
}

impl<B> Running<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The process whose stream `body` is. It begins with its number.
    pub(crate) async fn new(
        call: Call,
        timeout: Option<Duration>,
        hidden: Hidden,
        body: B,
    ) -> Result<Self, Error> {
        let mut running = Self { call, pid: 0, timeout, hidden, events: Events::new(body) };
        loop {
            match running.events.next().await {
                Ok(Some(Told::Started { pid })) => {
                    running.pid = pid;
                    return Ok(running);
                }
                Ok(Some(Told::Alive)) => {}
                Ok(Some(Told::Event(_)) | None) => return Err(running.error(Broken::NoStart)),
                Err(broken) => return Err(running.error(broken)),
            }
        }
    }

    /// Its number in the sandbox.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The call that started it, or listens to it.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What it does next; `None`: it has ended, and all was told. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`CommandTimedOut`](Error::CommandTimedOut) and [`Process`](Error::Process) are about the
    /// process; after any other it may still run. `None` comes after an error.
    pub async fn next(&mut self) -> Option<Result<ProcessEvent, Error>> {
        loop {
            match self.events.next().await {
                Ok(Some(Told::Event(event))) => return Some(Ok(event)),
                Ok(Some(Told::Started { .. } | Told::Alive)) => {}
                Ok(None) => return None,
                Err(broken) => return Some(Err(self.error(broken))),
            }
        }
    }

    /// Waits for its end, and collects what it prints until then: at most `longest` bytes, standard
    /// output and error together.
    ///
    /// # Errors
    ///
    /// As for [`next`](Self::next), and [`OutputTooLong`](Error::OutputTooLong).
    pub async fn output(mut self, longest: usize) -> Result<Output, Error> {
        let mut output = Output::default();
        while let Some(event) = self.next().await {
            match event? {
                ProcessEvent::Stdout(piece) => output.stdout.extend_from_slice(&piece),
                ProcessEvent::Stderr(piece) => output.stderr.extend_from_slice(&piece),
                ProcessEvent::Exit(Exit { code, .. }) => output.exit_code = code,
            }
            if output.stdout.len() + output.stderr.len() > longest {
                return Err(Error::OutputTooLong { call: self.call, longest });
            }
        }
        Ok(output)
    }

    fn error(&self, broken: Broken) -> Error {
        let call = self.call.clone();
        match broken {
            Broken::Said(said) => match (said.code.as_deref(), self.timeout) {
                (Some("deadline_exceeded"), Some(after)) => Error::CommandTimedOut { call, after },
                _ => Error::Process { call, said: Box::new(self.hidden.hide(said)) },
            },
            Broken::Body(source) => Error::Unreadable { call, source },
            broken => Error::Unreadable { call, source: broken.into() },
        }
    }
}

/// Why a stream told no more.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the connection broke")]
    Body(BoxError),
    #[error("envd sent what is no stream of envelopes")]
    Envelope(#[from] EnvelopeError),
    #[error(transparent)]
    Nonsense(#[from] super::event::Nonsense),
    #[error("the stream did not begin with the number of a process")]
    NoStart,
    #[error("the stream ended before the process did")]
    NoEnd,
    #[error("envd said that it failed")]
    Said(crate::Said),
}

/// The messages of one stream.
struct Events<B> {
    body: Pin<Box<B>>,
    decoder: Decoder,
    exited: bool,
    over: bool,
}

impl<B> Events<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn new(body: B) -> Self {
        Self { body: Box::pin(body), decoder: Decoder::new(), exited: false, over: false }
    }

    async fn next(&mut self) -> Result<Option<Told>, Broken> {
        if self.over {
            return Ok(None);
        }
        let told = self.read().await;
        self.over = !matches!(told, Ok(Some(_)));
        told
    }

    async fn read(&mut self) -> Result<Option<Told>, Broken> {
        loop {
            if let Some(envelope) = self.decoder.message()? {
                if envelope.is_end {
                    return self.last(&envelope.message).await;
                }
                let told = read(&envelope.message)?;
                self.exited |= matches!(told, Told::Event(ProcessEvent::Exit(_)));
                return Ok(Some(told));
            }
            match piece(self.body.as_mut(), Some(PATIENCE)).await {
                Some(piece) => self.decoder.push(&piece.map_err(Broken::Body)?),
                None => {
                    self.decoder.finish()?;
                    return Err(Broken::NoEnd);
                }
            }
        }
    }

    /// The end of the stream, which is read to its last byte so that the connection can be used
    /// again.
    async fn last(&mut self, message: &[u8]) -> Result<Option<Told>, Broken> {
        if let Some(said) = read_last(message)? {
            return Err(Broken::Said(said));
        }
        if !self.exited {
            return Err(Broken::NoEnd);
        }
        while let Some(piece) = piece(self.body.as_mut(), Some(PATIENCE)).await {
            self.decoder.push(&piece.map_err(Broken::Body)?);
            self.decoder.finish()?;
        }
        Ok(None)
    }
}

impl<B> std::fmt::Debug for Events<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("exited", &self.exited)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use http_body_util::Full;

    use super::*;
    use crate::{envelope::encode, operation as op};

    /// What comes of the stream of these messages, the last being its end.
    fn output(longest: usize, messages: &[&str]) -> Result<Output, Error> {
        let mut stream: Vec<Vec<u8>> =
            messages.iter().map(|message| encode(message.as_bytes()).unwrap().to_vec()).collect();
        stream.last_mut().unwrap()[0] = 2;
        let call = Call::new(op::PROCESS_START, None);
        let body = Full::new(Bytes::from(stream.concat()));
        let output = async {
            let running =
                Running::new(call, Some(Duration::from_secs(9)), Hidden::default(), body).await?;
            assert_eq!(running.pid(), 130);
            running.output(longest).await
        };
        match pin!(output).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("all of it is there"),
        }
    }

    const START: &str = r#"{"event":{"start":{"pid":130}}}"#;
    const HI: &str = r#"{"event":{"data":{"stdout":"aGkK"}}}"#;
    const END: &str = r#"{"event":{"end":{"exitCode":3,"exited":true,"status":"exit status 3"}}}"#;

    #[test]
    fn events_add_up_to_the_output() {
        let error = r#"{"event":{"data":{"stderr":"ZXJyCg=="}}}"#;
        let keepalive = r#"{"event":{"keepalive":{}}}"#;
        let output = output(100, &[START, HI, keepalive, error, END, "{}"]).unwrap();
        assert_eq!(output.stdout_text(), "hi\n");
        assert_eq!((output.stderr_text().as_ref(), output.exit_code), ("err\n", 3));
    }

    #[test]
    fn a_stream_that_ends_before_the_process_is_broken() {
        for messages in [&[START, "{}"][..], &[START, HI, "{}"], &["{}"], &[END, "{}"]] {
            assert!(matches!(output(100, messages), Err(Error::Unreadable { .. })), "{messages:?}");
        }
    }

    #[test]
    fn what_the_last_message_says_is_told() {
        let no_cwd = r#"{"error":{"code":"invalid_argument","message":"no such cwd"}}"#;
        assert!(matches!(output(100, &[no_cwd]), Err(Error::Process { .. })));
        let late =
            r#"{"error":{"code":"deadline_exceeded","message":"context deadline exceeded"}}"#;
        let error = output(100, &[START, late]).unwrap_err();
        assert!(matches!(error, Error::CommandTimedOut { .. }), "{error:?}");
    }

    #[test]
    fn output_beyond_the_cap_is_an_error() {
        assert!(matches!(
            output(2, &[START, HI, END, "{}"]),
            Err(Error::OutputTooLong { longest: 2, .. })
        ));
    }
}
