//! Creations of sandboxes: at home, or elsewhere while home does not create them.
//!
//! | home | a creation |
//! |---|---|
//! | creates it, or says what is wrong with it | ends there |
//! | fails, or has no room for it | goes to the next place that is up |
//! | does not respond in time, or its circuit breaker opens meanwhile | leaves it for the next place that is up |
//! | has a circuit breaker that is not closed | begins in the next place that is up; a probe is sent home |
//! | and no other place is up | waits at home, as with one place |
//!
//! Each place has the creation as its own, with its own marks: what an attempt leaves behind, the tracker of
//! the place where it was sent finds and kills. A creation with an `Idempotency-Key` of the caller's, or one
//! that nothing tracks, stays at home: a second call with the key has to find the same sandbox, also after a
//! restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode, header, request};
use sandtower::core::{BoxError, Priority, Tick, find};
use sandtower::e2b::operation as op;
use sandtower::e2b::{
    ATTEMPT_KEY, CALL_KEY, E2bClassify, OWNER_KEY, RawCreation, Sandbox, Unclaimed,
};
use sandtower::http::{Deadline, RequestBody};
use serde_json::value::{RawValue, to_raw_value};
use tower::ServiceExt;

use super::body::UpstreamBody;
use super::failure::Failure;
use super::{Exchange, Outcome, places};
use crate::journal::Entry;
use crate::keys::{KeyStack, TenantId};
use crate::server::Claim;
use crate::virtual_keys::Key;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TEMPLATE: &str = "templateID";

/// How often a creation that waits looks whether it should leave.
const LOOKS: Duration = Duration::from_millis(200);
/// A probe that the circuit breaker has not let through until then is given up: the next creation sends one.
const PROBE: Duration = Duration::from_secs(60);

/// What became of a creation.
pub(super) struct Created {
    pub(super) outcome: Outcome,
    /// In how many places it was tried.
    pub(super) places: usize,
}

/// The creation has left the place for another one.
#[derive(Debug, thiserror::Error)]
#[error("the creation has left this place for another one")]
struct Left;

/// That in one word.
const LEFT: &str = "left";

