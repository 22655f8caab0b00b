use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sandtower_core::{Attempt, BoxError};
use sandtower_retry::{Found, Reconcile};
use tower_service::Service;

use super::below::{Spare, list_call};
use super::claim::Claim;
use super::creations::{Creations, Reaping};
use crate::check::probe;
use crate::{
    Call, Client, Creation, Error, Marks, Sandbox, SandboxId, operation as op, within::within,
};

/// How often each step of a look is tried.
const TRIES: usize = 3;

/// Looks what became of an attempt to make a sandbox whose result is unknown: the hook of a
/// [`RetryLayer`](sandtower_retry::RetryLayer) above a [`SafeCreateLayer`](super::SafeCreateLayer)
/// with the same [`Creations`].
///
/// It lists what was made for the call. One sandbox found is adopted: it is connected to, which
/// fetches its access token again, and probed; a dead one is killed, and counts as nothing. Of more
/// than one the others are killed. If nothing is found the call may be tried again: should a
/// latecomer turn up, the [`Creations`] kill it. All of it takes at most
/// [`look_within`](super::Timing::look_within); whoever cannot find out says so.
#[derive(Clone, Debug)]
pub struct E2bReconcile {
    creations: Creations,
}

impl E2bReconcile {
    /// Looks by the config of `creations`.
    pub fn new(creations: Creations) -> Self {
        Self { creations }
    }
}

impl<S, B> Reconcile<S, Request<Full<Bytes>>, Response<B>> for E2bReconcile
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // Boxed: it takes requests of its own, and is begun after a failure only.
    type Look = Pin<Box<dyn Future<Output = Found<Response<B>>> + Send>>;

    fn look(&self, inner: S, request: &Request<Full<Bytes>>, _: &Attempt) -> Option<Self::Look> {
        let creation = request.extensions().get::<Creation>()?.clone();
        let (creations, config) = (self.creations.clone(), &self.creations.shared.config);
        let spare = Arc::new(Spare::new(inner.clone(), Arc::clone(config)));
        let looks = Looks {
            client: Client::shared(inner, Arc::clone(config)),
            creations: creations.clone(),
            by: Reaping::here(spare),
            creation,
        };
        Some(Box::pin(async move {
            within(Some(creations.look_within()), looks.look()).await.unwrap_or(Found::Unknown)
        }))
    }
}

struct Looks<S> {
    client: Client<S>,
    creations: Creations,
    by: Reaping,
    creation: Creation,
}

impl<S, B> Looks<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    async fn look(&self) -> Found<Response<B>> {
        let mut listed = None;
        for _ in 0..TRIES {
            listed = list_call(&self.client, self.creation.call()).await.ok();
            if listed.is_some() {
                break;
            }
        }
        let Some(listed) = listed else { return Found::Unknown };
        let mut adopted = None;
        for (sandbox, marks) in listed {
            if adopted.is_some() {
                self.creations.release(sandbox, &self.by);
                continue;
            }
            adopted = match self.adopt(sandbox, marks).await {
                Ok(adopted) => adopted,
                Err(_) => return Found::Unknown,
            };
        }
        match adopted {
            Some(answer) => {
                self.creations.count_adopted();
                Found::Adopt(answer)
            }
            None => Found::Nothing,
        }
    }

    /// `None`: it is being killed, or it is dead. After an error nobody can tell, and it is killed.
    async fn adopt(&self, sandbox: SandboxId, marks: Marks) -> Result<Option<Response<B>>, Error> {
        if !self.creations.adopt(marks, &sandbox) {
            return Ok(None);
        }
        // From here on it is killed unless it is handed out.
        let claim = Claim::sandbox(sandbox.clone(), self.creations.clone(), self.by.clone());
        let mut answer = match self.connect(&sandbox).await {
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
                return Ok(None);
            }
            answer => answer?,
        };
        if let Some(sandbox) = answer.extensions().get::<Sandbox>().cloned()
            && !self.is_alive(&sandbox).await
        {
            return Ok(None);
        }
        *answer.status_mut() = StatusCode::CREATED;
        answer.extensions_mut().insert(claim);
        Ok(Some(answer))
    }

    /// Fetches the access token again. It joins a start in flight, and resumes what is paused.
    async fn connect(&self, sandbox: &SandboxId) -> Result<Response<B>, Error> {
        let call = Call::new(op::SANDBOX_CONNECT, Some(sandbox.clone()));
        // What the service gives a sandbox that asks for nothing, as `NewSandbox` does.
        let timeout = self.creation.lifetime().unwrap_or(300);
        let (path, body) =
            (format!("/sandboxes/{sandbox}/connect"), format!(r#"{{"timeout":{timeout}}}"#));
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.client.control(&call, Method::POST, &path, body.clone().into())?;
            match self.client.successful(&call, request).await {
                Err(error) if tries < TRIES && error.verdict().is_failure() => {}
                answer => return answer,
            }
        }
    }

    async fn is_alive(&self, sandbox: &Sandbox) -> bool {
        for _ in 0..TRIES {
            let verdict = probe(&self.client, sandbox).await;
            if verdict.is_success() {
                return true;
            }
            if !verdict.is_failure() {
                return false;
            }
        }
        false
    }
}
