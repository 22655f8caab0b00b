//! Listing sandboxes, and reading the state of one.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, Error, ListSandboxes, Page, SandboxId, SandboxInfo, operation as op};

use crate::api::lenient::List;

use super::Client;

/// All methods return an [`Error`] that names the call, the cause and whether to make it again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// The state of a sandbox, as the service reports it.
    ///
    /// # Errors
    ///
    /// Status 404: the sandbox does not exist.
    pub async fn info(&self, id: &SandboxId) -> Result<SandboxInfo, Error> {
        let call = Call::new(op::SANDBOX_INFO, Some(id.clone()));
        let path = format!("/sandboxes/{id}");
        self.read_control(&call, &path).await.map(|(info, _)| info)
    }

    /// One page of a listing of sandboxes.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub async fn list(&self, which: &ListSandboxes) -> Result<Page, Error> {
        let call = Call::new(op::SANDBOX_LIST, None);
        let (List(sandboxes), fields) = self.read_control(&call, &which.path()).await?;
        Ok(Page::new(sandboxes, &fields))
    }
}
