//! Making sandboxes.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, Error, NewSandbox, Sandbox, operation as op, request};

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
    /// Makes a sandbox.
    ///
    /// # Errors
    ///
    /// After an error whose [hint](Error::hint) is [`Look`](crate::Hint::Look) there may be a
    /// sandbox that nobody holds: find it by its metadata.
    pub async fn create(&self, new: &NewSandbox) -> Result<Sandbox, Error> {
        let call = Call::new(op::SANDBOX_CREATE, None);
        let body = serde_json::to_vec(new).map_err(|error| request::failed(&call, error))?;
        let request = self.control(&call, Method::POST, "/v2/sandboxes", body.into())?;
        self.json(&call, request).await.map(|(sandbox, _)| sandbox)
    }
}
