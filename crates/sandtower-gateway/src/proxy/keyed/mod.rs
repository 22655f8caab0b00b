//! Requests to the control plane with a virtual key.

mod action;
mod body;
mod creation;
mod listing;
mod rejection;
mod sandbox;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request};
use sandtower::e2b::{SandboxId, operation as op};
use sandtower::http::RequestBody;

use self::action::{Action, Verb};
use super::body::{Collected, UpstreamBody, collect};
use super::control::LONGEST_RESPONSE;
use super::failure::Failure;
use super::headers::API_KEY;
use super::listing::Marked;
use super::{Exchange, Outcome, pass};
use crate::keys::{KeyStack, TenantId};
use crate::virtual_keys::{Key, KeyId, VirtualKeys};

pub(super) use rejection::revoked;

/// A virtual key, and what its requests are sent through.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) key: Arc<Key>,
    pub(super) tenant: TenantId,
    pub(super) stack: Arc<KeyStack>,
    /// The one at home, if its request is served elsewhere.
    pub(super) at_home: Arc<KeyStack>,
}

impl TenantId {
    pub(super) fn of_virtual(key: &Key) -> Self {
        Self::numbered(key.id().number())
    }
}

impl Exchange<'_> {
    /// The virtual key of a request, if it has one: in its place there is then the key of the service.
    pub(super) fn virtual_key(
        &self,
        head: &mut request::Parts,
    ) -> Result<Option<Arc<Key>>, Failure> {
        let presented = head.headers.get(API_KEY).map(HeaderValue::as_bytes);
        let found = presented.and_then(|key| self.virtual_keys().find(key));
        let Some(key) = found else {
            let is_known = self.generation.config.keys.pass_through;
            let message = "the API key is not valid: this gateway takes its own keys alone";
            return match is_known {
                true => Ok(None),
                false => Err(Failure::of_request(StatusCode::UNAUTHORIZED, message)),
            };
        };
        if key.is_revoked() {
            return Err(revoked());
        }
        let upstream = self.generation.upstreams.get(key.upstream());
        let value = upstream.and_then(|secret| HeaderValue::from_str(secret.expose()).ok());
        let mut value = value.ok_or_else(|| {
            let message = "the key of E2B for this API key is not configured; the operator of the gateway has to \
                           look at it";
            Failure { retry_after: None, ..Failure::unavailable(message, "no_upstream_key") }
        })?;
        value.set_sensitive(true);
        head.headers.insert(API_KEY, value);
        // It could open more than the virtual key may.
        head.headers.remove(header::AUTHORIZATION);
        Ok(Some(key))
    }

    /// Serves a request with a virtual key; its header fields are those of the one that is sent on.
    pub(super) async fn keyed(&mut self, caller: &Caller, request: Request<Bytes>) -> Outcome {
        let mut request = request;
        let tenants = &caller.stack.handles().tenants;
        request.extensions_mut().insert(caller.key.tenant(tenants));
        request.extensions_mut().insert(caller.key.priority());
        match Action::read(request.method(), request.uri().path())? {
            Action::Create => self.keyed_creation(caller, request).await,
            Action::List => self.keyed_listing(caller, request).await,
            Action::Metrics => {
                for id in ids_in(request.uri().query())? {
                    self.check_owner(caller, &id).await?;
                }
                let merged = self.merged_metrics(Some(caller), &caller.at_home, &request);
                match Box::pin(merged).await? {
                    Some(response) => Ok(response),
                    None => self.keyed_pass(caller, request).await,
                }
            }
            Action::Read => self.keyed_pass(caller, request).await,
            Action::Of(id, Verb::Info) => self.keyed_info(caller, &id, request).await,
            Action::Of(id, verb) => {
                self.check_owner(caller, &id).await?;
                self.keyed_verb(caller, &id, verb, request).await
            }
        }
    }

    fn virtual_keys(&self) -> &VirtualKeys {
        &self.proxy.shared.virtual_keys
    }

    /// The virtual key that a sandbox was created with, by its mark; of one from a warm pool, by what was
    /// written down.
    fn key_of_listed(&self, sandbox: &Marked) -> Option<KeyId> {
        sandbox.key().or_else(|| self.virtual_keys().unmarked_owner(&sandbox.id))
    }

    async fn keyed_send(
        &mut self,
        caller: &Caller,
        request: Request<Bytes>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        let response = self.send_control(&caller.stack, request.map(RequestBody::whole)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(upstream_rejected());
        }
        caller.stack.responded(response.status());
        Ok(response)
    }

    async fn keyed_pass(&mut self, caller: &Caller, request: Request<Bytes>) -> Outcome {
        Ok(pass(self.keyed_send(caller, request).await?, None))
    }

    /// Whether the sandbox was created with the key.
    async fn check_owner(&mut self, caller: &Caller, id: &SandboxId) -> Result<(), Failure> {
        let owner = self.virtual_keys().owner_of(id);
        match owner.map(|owner| owner.id()) {
            Some(owner) if owner == caller.key.id() => Ok(()),
            Some(_) => Err(rejection::not_found(id)),
            // It is paused, or the gateway has forgotten it: its metadata tells.
            None => self.look(caller, id).await,
        }
    }

    async fn look(&mut self, caller: &Caller, id: &SandboxId) -> Result<(), Failure> {
        let stack = Box::pin(self.stack_where(id, &caller.at_home)).await?;
        let Some(mut request) = stack.get(&format!("/sandboxes/{id}")) else {
            return Err(rejection::not_found(id));
        };
        request.extensions_mut().insert(caller.key.tenant(&stack.handles().tenants));
        request.extensions_mut().insert(caller.key.priority());
        let response = self.keyed_send(&Caller { stack, ..caller.clone() }, request).await?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                return Err(rejection::not_found(id));
            }
            _ => return Err(Failure::unavailable("E2B did not say whose sandbox it is", "owner")),
        }
        let (_, body) = whole(response).await?;
        match serde_json::from_slice::<Marked>(&body) {
            Ok(sandbox) if self.key_of_listed(&sandbox) == Some(caller.key.id()) => Ok(()),
            _ => Err(rejection::not_found(id)),
        }
    }

    async fn keyed_info(
        &mut self,
        caller: &Caller,
        id: &SandboxId,
        request: Request<Bytes>,
    ) -> Outcome {
        let response = self.keyed_send(caller, request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => return Err(rejection::not_found(id)),
            StatusCode::OK => {}
            _ => return Ok(pass(response, None)),
        }
        let (head, body) = whole(response).await?;
        match serde_json::from_slice::<Marked>(&body) {
            Ok(sandbox) if self.key_of_listed(&sandbox) == Some(caller.key.id()) => {
                Ok(self.shown(head, body, op::SANDBOX_INFO, caller.tenant, &caller.stack))
            }
            _ => Err(rejection::not_found(id)),
        }
    }
}

