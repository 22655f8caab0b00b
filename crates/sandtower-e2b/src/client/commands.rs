//! Running commands in a sandbox.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Operation};
use serde::Serialize;
use serde::de::IgnoredAny;
use tower_service::Service;

use crate::{
    Call, Command, Error, Output, ProcessInfo, Running, Sandbox, Selector,
    api::hidden::Hidden,
    api::process::{self, Processes, Signal},
    api::request,
    operation as op,
};

use crate::transport::within::Limit;

use super::{Client, is_not_found};

/// All methods return an [`Error`] that names the call, the cause and whether to make it again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Runs a command and collects its output. A non-zero exit code is not an error.
    ///
    /// Dropping the future does not stop the command; its timeout does.
    ///
    /// # Errors
    ///
    /// [`CommandTimedOut`](Error::CommandTimedOut), [`OutputTooLong`](Error::OutputTooLong) and
    /// [`Process`](Error::Process) are caused by the command; after any other error it may be
    /// running, under a name that is the id of the error's [call](Call::id).
    pub async fn run(&self, sandbox: &Sandbox, command: &Command) -> Result<Output, Error> {
        self.start(sandbox, command).await?.output(command.longest_output).await
    }

    /// Starts a command and returns a stream of its events once it runs.
    ///
    /// ```no_run
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use sandtower_core::BoxError;
    /// # use sandtower_e2b::{Client, Command, ProcessEvent, Sandbox};
    /// # async fn example<S>(client: Client<S>, sandbox: Sandbox) -> Result<(), BoxError>
    /// # where
    /// #     S: tower_service::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError> + Clone,
    /// # {
    /// let mut tests = client.start(&sandbox, &Command::build("make test")).await?;
    /// while let Some(event) = tests.next().await {
    ///     if let ProcessEvent::Stdout(piece) = event? {
    ///         println!("{}", String::from_utf8_lossy(&piece));
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Process`](Error::Process): the command cannot be started. After any other error it may be
    /// running, under a name that is the id of the error's [call](Call::id): connect to it or kill it.
    pub async fn start(&self, sandbox: &Sandbox, command: &Command) -> Result<Running<B>, Error> {
        let id = self.config.next_call();
        let mut call = Call::new(op::PROCESS_START, Some(sandbox.id().clone()));
        call.id = Some(id);
        let own = id.to_string();
        let message = process::start(command, command.tag.as_deref().unwrap_or(&own));
        let request = request::stream(
            &self.config,
            sandbox,
            "/process.Process/Start",
            command.user.as_deref(),
            command.timeout,
            &message,
        );
        let request = request.map_err(|error| request::failed(&call, error))?;
        let hidden = Hidden::of(&request).and(command.secrets());
        self.listen(call, Limit::from_now(command.timeout), request, hidden).await
    }

    /// Connects to a running process. Earlier output is not replayed.
    ///
    /// # Errors
    ///
    /// [`Process`](Error::Process) with the code `not_found`: the process does not exist or has ended.
    pub async fn connect_process(
        &self,
        sandbox: &Sandbox,
        process: impl Into<Selector>,
    ) -> Result<Running<B>, Error> {
        let call = Call::new(op::PROCESS_CONNECT, Some(sandbox.id().clone()));
        let process = process.into();
        let message = process::connect(&process);
        let path = "/process.Process/Connect";
        let request = request::stream(&self.config, sandbox, path, None, None, &message)
            .map_err(|error| request::failed(&call, error))?;
        let hidden = Hidden::of(&request);
        let limit = self.limit(&call);
        self.listen(call, limit, request, hidden).await
    }

    async fn listen(
        &self,
        call: Call,
        limit: Limit,
        request: Request<Full<Bytes>>,
        hidden: Hidden,
    ) -> Result<Running<B>, Error> {
        let started = async {
            let response = self.send_hiding(&call, limit, request, &hidden).await?;
            Running::new(call.clone(), limit, hidden, response.into_body()).await
        };
        self.in_time(&call, limit, started).await
    }

    /// Lists the processes in a sandbox.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub async fn processes(&self, sandbox: &Sandbox) -> Result<Vec<ProcessInfo>, Error> {
        #[derive(Serialize)]
        struct All {}
        let call = Call::new(op::PROCESS_LIST, Some(sandbox.id().clone()));
        let path = "/process.Process/List";
        let found: Processes = self.unary(&call, sandbox, path, None, &All {}).await?;
        Ok(found.processes)
    }

    /// Kills a process with `SIGKILL`. `false`: it does not exist or has ended.
    ///
    /// # Errors
    ///
    /// The process may be dead nevertheless; killing it again is safe.
    pub async fn kill_process(
        &self,
        sandbox: &Sandbox,
        process: impl Into<Selector>,
    ) -> Result<bool, Error> {
        self.signal(sandbox, &process.into(), Signal::Kill).await
    }

    /// Terminates a process with `SIGTERM`. `false`: it does not exist or has ended.
    ///
    /// # Errors
    ///
    /// The signal may have been delivered nevertheless.
    pub async fn terminate_process(
        &self,
        sandbox: &Sandbox,
        process: impl Into<Selector>,
    ) -> Result<bool, Error> {
        self.signal(sandbox, &process.into(), Signal::Terminate).await
    }

    /// Writes to the standard input of a process that was started with [`stdin`](Command::stdin).
    /// Waits while the pipe is full.
    ///
    /// # Errors
    ///
    /// Some or all of the data may have been written.
    pub async fn send_stdin(
        &self,
        sandbox: &Sandbox,
        process: impl Into<Selector>,
        data: &[u8],
    ) -> Result<(), Error> {
        let process = process.into();
        let message = process::send_input(&process, data);
        self.about(op::PROCESS_INPUT, sandbox, "/process.Process/SendInput", &message).await
    }

    /// Closes the standard input of a process.
    ///
    /// # Errors
    ///
    /// It may be closed nevertheless.
    pub async fn close_stdin(
        &self,
        sandbox: &Sandbox,
        process: impl Into<Selector>,
    ) -> Result<(), Error> {
        let process = process.into();
        let message = process::close_stdin(&process);
        self.about(op::PROCESS_INPUT, sandbox, "/process.Process/CloseStdin", &message).await
    }

    async fn signal(
        &self,
        sandbox: &Sandbox,
        process: &Selector,
        signal: Signal,
    ) -> Result<bool, Error> {
        let message = process::send_signal(process, signal);
        let path = "/process.Process/SendSignal";
        match self.about(op::PROCESS_SIGNAL, sandbox, path, &message).await {
            Ok(()) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn about(
        &self,
        operation: Operation,
        sandbox: &Sandbox,
        path: &str,
        message: &impl Serialize,
    ) -> Result<(), Error> {
        let call = Call::new(operation, Some(sandbox.id().clone()));
        self.unary::<IgnoredAny>(&call, sandbox, path, None, message).await.map(drop)
    }
}
