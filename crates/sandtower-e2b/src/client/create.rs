//! Making sandboxes.

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::BoxError;
use tower_service::Service;

use crate::{Call, CallId, Creation, Error, NewSandbox, Sandbox, creation::Claim, request};

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
    /// An id of the call is written on it, with the number of the attempt and an
    /// [owner](crate::Config::owner), as metadata beside `new`'s own; the id is in every error.
    ///
    /// # Errors
    ///
    /// After an error whose [hint](Error::hint) is [`Look`](crate::Hint::Look) there may be a
    /// sandbox that nobody holds: find it by the id of the [call](Call::id), which is its metadata
    /// [`CALL_KEY`](crate::CALL_KEY).
    pub async fn create(&self, new: &NewSandbox) -> Result<Sandbox, Error> {
        let id = self.config.next_call();
        let call = Call::creation(id);
        let request = self.creation(id, new).map_err(|error| request::failed(&call, error))?;
        let response = self.successful(&call, request).await?;
        // Nothing is awaited between here and the caller: it cannot go without what was made.
        if let Some(sandbox) = response.extensions().get::<Sandbox>() {
            Claim::take(response.extensions());
            return Ok(sandbox.clone());
        }
        // Whoever goes while the body is read leaves the claim to those who made it.
        let made = response.extensions().clone();
        let (sandbox, _) = self.read_json(&call, response).await?;
        Claim::take(&made);
        Ok(sandbox)
    }

    fn creation(&self, id: CallId, new: &NewSandbox) -> Result<Request<Full<Bytes>>, BoxError> {
        let creation = Creation::new(&self.config, id, new)?;
        let body = creation.body(1);
        let mut request = request::control(&self.config, Method::POST, "/v2/sandboxes", body)?;
        creation.write_key(&mut request);
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(creation);
        Ok(request)
    }
}
