use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use sandtower::pool::Recipient;
use sha2::{Digest as _, Sha256};

use super::body::Fields;
use super::{Caller, rejection, upstream_rejected};
use crate::proxy::body::ResponseBody;
use crate::proxy::creation::{Created, IDEMPOTENCY_KEY};
use crate::proxy::failure::Failure;
use crate::proxy::listing::KEY_MARK;
use crate::proxy::{Exchange, Outcome};
use crate::virtual_keys::{FromStock, Key, Reservation};

impl Exchange<'_> {
    pub(super) async fn keyed_creation(
        &mut self,
        caller: &Caller,
        request: Request<Bytes>,
    ) -> Outcome {
        let key = &caller.key;
        let (mut head, body) = request.into_parts();
        let mut new = Fields::read(&body)?;
        let template = new.template().unwrap_or_default();
        if !key.allows(&template) {
            return Err(rejection::template(key, &template));
        }
        let tracks_itself = new.mark(key.id())?;
        let lifetime = new.seconds("timeout").unwrap_or_else(|| default_lifetime(head.uri.path()));
        head.headers.remove(header::CONTENT_LENGTH);
        // Of a caller's own key, the tracker kills nothing: a later call of the caller's has the sandbox.
        let is_tracked = !scope_idempotency_key(&mut head.headers, key) && !tracks_itself;
        let mut request = Request::from_parts(head, new.into_bytes());
        let mut reservation = self.reserve(caller, true).await?;
        if !is_tracked {
            reservation.untracked();
        }
        let from_stock = reservation.receiver();
        if self.virtual_keys().keeps_unmarked() {
            let to = Arc::<FromStock>::clone(&from_stock);
            request.extensions_mut().insert(Recipient::new(KEY_MARK, to));
        }
        let created = self.create(caller.tenant, &caller.stack, Some(key), request).await;
        let Created { outcome, places } = created;
        if from_stock.is_delivered() {
            reservation.served();
            return self.served(outcome).await;
        }
        let sandbox = self.record.sandbox.as_deref().and_then(|id| id.parse().ok());
        match (&outcome, sandbox) {
            (Ok(response), Some(sandbox)) if response.status().is_success() => {
                reservation.runs(&sandbox, Some(lifetime));
            }
            // A listing finds it.
            (Ok(response), None) if response.status().is_success() => reservation.untracked(),
            (Ok(response), _)
                if is_without_effect(response) && places == 1 && self.was_sent_once() =>
            {
                reservation.started_nothing();
            }
            _ if is_tracked && self.has_nothing_open(caller) => reservation.started_nothing(),
            _ => drop(reservation),
        }
        match outcome {
            Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
                Err(upstream_rejected())
            }
            outcome => outcome,
        }
    }

    /// A creation that was served from stock. If its response is lost, its sandbox is killed.
    async fn served(&mut self, outcome: Outcome) -> Outcome {
        if let Err(failure) = outcome {
            let sandbox = self.record.sandbox.as_deref().and_then(|id| id.parse().ok());
            if let Some(sandbox) = sandbox {
                self.virtual_keys().gone(&sandbox).await;
            }
            return Err(failure);
        }
        outcome
    }

    /// Takes a place for a call that starts a sandbox, and waits until that is stored.
    pub(super) async fn reserve(
        &self,
        caller: &Caller,
        creates: bool,
    ) -> Result<Reservation, Failure> {
        let reservation = self
            .virtual_keys()
            .reserve(caller.key.id(), creates)
            .map_err(|why| rejection::not_admitted(&caller.key, why))?;
        reservation.stored().await;
        Ok(reservation)
    }

    /// It is not known whether the call has started a sandbox. Nothing is left of it if the trackers of all
    /// places, which have heard of it before, look for nothing.
    fn has_nothing_open(&self, caller: &Caller) -> bool {
        let stacks = self.stacks_of(&caller.at_home);
        stacks.is_ok_and(|stacks| stacks.iter().all(|stack| stack.has_nothing_open()))
    }

    /// Whether the response is to the only attempt: none before it can have had an effect.
    fn was_sent_once(&self) -> bool {
        self.record.explanation.as_ref().is_some_and(|it| it.attempts() <= 1)
    }
}

/// The service's own, in the two versions of its API.
fn default_lifetime(path: &str) -> Duration {
    Duration::from_secs(if path.starts_with("/v2/") { 300 } else { 15 })
}

/// Two virtual keys may use the same `Idempotency-Key` for two sandboxes, though the service has one key for
/// both. Returns whether there is one.
fn scope_idempotency_key(headers: &mut HeaderMap, key: &Key) -> bool {
    let Some(theirs) = headers.get(IDEMPOTENCY_KEY).map(HeaderValue::as_bytes) else {
        return false;
    };
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    if !(1..=255).contains(&theirs.len()) || !theirs.iter().all(allowed) {
        // The service says what is wrong with it.
        return true;
    }
    let digest = Sha256::new().chain_update(key.id().to_string()).chain_update(theirs).finalize();
    let scoped: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if let Ok(scoped) = HeaderValue::try_from(scoped) {
        headers.insert(IDEMPOTENCY_KEY, scoped);
    }
    true
}

/// A response that says that nothing was created. One about an `Idempotency-Key` does not: the sandbox of an
/// earlier call may run. Nor does one that says that it took too long.
fn is_without_effect(response: &Response<ResponseBody>) -> bool {
    let status = response.status();
    let may_have = [409, 422, 408, 499];
    status.is_client_error() && !may_have.contains(&status.as_u16())
}
