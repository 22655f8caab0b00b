//! The life of a sandbox after its creation.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, Error, SandboxId, operation as op};

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
    /// Ends a sandbox. `false`: it was gone already. One that a repeated attempt finds gone was ended
    /// by an attempt before it, whose answer was lost or said otherwise.
    ///
    /// # Errors
    ///
    /// It may be gone all the same: ending it again is safe.
    pub async fn kill(&self, id: &SandboxId) -> Result<bool, Error> {
        let call = Call::new(op::SANDBOX_KILL, Some(id.clone()));
        let path = format!("/sandboxes/{id}");
        let request = self.control(&call, Method::DELETE, &path, Bytes::new())?;
        match self.successful(&call, request).await {
            Ok(_) => Ok(true),
            Err(Error::Answered { answer, .. }) if answer.status == StatusCode::NOT_FOUND => {
                Ok(answer.attempt > 1)
            }
            Err(error) => Err(error),
        }
    }
}