impl Exchange<'_> {
    /// A creation by the one whose stack at home this is.
    pub(super) async fn create(
        &mut self,
        tenant: TenantId,
        at_home: &Arc<KeyStack>,
        key: Option<&Key>,
        request: Request<Bytes>,
    ) -> Created {
        let several = self.several(at_home).ok().flatten();
        let Some(mut untried) = several.filter(|_| may_leave(&request)) else {
            let outcome = self.create_at(tenant, at_home, &[], request).await;
            return Created { outcome, places: 1 };
        };
        let (head, body) = request.into_parts();
        let (mut at_home, mut last, mut places) = (None, None, 0);
        let mut left_home = None;
        while let Some(stack) = self.next(&mut untried).or_else(|| left_home.take()) {
            places += 1;
            let request = match self.request_at(&stack, key, &head, &body) {
                Ok(request) => request,
                Err(failure) => return Created { outcome: Err(failure), places },
            };
            let outcome = self.create_at(tenant, &stack, &untried, request).await;
            if !goes_on(&outcome, stack.place().is_home()) {
                return Created { outcome, places };
            }
            if stack.place().is_home() && outcome.as_ref().is_err_and(|it| it.reason == LEFT) {
                // It has said nothing yet: it holds the creation if no other place creates it.
                left_home = Some(stack);
                continue;
            }
            let ended = Some((outcome, self.record.explanation.take(), self.record.place.take()));
            match stack.place().is_home() {
                true => at_home = ended,
                false => last = ended,
            }
        }
        // What home says is what a caller of one place would have heard.
        let none = || (Err(Failure::unavailable("no place is up", "no_place")), None, None);
        let (outcome, explanation, place) = at_home.or(last).unwrap_or_else(none);
        (self.record.explanation, self.record.place) = (explanation, place);
        Created { outcome, places }
    }

    /// The place where a creation goes next: the first that is up, or else home, which holds it until it has
    /// recovered.
    fn next(&self, untried: &mut Vec<Arc<KeyStack>>) -> Option<Arc<KeyStack>> {
        let up = untried.iter().position(|stack| stack.is_up(false));
        untried[..up.unwrap_or(untried.len())].iter().for_each(|stack| self.probe(stack));
        let home = || untried.first().filter(|stack| stack.place().is_home()).map(|_| 0);
        up.or_else(home).map(|at| untried.remove(at))
    }

    /// Sends a harmless call to a place that creations pass by: once the circuit breaker lets it through, it
    /// shows whether the place has recovered, and no creation has to.
    fn probe(&self, stack: &Arc<KeyStack>) {
        let Some(probe) = stack.probe() else { return };
        let Some(question) = stack.get("/v2/sandboxes?limit=1") else { return };
        let mut question = question.map(RequestBody::whole);
        question.extensions_mut().insert(Deadline(Tick::now() + PROBE));
        question.extensions_mut().insert(Priority::Background);
        E2bClassify::put_info(&mut question);
        let service = stack.service(self.proxy.worker);
        // Not awaited: it ends by itself, and a runtime that ends takes it along.
        drop(tokio::spawn(async move {
            drop(tokio::time::timeout(PROBE, service.oneshot(question)).await);
            drop(probe);
        }));
    }

    /// The request for a sandbox as it is sent to the place of `stack`.
    fn request_at(
        &self,
        stack: &KeyStack,
        key: Option<&Key>,
        head: &request::Parts,
        body: &Bytes,
    ) -> Result<Request<Bytes>, Failure> {
        let mut head = head.clone();
        places::address(&mut head, stack)?;
        if let Some(key) = key {
            head.extensions.insert(key.tenant(&stack.handles().tenants));
        }
        let renamed = with_template(body, |template| self.template_at(stack, template));
        if renamed.is_some() {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Request::from_parts(head, renamed.unwrap_or_else(|| body.clone())))
    }

    /// A creation in one place: tracked, and its sandbox the caller's once the connection has taken the
    /// response. It leaves for one of the places that are untried.
    async fn create_at(
        &mut self,
        tenant: TenantId,
        stack: &Arc<KeyStack>,
        untried: &[Arc<KeyStack>],
        request: Request<Bytes>,
    ) -> Outcome {
        self.served_by(stack);
        let (creation, mut request) = RawCreation::begin(stack.config(), request);
        // With the marks it may be another one to a retry.
        self.classify(&mut request);
        let mut entry = self.record_creation(creation.as_ref(), stack.tenant()).await;
        let result = self.sent(stack, untried, request).await;
        if let Some(creation) = creation {
            if let (Some(entry), true) = (&mut entry, is_all_known(creation.attempts(), &result)) {
                entry.has_left_nothing_else();
            }
            creation.end(&result);
        }
        let response = result.map_err(|error| match find::<Left>(&*error) {
            Some(left) => Failure::unavailable(&left.to_string(), LEFT),
            None => Failure::of(&error),
        })?;
        stack.responded(response.status());
        if let Some(sandbox) = response.extensions().get::<Sandbox>() {
            self.record.sandbox = Some(sandbox.id().to_string());
            self.proxy.shared.sandboxes.returned(sandbox, tenant, &stack.place().name);
        }
        let unclaimed = response.extensions().get::<Unclaimed>().cloned();
        let sandbox = response.extensions().get::<Sandbox>().map(|sandbox| sandbox.id().clone());
        let response = self.rewritten(response, op::SANDBOX_CREATE, tenant, stack).await?;
        if let Some(entry) = &mut entry
            && response.status().is_success()
            && !entry.offer(sandbox).await
        {
            let why = "the gateway cannot write its journal; its operator has to look at it";
            return Err(Failure::unavailable(why, "journal"));
        }
        let claim = unclaimed.map(|unclaimed| Claim { unclaimed, entry });
        self.hold.claim = claim.map(|claim| (claim, Arc::clone(&self.connection.state)));
        Ok(response)
    }

    /// The result of a call that leaves the place once another one is the better choice.
    async fn sent(
        &mut self,
        stack: &Arc<KeyStack>,
        untried: &[Arc<KeyStack>],
        request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, BoxError> {
        let call = self.call(stack, request, Some(self.patience()));
        if untried.is_empty() {
            let result = call.await;
            return self.called(result);
        }
        // Half of what is left is for the others.
        let left = self.patience().saturating_sub(Tick::now().since(self.arrived));
        let until = Tick::now() + self.generation.config.failover_after.min(left / 2);
        let result = tokio::select! {
            biased;
            result = call => result,
            () = is_better_elsewhere(stack, untried, until) => Err(Left.into()),
        };
        self.called(result)
    }

    /// The row of a creation in the journal, if there is one and it needs it.
    async fn record_creation(
        &self,
        creation: Option<&RawCreation>,
        tenant: TenantId,
    ) -> Option<Entry> {
        let creation = creation.filter(|creation| !creation.is_keyed())?;
        self.proxy.shared.journal.as_ref()?.begin(creation.call(), tenant).await
    }
}

