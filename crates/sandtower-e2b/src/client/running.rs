use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use sandtower_core::{BoxError, Tick};

use crate::api::hidden::Hidden;
use crate::api::process::{Broken, ProcessStream, Step};
use crate::transport::body::{Silent, drain_ready, piece};
use crate::transport::within::Limit;
use crate::{Call, Error, Exit, Output, ProcessEvent};

/// How long a stream may be silent: envd sends a keepalive every 50 s, and may miss two.
const PATIENCE: Duration = Duration::from_secs(110);
/// envd itself kills a command at its timeout and reports it: how late that report may be.
const GRACE: Duration = Duration::from_secs(2);

/// A process in a sandbox, as a stream of its events.
///
/// Unread output applies backpressure: full pipes stop the process. Dropping the stream disconnects; the
/// process runs on until its timeout, and can be
/// [connected to](crate::Client::connect_process) or [killed](crate::Client::kill_process).
pub struct Running<B> {
    call: Call,
    pid: u32,
    limit: Limit,
    hidden: Hidden,
    body: Pin<Box<B>>,
    stream: ProcessStream,
    over: bool,
}

impl<B> Running<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The process whose stream is `body`, which begins with the process id.
    pub(crate) async fn new(
        call: Call,
        limit: Limit,
        hidden: Hidden,
        body: B,
    ) -> Result<Self, Error> {
        let (body, stream) = (Box::pin(body), ProcessStream::default());
        let mut running = Self { call, pid: 0, limit, hidden, body, stream, over: false };
        match running.step().await? {
            Step::Started { pid } => running.pid = pid,
            Step::Event(_) | Step::End => return Err(running.broken(Broken::NoStart)),
        }
        Ok(running)
    }

    /// The process id in the sandbox.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The call that started or connected to the process.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The next event; `None`: the process has ended. Cancel safe.
    ///
    /// A chunk of output never ends within a UTF-8 character: text can be decoded chunk by chunk.
    ///
    /// # Errors
    ///
    /// [`CommandTimedOut`](Error::CommandTimedOut) and [`Process`](Error::Process) are caused by the
    /// process; after any other error it may still be running. `None` follows an error.
    pub async fn next(&mut self) -> Option<Result<ProcessEvent, Error>> {
        while !self.over {
            match self.step().await {
                Ok(Step::Event(event)) => return Some(Ok(event)),
                Ok(Step::Started { .. }) => {}
                Ok(Step::End) => self.over = true,
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// Waits until the process ends, and collects its output: at most `longest` bytes of standard output
    /// and standard error together.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next), and [`OutputTooLong`](Error::OutputTooLong).
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

    async fn step(&mut self) -> Result<Step, Error> {
        loop {
            match self.stream.next() {
                Ok(Some(step)) => {
                    if step == Step::End {
                        drain_ready(self.body.as_mut()).await;
                    }
                    return Ok(step);
                }
                Ok(None) => {}
                Err(broken) => {
                    drain_ready(self.body.as_mut()).await;
                    return Err(self.broken(broken));
                }
            }
            let left = (self.limit.until() + GRACE).since(Tick::now());
            match piece(self.body.as_mut(), Some(left.min(PATIENCE))).await {
                Some(Ok(piece)) => self.stream.push(&piece),
                Some(Err(source)) => return Err(self.failed(source)),
                None => return Err(self.broken(self.stream.cut_off())),
            }
        }
    }

    fn failed(&self, source: BoxError) -> Error {
        let call = self.call.clone();
        match self.limit.timeout() {
            Some(after) if source.is::<Silent>() && Tick::now() >= self.limit.until() => {
                Error::CommandTimedOut { call, after }
            }
            _ => Error::BrokenResponse { call, source },
        }
    }

    fn broken(&self, broken: Broken) -> Error {
        let call = self.call.clone();
        match broken {
            Broken::Reported(body) => match (body.code.as_deref(), self.limit.timeout()) {
                (Some("deadline_exceeded"), Some(after)) => Error::CommandTimedOut { call, after },
                _ => Error::Process { call, body: Box::new(self.hidden.hide(body)) },
            },
            broken => Error::BrokenResponse { call, source: broken.into() },
        }
    }
}

impl<B> std::fmt::Debug for Running<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("call", &self.call)
            .field("pid", &self.pid)
            .field("timeout", &self.limit.timeout())
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

    /// The result of a stream of these messages, the last of which ends it.
    fn output(longest: usize, messages: &[&str]) -> Result<Output, Error> {
        let mut stream: Vec<Vec<u8>> =
            messages.iter().map(|message| encode(message.as_bytes()).unwrap().to_vec()).collect();
        stream.last_mut().unwrap()[0] = 2;
        let call = Call::new(op::PROCESS_START, None);
        let body = Full::new(Bytes::from(stream.concat()));
        let limit = Limit::from_now(Some(Duration::from_secs(9)));
        let output = async {
            let running = Running::new(call, limit, Hidden::default(), body).await?;
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

    #[tokio::test]
    async fn events_yield_the_output() {
        let error = r#"{"event":{"data":{"stderr":"ZXJyCg=="}}}"#;
        let keepalive = r#"{"event":{"keepalive":{}}}"#;
        let output = output(100, &[START, HI, keepalive, error, END, "{}"]).unwrap();
        assert_eq!(output.stdout_text(), "hi\n");
        assert_eq!((output.stderr_text().as_ref(), output.exit_code), ("err\n", 3));
    }

    #[tokio::test]
    async fn a_stream_that_ends_before_the_process_is_broken() {
        for messages in [&[START, "{}"][..], &[START, HI, "{}"], &["{}"], &[END, "{}"]] {
            assert!(
                matches!(output(100, messages), Err(Error::BrokenResponse { .. })),
                "{messages:?}"
            );
        }
    }

    #[tokio::test]
    async fn an_error_in_the_last_message_is_returned() {
        let no_cwd = r#"{"error":{"code":"invalid_argument","message":"no such cwd"}}"#;
        assert!(matches!(output(100, &[no_cwd]), Err(Error::Process { .. })));
        let late =
            r#"{"error":{"code":"deadline_exceeded","message":"context deadline exceeded"}}"#;
        let error = output(100, &[START, late]).unwrap_err();
        assert!(matches!(error, Error::CommandTimedOut { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn output_beyond_the_cap_is_an_error() {
        assert!(matches!(
            output(2, &[START, HI, END, "{}"]),
            Err(Error::OutputTooLong { longest: 2, .. })
        ));
    }
}
