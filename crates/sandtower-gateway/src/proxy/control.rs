//! Requests to the control plane.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version, header, request};
use http_body::Body;
use sandtower::core::{BoxError, Operation};
use sandtower::e2b::operation as op;
use sandtower::e2b::{SANDBOX_ID, SANDBOX_PORT, Sandbox, SandboxId};
use sandtower::http::RequestBody;

use super::body::{Collected, ResponseBody, UpstreamBody, collect};
use super::failure::Failure;
use super::headers::{self, API_KEY};
use super::keyed::{Caller, upstream_rejected};
use super::{Exchange, Outcome, listing, pass, places, replace};
use crate::keys::{KeyStack, TenantId};

/// The longest response that is rewritten: a page of 100 sandboxes is below 1 MiB.
pub(super) const LONGEST_RESPONSE: usize = 16 * 1_024 * 1_024;

impl Exchange<'_> {
    pub(super) async fn control<B>(&mut self, mut head: request::Parts, body: B) -> Outcome
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let key = self.virtual_key(&mut head)?;
        let (tenant, at_home) = self.stack_of(&head)?;
        let tenant = key.as_deref().map_or(tenant, TenantId::of_virtual);
        self.record.tenant = Some(tenant);
        let shared = &self.proxy.shared;
        shared.recovery.seen(&at_home, self.proxy.worker, shared);
        let client = self.connection.forwarded_for(self.record.client);
        let id = headers::prepare(&mut head.headers, client);
        self.record.request_id = Some(id);
        // Only requests into sandboxes have them.
        head.headers.remove(SANDBOX_ID);
        head.headers.remove(SANDBOX_PORT);
        // What is compressed cannot be read on the way.
        head.headers.remove(header::ACCEPT_ENCODING);
        let subject = subject(head.uri.path());
        if let Some(id) = &subject {
            self.record.sandbox = Some(id.to_string());
        }
        let stack = match &subject {
            Some(id) if !self.generation.others.is_empty() => {
                Box::pin(self.stack_where(id, &at_home)).await?
            }
            _ => Arc::clone(&at_home),
        };
        self.served_by(&stack);
        places::address(&mut head, &stack)?;
        (head.version, head.extensions) = (Version::HTTP_11, http::Extensions::new());
        let mut request = Request::from_parts(head, self.whole_body(body).await?);
        let operation = self.classify(&mut request);
        if let Some(key) = key {
            // Boxed, as a creation is: larger than what else there is to do.
            return Box::pin(self.keyed(&Caller { key, tenant, stack, at_home }, request)).await;
        }
        if operation == op::SANDBOX_CREATE {
            return Box::pin(self.create(tenant, &stack, None, request)).await.outcome;
        }
        if let Some(response) = self.merged(operation, tenant, &at_home, &request).await? {
            return Ok(response);
        }
        let request = request.map(RequestBody::whole);
        let result = self.call(&stack, request, Some(self.patience())).await;
        let response = self.called(result).map_err(|error| Failure::of(&error))?;
        stack.responded(response.status());
        if response.status() == StatusCode::UNAUTHORIZED && !stack.place().is_home() {
            return Err(upstream_rejected());
        }
        let sandboxes = &self.proxy.shared.sandboxes;
        if let Some(sandbox) = response.extensions().get::<Sandbox>().cloned() {
            sandboxes.returned(&sandbox, tenant, &stack.place().name);
            return self.rewritten(response, operation, tenant, &stack).await;
        }
        if operation == op::SANDBOX_KILL
            && let Some(id) = &subject
        {
            match response.status() {
                status if status.is_success() => sandboxes.gone(id),
                // Another one's is not there either for a stranger.
                StatusCode::NOT_FOUND if sandboxes.tenant_of(id) == Some(tenant) => {
                    sandboxes.gone(id);
                }
                _ => {}
            }
        }
        if operation == op::SANDBOX_LIST && response.status().is_success() {
            return self.listed(response, &stack, tenant).await;
        }
        match operation == op::SANDBOX_INFO && response.status().is_success() {
            true => self.rewritten(response, operation, tenant, &stack).await,
            false => Ok(pass(response, None)),
        }
    }

    /// The response of all places to a listing or a batch of metrics, if the caller has more than home.
    async fn merged(
        &mut self,
        operation: Operation,
        tenant: TenantId,
        at_home: &Arc<KeyStack>,
        request: &Request<Bytes>,
    ) -> Result<Option<Response<ResponseBody>>, Failure> {
        if self.generation.others.is_empty() {
            return Ok(None);
        }
        if operation == op::SANDBOX_LIST {
            return Box::pin(self.merged_listing(None, tenant, at_home, request)).await;
        }
        match operation == op::SANDBOX_METRICS && request.uri().path() == "/sandboxes/metrics" {
            true => Box::pin(self.merged_metrics(None, at_home, request)).await,
            false => Ok(None),
        }
    }

    fn stack_of(&self, head: &request::Parts) -> Result<(TenantId, Arc<KeyStack>), Failure> {
        // Builds of templates are authorised by a token of another kind.
        let key = head.headers.get(API_KEY).or_else(|| head.headers.get(header::AUTHORIZATION));
        let key = key.map_or("anonymous", |key| key.to_str().unwrap_or_default());
        self.generation.home.keys.get(&key.replace(' ', "-")).map_err(places::no_stack)
    }

    /// The body of a request, as a whole.
    async fn whole_body<B>(&self, body: B) -> Result<Bytes, Failure>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let limits = &self.generation.config.limits;
        let longest = limits.control_body;
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        collected_in_time(body, longest.0, limits.request_timeout).await?.ok_or_else(|| {
            let message = format!("the body of the request is longer than {longest}");
            Failure::of_request(StatusCode::PAYLOAD_TOO_LARGE, message)
        })
    }

    pub(super) async fn send_control(
        &mut self,
        stack: &KeyStack,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, Failure> {
        self.classify(&mut request);
        let result = self.call(stack, request, Some(self.patience())).await;
        self.called(result).map_err(|error| Failure::of(&error))
    }

    /// The response without what the gateway has written on sandboxes, and with its own domain.
    pub(super) async fn rewritten(
        &mut self,
        response: Response<UpstreamBody>,
        operation: Operation,
        tenant: TenantId,
        stack: &KeyStack,
    ) -> Outcome {
        let (head, body) = response.into_parts();
        match collect(body, LONGEST_RESPONSE).await {
            Collected::Whole(body) => Ok(self.shown(head, body, operation, tenant, stack)),
            Collected::Longer(first, body) => {
                Ok(pass(Response::from_parts(head, body), Some(first)))
            }
            Collected::Failed(error) => Err(Failure::of(&error)),
        }
    }

    /// The same, of a body that is whole.
    pub(super) fn shown(
        &self,
        head: http::response::Parts,
        body: Bytes,
        operation: Operation,
        tenant: TenantId,
        stack: &KeyStack,
    ) -> Response<ResponseBody> {
        let config = &self.generation.config;
        let (shown, ids) = listing::rewrite(&body, &config.owner, config.domain.as_deref());
        if operation == op::SANDBOX_LIST || operation == op::SANDBOX_INFO {
            for id in &ids {
                self.proxy.shared.sandboxes.listed(id, tenant, &stack.place().name);
            }
        }
        replace(Response::from_parts(head, ()), shown.unwrap_or(body))
    }
}

/// `None`: it is longer.
pub(super) async fn collected_in_time<B>(
    body: B,
    longest: usize,
    limit: Duration,
) -> Result<Option<Bytes>, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    match tokio::time::timeout(limit, collect(body, longest)).await {
        Ok(Collected::Whole(body)) => Ok(Some(body)),
        Ok(Collected::Longer(..)) => Ok(None),
        Ok(Collected::Failed(_)) => {
            Err(Failure::of_request(StatusCode::BAD_REQUEST, "the body of the request broke off"))
        }
        Err(_) => Err(Failure::of_request(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body of the request did not come within {limit:?}"),
        )),
    }
}

/// The sandbox that a path of the control plane names. Older clients send `<id>-<client id>`.
fn subject(path: &str) -> Option<SandboxId> {
    let (_, rest) = path.split_once("/sandboxes/")?;
    let id = rest.split('/').next()?.split('-').next()?;
    // The metrics of several sandboxes.
    if rest == "metrics" { None } else { id.parse().ok() }
}