/// Returns once the place is not up, or has had its time, and another one is up.
async fn is_better_elsewhere(stack: &KeyStack, others: &[Arc<KeyStack>], until: Tick) {
    loop {
        tokio::time::sleep(LOOKS).await;
        let is_over = Tick::now() >= until || !stack.is_up(false);
        if is_over && others.iter().any(|other| other.is_up(false)) {
            return;
        }
    }
}

/// Whether another place may be tried after this outcome: the failure is this place's own, and not one of
/// the request. A place that is not home also goes on after what it says of the request, such as that it does
/// not have the template, which is no response to a request that home would serve.
fn goes_on(outcome: &Outcome, is_home: bool) -> bool {
    let (status, reason) = match outcome {
        Ok(response) => (response.status(), ""),
        Err(failure) => (failure.status, failure.reason),
    };
    match status {
        // Those are the gateway's.
        _ if ["journal", "draining"].contains(&reason) => false,
        StatusCode::TOO_MANY_REQUESTS => true,
        status => status.is_server_error() || (!is_home && !status.is_success()),
    }
}

/// Whether what an attempt leaves behind is found and killed, so that a creation may go on elsewhere.
fn may_leave(request: &Request<Bytes>) -> bool {
    if request.headers().contains_key(IDEMPOTENCY_KEY) {
        return false;
    }
    let Some(fields) = fields(request.body()) else { return false };
    let metadata = fields.get("metadata").map_or("null", |metadata| metadata.get());
    let metadata =
        serde_json::from_str::<Option<Fields>>(metadata).ok().map(Option::unwrap_or_default);
    template(&fields).is_some()
        && metadata.is_some_and(|all| {
            // Its sender tracks it.
            ![CALL_KEY, ATTEMPT_KEY, OWNER_KEY].iter().any(|mark| all.contains_key(*mark))
        })
}

type Fields = BTreeMap<String, Box<RawValue>>;

fn fields(body: &[u8]) -> Option<Fields> {
    serde_json::from_slice(body).ok()
}

fn template(fields: &Fields) -> Option<String> {
    serde_json::from_str(fields.get(TEMPLATE)?.get()).ok()
}

/// The body with the template as a place calls it; `None`: it is called the same.
fn with_template<'t>(body: &[u8], called: impl FnOnce(&str) -> Option<&'t str>) -> Option<Bytes> {
    let mut fields = fields(body)?;
    let there = to_raw_value(called(&template(&fields)?)?).ok()?;
    fields.insert(TEMPLATE.to_owned(), there);
    serde_json::to_vec(&fields).ok().map(Bytes::from)
}

/// Whether what a creation of so many attempts has left is in its response.
fn is_all_known<B>(attempts: u32, result: &Result<Response<B>, BoxError>) -> bool {
    let response = result.as_ref().ok();
    let is_known = response.is_some_and(|response| !response.status().is_server_error());
    attempts == 0 || (attempts == 1 && is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_tracked_may_be_created_elsewhere() {
        let may_leave = |body: &'static str, keyed: bool| {
            let mut request = Request::new(Bytes::from(body));
            if keyed {
                let key = http::HeaderValue::from_static("k");
                request.headers_mut().insert(IDEMPOTENCY_KEY, key);
            }
            super::may_leave(&request)
        };
        let one = r#"{"templateID":"base","metadata":{"a":"b"}}"#;
        assert!(may_leave(one, false) && !may_leave(one, true));
        assert!(may_leave(r#"{"templateID":"base","metadata":null}"#, false));
        for body in [
            "",
            "[]",
            r#"{"templateID":7}"#,
            r#"{"templateID":"base","metadata":[]}"#,
            r#"{"templateID":"base","metadata":{"sandtower_call":"c"}}"#,
        ] {
            assert!(!may_leave(body, false), "{body}");
        }
    }

    #[test]
    fn a_template_is_called_as_the_place_calls_it() {
        let called = |name: &str| (name == "base").then_some("base-eu");
        let body = br#"{"timeout":60,"templateID":"base"}"#;
        let there = with_template(body, called).unwrap();
        assert_eq!(&there[..], br#"{"templateID":"base-eu","timeout":60}"#);
        assert_eq!(with_template(br#"{"templateID":"other"}"#, called), None);
    }
}
