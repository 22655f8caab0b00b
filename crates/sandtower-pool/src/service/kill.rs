//! A kill of a sandbox that its session may use again: it is cleaned, and kept.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{BoxError, Tenant, Tick};
use sandtower_e2b::{E2bClassify, SandboxId};
use tower_service::Service;

use crate::below::Below;
use crate::hooks::Hooked;
use crate::pool::{Shared, Used};
use crate::within::send;

/// The most sandboxes in use that are remembered: more than the largest plan has.
const MOST_USED: usize = 4_096;

impl Shared {
    pub(crate) fn may_reuse(&self) -> bool {
        self.config.reuse > 1
    }

    pub(super) fn remember(&self, id: SandboxId, used: Used) {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_USED {
            let oldest = all.iter().min_by_key(|(_, used)| used.created).map(|(id, _)| id.clone());
            oldest.map(|id| all.remove(&id));
        }
        all.insert(id, used);
    }

    /// The sandbox that `request` kills, if a session may use it again. It is forgotten.
    pub(super) fn used_by<B>(&self, request: &Request<B>) -> Option<Used> {
        if !self.e2b.has_key_of(request) {
            return None;
        }
        let id: SandboxId = request.uri().path().strip_prefix("/sandboxes/")?.parse().ok()?;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).remove(&id)?;
        let tenant = request.extensions().get::<Tenant>();
        // Whoever else kills it does not know the session.
        tenant.is_none_or(|tenant| *tenant == used.session.tenant).then_some(used)
    }
}

/// One call that kills a sandbox.
pub(super) struct Call<S> {
    shared: Arc<Shared>,
    service: S,
}

impl<S> Call<S> {
    pub(super) fn new(shared: Arc<Shared>, service: S) -> Self {
        Self { shared, service }
    }

    /// Cleans the sandbox and keeps it. If that is not possible, it is killed, as it was asked.
    pub(super) async fn respond<Q, B>(
        self,
        used: Used,
        request: Request<Q>,
    ) -> Result<Response<B>, BoxError>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        match self.keep(used).await {
            Some(response) => Ok(response),
            None => send(self.service, request).await,
        }
    }

    async fn keep<Q, B>(&self, used: Used) -> Option<Response<B>>
    where
        S: Service<Request<Q>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        Q: From<Full<Bytes>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Used { sandbox, wanted, session, uses, created } = used;
        if uses >= self.shared.config.reuse {
            return None;
        }
        let id = sandbox.id().clone();
        let below = Below::new::<S, Q, B>(self.service.clone());
        // A caller that goes away has asked for a kill.
        let unclaimed = self.shared.tracker.unclaimed(id.clone(), below.clone());
        let (client, shape) = (self.shared.client(&below), wanted.shape.clone());
        let cleaned = self.shared.clean.run(Hooked { client, sandbox, shape }).await;
        if cleaned.is_err() {
            unclaimed.claim();
            return None;
        }
        // Its response is that of a kill: 204, and no body.
        let body = format!(r#"{{"timeout":{}}}"#, self.shared.config.idle_for.as_secs());
        let path = format!("/sandboxes/{id}/timeout");
        let limited = self.shared.e2b.control_request(Method::POST, &path, body.into()).ok();
        let response = match limited.map(|request| request.map(Q::from)) {
            Some(mut request) => {
                E2bClassify::put_info(&mut request);
                send(self.service.clone(), request).await.ok()
            }
            None => None,
        };
        let response = response.filter(|response| response.status().is_success());
        unclaimed.claim();
        let response = response?;
        let uses = (uses, created);
        let kept = self.shared.engine().take_back(id.clone(), &wanted, session, uses, Tick::now());
        if kept && !self.shared.is_recorded().await {
            // It is killed, as it was asked.
            self.shared.engine().dead(&id, Tick::now());
        }
        self.shared.work.notify_one();
        kept.then_some(response)
    }
}
