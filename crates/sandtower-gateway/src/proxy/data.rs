//! Requests into sandboxes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header, request};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use sandtower::core::{BoxError, Operation};
use sandtower::e2b::operation;
use sandtower::e2b::{SANDBOX_ID, SANDBOX_PORT, SandboxId, operation as op};
use sandtower::http::RequestBody;

use super::body::{Collected, UpstreamBody, collect};
use super::control::collected_in_time;
use super::failure::Failure;
use super::headers::{self, ACCESS_TOKEN, API_KEY, CONNECT_TIMEOUT};
use super::keyed::revoked;
use super::linger::Lingering;
use super::{Exchange, Outcome, pass, upgrade};
use crate::keys::TenantId;
use crate::virtual_keys::Key;

/// A body that is no longer is held as a whole, so that what is safe to repeat can be sent again.
const SHORT: u64 = 64 * 1_024;
/// What the way into a sandbox says of one that is gone.
pub(super) const NOT_FOUND: &[u8] = b"The sandbox was not found";

impl Exchange<'_> {
    pub(super) async fn data<B>(
        &mut self,
        id: SandboxId,
        port: u16,
        mut head: request::Parts,
        body: B,
    ) -> Outcome
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        self.record.sandbox = Some(id.to_string());
        let sandboxes = &self.proxy.shared.sandboxes;
        self.record.tenant = sandboxes.tenant_of(&id);
        let key = self.key_of(&id)?;
        let (upgrades, switch) =
            (headers::upgrade(&head.headers), head.extensions.remove::<OnUpgrade>());
        let client = self.connection.forwarded_for(self.record.client);
        let request_id = headers::prepare(&mut head.headers, client);
        self.record.request_id = Some(request_id);
        address(&mut head.headers, &id, port);
        let stack = match self.data_stack(&id) {
            Some(stack) => stack,
            None => Box::pin(self.search_data(&id)).await?,
        };
        self.served_by(stack);
        let target = stack.place().addresses.sandbox(&id, port, head.uri.path_and_query());
        head.uri = target.ok_or_else(|| {
            Failure::of_request(StatusCode::BAD_REQUEST, "the target of the request is invalid")
        })?;
        (head.version, head.extensions) = (Version::HTTP_11, http::Extensions::new());
        if let Some(key) = key {
            head.extensions.insert(key.tenant(&stack.handles().tenants));
            head.extensions.insert(key.priority());
        }
        if let Some(protocol) = &upgrades {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.insert(header::UPGRADE, protocol.clone());
        }
        let token = head.headers.get(ACCESS_TOKEN).cloned();
        let mut request = Request::from_parts(head, self.body(body).await?);
        let operation = self.classify(&mut request);
        let deadline = self.deadline(operation, &request);
        let result = self.call(stack, request, deadline).await;
        let mut response = self.called(result).map_err(|error| Failure::of(&error))?;
        if response.status() == StatusCode::BAD_GATEWAY {
            return self.bad_gateway(&id, response).await;
        }
        if response.status().is_success() {
            let token = token.as_ref().and_then(|token| token.to_str().ok());
            self.proxy.shared.sandboxes.took(&id, token, &stack.place().name);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(protocol), Some(switch)) = (upgrades, switch)
        {
            let in_flight = self.proxy.shared.in_flight.enter();
            upgrade::join(switch, hyper::upgrade::on(&mut response), in_flight);
            let mut response = pass(response, None);
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, protocol);
            return Ok(response);
        }
        Ok(pass(response, None))
    }

    /// The virtual key of a sandbox, if it was created with one: requests into it carry no key.
    fn key_of(&mut self, id: &SandboxId) -> Result<Option<Arc<Key>>, Failure> {
        let Some(key) = self.proxy.shared.virtual_keys.owner_of(id) else { return Ok(None) };
        self.record.tenant = Some(TenantId::of_virtual(&key));
        match key.is_revoked() {
            true => Err(revoked()),
            false => Ok(Some(key)),
        }
    }

    /// A short body as a whole, any other as it comes.
    async fn body<B>(&self, body: B) -> Result<RequestBody, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return Ok(RequestBody::default());
        }
        if body.size_hint().exact().is_none_or(|length| length > SHORT) {
            return Ok(RequestBody::stream(Lingering::new(body)));
        }
        let limit = self.generation.config.limits.request_timeout;
        let whole = collected_in_time(body, SHORT as usize, limit).await?;
        Ok(RequestBody::whole(whole.unwrap_or_default()))
    }

    /// How long until there has to be a response: endless for what has no end of its own, and for what is
    /// still being sent. A stream has to begin before its own time is over.
    fn deadline(&self, operation: Operation, request: &Request<RequestBody>) -> Option<Duration> {
        let own = request.headers().get(CONNECT_TIMEOUT);
        let own = own.and_then(|time| time.to_str().ok()?.parse().ok()).map(Duration::from_millis);
        let begins_at_once = [op::PROCESS_START, op::PROCESS_CONNECT, op::FILE_WATCH];
        match operation::is_open_ended(operation) && !begins_at_once.contains(&operation) {
            _ if request.body().is_stream() && !begins_at_once.contains(&operation) => None,
            true => None,
            false => Some(own.map_or(self.patience(), |own| own.min(self.patience()))),
        }
    }

    /// A sandbox that is gone is forgotten; the words of the response are those that the SDKs know.
    async fn bad_gateway(&self, id: &SandboxId, response: Response<UpstreamBody>) -> Outcome {
        let (head, body) = response.into_parts();
        match collect(body, SHORT as usize).await {
            Collected::Whole(body) => {
                if body.windows(NOT_FOUND.len()).any(|words| words == NOT_FOUND) {
                    self.proxy.shared.sandboxes.gone(id);
                }
                Ok(super::replace(Response::from_parts(head, ()), body))
            }
            Collected::Longer(first, body) => {
                Ok(pass(Response::from_parts(head, body), Some(first)))
            }
            Collected::Failed(error) => Err(Failure::of(&error)),
        }
    }
}