/// The sandboxes whose metrics are asked for.
fn ids_in(query: Option<&str>) -> Result<Vec<SandboxId>, Failure> {
    let invalid =
        || Failure::of_request(StatusCode::BAD_REQUEST, "`sandbox_ids` must be ids of sandboxes");
    let mut all = Vec::new();
    for part in query.into_iter().flat_map(|query| query.split('&')) {
        let ids = part.strip_prefix("sandbox_ids=").ok_or_else(invalid)?;
        for id in ids.replace("%2C", ",").replace("%2c", ",").split(',') {
            all.push(id.parse().map_err(|_| invalid())?);
        }
    }
    match all.len() {
        1..=100 => Ok(all),
        _ => Err(invalid()),
    }
}

/// A response with its whole body.
pub(super) async fn whole(
    response: Response<UpstreamBody>,
) -> Result<(http::response::Parts, Bytes), Failure> {
    let (head, body) = response.into_parts();
    match collect(body, LONGEST_RESPONSE).await {
        Collected::Whole(body) => Ok((head, body)),
        Collected::Longer(..) => Err(unreadable()),
        Collected::Failed(error) => Err(Failure::of(&error)),
    }
}

/// E2B does not accept the key that is sent in place of the caller's, which is right.
pub(super) fn upstream_rejected() -> Failure {
    let message =
        "E2B rejects the gateway's own key; the operator of the gateway has to look at it";
    Failure { retry_after: None, ..Failure::unavailable(message, "upstream_key_rejected") }
}

/// What cannot be read may hold sandboxes of other keys.
pub(super) fn unreadable() -> Failure {
    let message = "E2B's response cannot be read; the operator of the gateway has to look at it";
    Failure { retry_after: None, ..Failure::unavailable(message, "unreadable_response") }
}
