//! Health of the service and of sandboxes.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Verdict};
use tower_service::Service;

use crate::{Call, ENVD_PORT, Error, Sandbox, api::request, operation as op};

use super::Client;

/// All methods return an [`Error`] that names the call, the cause and whether to make it again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Checks that the control plane is healthy.
    ///
    /// # Errors
    ///
    /// It did not respond, or its status is not a success.
    pub async fn health(&self) -> Result<(), Error> {
        let call = Call::new(op::HEALTH, None);
        self.control(&call, Method::GET, "/health", Bytes::new()).await.map(drop)
    }

    /// Whether the envd of a sandbox is healthy; `false` if the proxy in front of it cannot reach it.
    ///
    /// # Errors
    ///
    /// The state of the sandbox is unknown.
    pub async fn envd_health(&self, sandbox: &Sandbox) -> Result<bool, Error> {
        let call = Call::new(op::ENVD_HEALTH, Some(sandbox.id().clone()));
        let request = request::inside(&self.config, sandbox, ENVD_PORT, Method::GET, "/health")
            .and_then(|request| Ok(request.body(Full::default())?));
        let limit = self.limit(&call);
        match self.in_time(&call, limit, self.send(&call, limit, request)).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(StatusCode::BAD_GATEWAY) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    /// A probe of the control plane's [health](Self::health), for a
    /// [`Monitor`](sandtower_health_check::Monitor), which runs it periodically.
    ///
    /// ```no_run
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    /// # use sandtower_core::{BoxError, Verdict};
    /// # use sandtower_e2b::Client;
    /// use sandtower_health_check::{Monitor, MonitorConfig};
    ///
    /// # fn example<S>(client: Client<S>) -> Result<(), BoxError>
    /// # where
    /// #     S: tower_service::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = BoxError>,
    /// #     S: Clone + Send + Sync + 'static,
    /// #     S::Future: Send,
    /// # {
    /// let monitor = Monitor::start(MonitorConfig::new("E2B"), client.health_probe())?;
    /// # let _ = monitor;
    /// # Ok(())
    /// # }
    /// ```
    pub fn health_probe(&self) -> impl FnMut() -> Probing + Send + 'static {
        let client = self.clone();
        move || {
            let client = client.clone();
            Box::pin(async move {
                client.health().await.map_or_else(|error| error.verdict(), |()| Verdict::success())
            })
        }
    }
}

/// Boxed: a probe is rare, and the future of an `async` method has no name.
type Probing = Pin<Box<dyn Future<Output = Verdict> + Send>>;