/// Writes on a request which sandbox it is for, unless it says so, and takes away what opens more than that.
fn address(headers: &mut HeaderMap, id: &SandboxId, port: u16) {
    // Whatever runs in the sandbox could read the key.
    headers.remove(API_KEY);
    if headers.get(SANDBOX_ID).is_none_or(|named| named != id.as_str())
        && let Ok(id) = HeaderValue::from_str(id.as_str())
    {
        headers.insert(SANDBOX_ID, id);
    }
    // With zeros before it another server could read it as another one.
    let is_plain = |named: &&str| named.starts_with(|first| matches!(first, '1'..='9'));
    let named = headers.get(SANDBOX_PORT).and_then(|named| named.to_str().ok()).filter(is_plain);
    if named.and_then(|named| named.parse().ok()) != Some(port) {
        headers.insert(SANDBOX_PORT, HeaderValue::from(port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_sandbox_are_written_as_they_should_be() {
        let id: SandboxId = "i0".parse().unwrap();
        for (named, port) in [("i0", "80"), ("i0", "00080"), ("i1", "+80"), ("i0", "81")] {
            let mut headers = HeaderMap::new();
            headers.insert(SANDBOX_ID, HeaderValue::from_static(named));
            headers.insert(SANDBOX_PORT, HeaderValue::from_static(port));
            headers.insert(API_KEY, HeaderValue::from_static("e2b_1"));
            address(&mut headers, &id, 80);
            assert_eq!(
                (&headers[SANDBOX_ID], &headers[SANDBOX_PORT]),
                (&"i0".parse().unwrap(), &"80".parse().unwrap())
            );
            assert_eq!(headers.len(), 2);
        }
        let mut headers = HeaderMap::new();
        address(&mut headers, &id, 80);
        assert_eq!(headers.len(), 2);
    }
}
