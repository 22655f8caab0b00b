//! Commands in a sandbox.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, Command, Error, Output, Sandbox, operation as op, request, run};

use super::Client;

/// Every method fails with an [`Error`] that says which call, what happened and whether to make it
/// again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Runs a command and collects what it prints, until it ends. An exit code that is not 0 is no
    /// error.
    ///
    /// Dropping the future does not stop the command: its time-out does.
    ///
    /// # Errors
    ///
    /// [`CommandTimedOut`](Error::CommandTimedOut), [`OutputTooLong`](Error::OutputTooLong) and
    /// [`Process`](Error::Process) are about the command; after any other it may be running.
    pub async fn run(&self, sandbox: &Sandbox, command: &Command) -> Result<Output, Error> {
        let call = Call::new(op::PROCESS_START, Some(sandbox.id().clone()));
        let request = run::request(&self.config, sandbox, command)
            .map_err(|error| request::failed(&call, error))?;
        let body = self.successful(&call, request).await?.into_body();
        run::collect(body, command).await.map_err(|error| error.of(call, command))
    }
}
