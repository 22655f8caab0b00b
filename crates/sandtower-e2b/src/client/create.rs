//! Creating sandboxes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Extensions, Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Tick};
use tower_service::Service;

use crate::{
    Call, Creation, Error, NewSandbox, Sandbox,
    api::request,
    strings::{NO_SUCH_CALL, mentions},
    tracking::Unclaimed,
    tracking::events::Failure,
    transport::{exchange::read_json, within::Limit},
};

use super::Client;

const NEWER: &str = "/v2/sandboxes";
const OLDER: &str = "/sandboxes";

/// All methods return an [`Error`] that names the call, the cause and whether to make it again.
impl<S, B> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Creates a sandbox.
    ///
    /// If the server does not have the newer creation call, the client falls back to the older one, now
    /// and for later creations.
    ///
    /// The outcome is reported to [events](crate::Events).
    ///
    /// The id of the call, the number of the attempt and an [owner](crate::Config::owner) are added to
    /// the metadata of the sandbox; the id is part of every error.
    ///
    /// # Errors
    ///
    /// After an error whose [hint](Error::hint) is [`Look`](crate::Hint::Look) there may be an
    /// orphaned sandbox: find it by the id of the [call](Call::id), which is its metadata
    /// [`CALL_KEY`](crate::CALL_KEY).
    pub async fn create(&self, new: &NewSandbox) -> Result<Sandbox, Error> {
        let id = self.config.next_call();
        let call = Call::creation(id);
        let creation = Creation::new(&self.config, id, new);
        let creation = creation.map_err(|error| request::failed(&call, error))?;
        let (began, events) = (Tick::now(), creation.events());
        events.started(creation.about());
        let limit = self.limit(&call);
        let created = self.in_time(&call, limit, self.try_create(&call, limit, &creation)).await;
        let created = created.map_err(|error| match creation.attempts() {
            0 => error,
            _ => error.tracked(),
        });
        let took = Tick::now().since(began);
        match created {
            Ok((sandbox, response)) => {
                let attempt = creation.attempts().max(1);
                events.succeeded(creation.about(), sandbox.id(), attempt, took);
                // Last: a `tracing` subscriber may panic.
                Unclaimed::take(&response);
                Ok(sandbox)
            }
            Err(error) => {
                tell(&creation, &error, took);
                Err(error)
            }
        }
    }

    /// The sandbox, and the extensions of its response: the tracker cleans it up if they are dropped
    /// before it is claimed.
    async fn try_create(
        &self,
        call: &Call,
        limit: Limit,
        creation: &Creation,
    ) -> Result<(Sandbox, Extensions), Error> {
        let response = self.creation(call, limit, creation).await?;
        let extensions = response.extensions().clone();
        let sandbox = match extensions.get::<Sandbox>() {
            Some(sandbox) => sandbox.clone(),
            None => read_json(call, response, self.patience(call)).await?.0,
        };
        Ok((sandbox, extensions))
    }

    /// Uses the newer call if the server has it, otherwise the older one.
    async fn creation(
        &self,
        call: &Call,
        limit: Limit,
        creation: &Creation,
    ) -> Result<Response<B>, Error> {
        let send = async |path| {
            let request = self.creation_at(path, creation);
            let request = request.map_err(|error| request::failed(call, error))?;
            self.send_hiding(call, limit, request, creation.hidden()).await
        };
        if self.older_creation.load(Ordering::Relaxed) {
            return send(OLDER).await;
        }
        match send(NEWER).await {
            Err(error) if is_unknown_call(&error) => {}
            response => return response,
        }
        let response = send(OLDER).await;
        if !response.as_ref().is_err_and(is_unknown_call) {
            tracing::info!(
                target: "sandtower::e2b",
                "the server has no `POST {NEWER}`: sandboxes are created by `POST {OLDER}`"
            );
            self.older_creation.store(true, Ordering::Relaxed);
        }
        response
    }

    fn creation_at(
        &self,
        path: &str,
        creation: &Creation,
    ) -> Result<Request<Full<Bytes>>, BoxError> {
        let mut request = request::control(&self.config, Method::POST, path, creation.body(1))?;
        creation.write_key(&mut request);
        request.extensions_mut().insert(creation.call());
        request.extensions_mut().insert(creation.clone());
        Ok(request)
    }
}

fn tell(creation: &Creation, error: &Error, took: Duration) {
    let failure = Failure {
        attempt: creation.attempts().max(1),
        verdict: error.verdict(),
        status: error.status().map_or(0, |status| status.as_u16()),
        error,
        took,
    };
    if creation.attempts() == 0 {
        // No layer below reports attempts.
        creation.events().attempt_failed(creation.about(), &failure);
    }
    creation.events().failed(creation.about(), &failure);
}

/// Whether the server lacks the call. A server that has it reports an unknown template in the words of
/// the API: sending that creation again would queue a second time for nothing.
fn is_unknown_call(error: &Error) -> bool {
    let Error::Status { response, .. } = error else { return false };
    match response.status.as_u16() {
        405 => true,
        404 => !response.body.is_json || mentions(&response.body.message, NO_SUCH_CALL),
        _ => false,
    }
}
