//! Killing, connecting to, pausing and resuming sandboxes.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Operation};
use tower_service::Service;

use crate::{
    Call, Error, Sandbox, SandboxId, api::new_sandbox::whole_seconds, operation as op, strings,
};

use crate::api::request;
use crate::transport::exchange::read_json;

use super::Client;

/// The lifetime after a connect that sets none: the maximum that E2B allows.
const CONNECTED_LIFETIME: Duration = Duration::from_secs(300);

/// All methods return an [`Error`] that names the call, the cause and whether to make it again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Kills a sandbox. `false`: it was gone already. If a repeated attempt finds it gone, an earlier
    /// attempt killed it and its response was lost or an error.
    ///
    /// # Errors
    ///
    /// The sandbox may be gone nevertheless; killing it again is safe.
    pub async fn kill(&self, id: &SandboxId) -> Result<bool, Error> {
        let call = Call::new(op::SANDBOX_KILL, Some(id.clone()));
        let path = format!("/sandboxes/{id}");
        match self.control(&call, Method::DELETE, &path, Bytes::new()).await {
            Ok(_) => Ok(true),
            Err(Error::Status { response, .. }) if response.status == StatusCode::NOT_FOUND => {
                Ok(response.attempt > 1)
            }
            Err(error) => Err(error),
        }
    }

    /// Connects to a sandbox: fetches its tokens again, and resumes it if it is paused.
    ///
    /// Sets its lifetime to `lifetime` from now on, rounded up to whole seconds, unless it already lives
    /// longer; `None` is 300 s.
    ///
    /// # Errors
    ///
    /// Status 404: the sandbox does not exist. After any other error it may have been resumed;
    /// connecting again is safe.
    pub async fn connect(
        &self,
        id: &SandboxId,
        lifetime: Option<Duration>,
    ) -> Result<Sandbox, Error> {
        // This version of the call requires it.
        let lifetime = lifetime.unwrap_or(CONNECTED_LIFETIME);
        self.opened(op::SANDBOX_CONNECT, id, "connect", Some(lifetime)).await
    }

    /// Resumes a paused sandbox with the older call, for servers whose [`connect`](Self::connect) does
    /// not resume.
    ///
    /// # Errors
    ///
    /// Status 409: it is running, perhaps because an earlier attempt resumed it.
    pub async fn resume(
        &self,
        id: &SandboxId,
        lifetime: Option<Duration>,
    ) -> Result<Sandbox, Error> {
        self.opened(op::SANDBOX_RESUME, id, "resume", lifetime).await
    }

    /// Pauses a sandbox and keeps its memory. `false`: it was paused already.
    ///
    /// # Errors
    ///
    /// The sandbox may be paused nevertheless; pausing it again is safe.
    pub async fn pause(&self, id: &SandboxId) -> Result<bool, Error> {
        let call = Call::new(op::SANDBOX_PAUSE, Some(id.clone()));
        let path = format!("/sandboxes/{id}/pause");
        match self.control(&call, Method::POST, &path, Bytes::from_static(b"{}")).await {
            Ok(_) => Ok(true),
            Err(error) if is_so_already(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sets the remaining lifetime of a sandbox, rounded up to whole seconds; it may become shorter.
    ///
    /// # Errors
    ///
    /// Status 400: longer than the plan allows. Status 404: the sandbox does not exist. After any
    /// other error it may be set; setting it again is safe.
    pub async fn set_timeout(&self, id: &SandboxId, lifetime: Duration) -> Result<(), Error> {
        let call = Call::new(op::SANDBOX_TIMEOUT, Some(id.clone()));
        let path = format!("/sandboxes/{id}/timeout");
        let body = lifetime_body(Some(lifetime));
        self.control(&call, Method::POST, &path, body).await.map(drop)
    }

    async fn opened(
        &self,
        operation: Operation,
        id: &SandboxId,
        verb: &str,
        lifetime: Option<Duration>,
    ) -> Result<Sandbox, Error> {
        let call = Call::new(operation, Some(id.clone()));
        let path = format!("/sandboxes/{id}/{verb}");
        let (build, limit) = (
            request::control(&self.config, Method::POST, &path, lifetime_body(lifetime)),
            self.limit(&call),
        );
        let connected = async {
            let response = self.send(&call, limit, build).await?;
            if let Some(sandbox) = response.extensions().get::<Sandbox>() {
                return Ok(sandbox.clone());
            }
            read_json(&call, response, self.patience(&call)).await.map(|(sandbox, _)| sandbox)
        };
        self.in_time(&call, limit, connected).await
    }
}

fn lifetime_body(lifetime: Option<Duration>) -> Bytes {
    match lifetime {
        Some(lifetime) => format!(r#"{{"timeout":{}}}"#, whole_seconds(lifetime)).into(),
        None => Bytes::from_static(b"{}"),
    }
}

fn is_so_already(error: &Error) -> bool {
    let Error::Status { call, response } = error else { return false };
    strings::is_so_already(call.operation, response.status.as_u16(), &response.body)
}
