//! Listings without warm sandboxes that wait for a caller: whoever kills all that is listed must not kill
//! the stock, and it counts as none of the callers' own.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use sandtower::e2b::{OWNER_KEY, POOL_KEY, SandboxId, operation as op};
use sandtower::pool::{Pool, is_stock};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::body::{Collected, UpstreamBody, collect};
use super::control::LONGEST_RESPONSE;
use super::failure::Failure;
use super::{Exchange, Outcome, pass};
use crate::keys::{KeyStack, TenantId};

/// The number of sandboxes of the team that run: it counts the stock.
const TOTAL: &str = "x-total-running";

impl Exchange<'_> {
    /// A listing for a caller with a key of the service.
    pub(super) async fn listed(
        &self,
        response: Response<UpstreamBody>,
        stack: &KeyStack,
        tenant: TenantId,
    ) -> Outcome {
        let (mut head, body) = response.into_parts();
        let body = match collect(body, LONGEST_RESPONSE).await {
            Collected::Whole(body) => body,
            Collected::Longer(first, body) => {
                return Ok(pass(Response::from_parts(head, body), Some(first)));
            }
            Collected::Failed(error) => return Err(Failure::of(&error)),
        };
        let shown = self.without_stock(stack, &body);
        if stack.handles().pool.is_some() || shown.is_some() {
            head.headers.remove(TOTAL);
        }
        let body = shown.unwrap_or(body);
        Ok(self.shown(head, body, op::SANDBOX_LIST, tenant, stack))
    }

    /// A listing of the key of `stack` without those that wait in stock. `None`: it has none.
    pub(super) fn without_stock(&self, stack: &KeyStack, body: &[u8]) -> Option<Bytes> {
        let pool = stack.handles().pool.as_ref();
        let owner = &self.generation.config.owner;
        let known = |id: &SandboxId| self.proxy.shared.sandboxes.is_known(id);
        without_stock(body, |one| one.is_in_stock(pool, owner, known))
    }
}

/// A sandbox of a pool, as a listing describes it.
#[derive(Deserialize)]
struct Pooled {
    #[serde(rename = "sandboxID")]
    id: SandboxId,
    #[serde(rename = "startedAt", default)]
    started_at: String,
    #[serde(rename = "endAt", default)]
    end_at: String,
    metadata: BTreeMap<String, Box<RawValue>>,
}

impl Pooled {
    fn mark(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.metadata.get(name)?.get()).ok()
    }

    /// Whether no caller has it: the pool of this process holds it, or an earlier process of the same owner
    /// left it behind, or its creation is in flight.
    fn is_in_stock(
        &self,
        pool: Option<&Pool>,
        owner: &str,
        is_known: impl Fn(&SandboxId) -> bool,
    ) -> bool {
        if pool.is_some_and(|pool| pool.holds(&self.id)) {
            return true;
        }
        let is_ours = self.mark(OWNER_KEY).is_some_and(|of| of == owner);
        let mark = self.mark(POOL_KEY).filter(|_| is_ours && !is_known(&self.id));
        mark.is_some_and(|mark| is_stock(&mark, &self.started_at, &self.end_at))
    }
}

/// The list without those that wait in stock; everything else stays as it came. `None`: it has none.
fn without_stock(body: &[u8], is_in_stock: impl Fn(&Pooled) -> bool) -> Option<Bytes> {
    // Most listings have no sandbox of a pool.
    let name = POOL_KEY.as_bytes();
    if !body.windows(name.len()).any(|part| part == name) {
        return None;
    }
    let all: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
    let is_hidden = |one: &&RawValue| {
        serde_json::from_str::<Pooled>(one.get())
            .is_ok_and(|one| one.metadata.contains_key(POOL_KEY) && is_in_stock(&one))
    };
    let (hidden, shown): (Vec<_>, Vec<_>) = all.into_iter().partition(is_hidden);
    (!hidden.is_empty()).then(|| serde_json::to_vec(&shown).ok().map(Bytes::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: &str, owner: &str, end: &str) -> String {
        format!(
            r#"{{"sandboxID":"{id}","startedAt":"2026-11-22T04:00:00Z","endAt":"2026-11-22T{end}Z","new":1.50,"metadata":{{"sandtower_owner":"{owner}","sandtower_pool":"0123.300.abcd"}}}}"#
        )
    }

    fn shown(all: &[&str]) -> String {
        let body = format!("[{}]", all.join(","));
        let is_known = |id: &SandboxId| id.as_str() == "known";
        let shown =
            without_stock(body.as_bytes(), |one| one.is_in_stock(None, "gateway", is_known));
        shown.map_or(body, |shown| String::from_utf8(shown.to_vec()).unwrap())
    }

    #[test]
    fn what_waits_in_stock_is_hidden_and_all_else_stays_as_it_came() {
        let waits = one("i0", "gateway", "04:05:00");
        let taken = one("i1", "gateway", "04:09:00");
        let theirs = one("i2", "other", "04:05:00");
        let known = one("known", "gateway", "04:05:00");
        let plain = r#"{"sandboxID":"i3","metadata":{}}"#;
        let odd = r#"7,{"sandboxID":"i4","metadata":{"sandtower_pool":7}}"#;
        let kept = [&*taken, &*theirs, &*known, plain, odd];
        assert_eq!(shown(&kept), format!("[{}]", kept.join(",")));
        let all = [&*waits, &*taken, plain, &*waits, odd];
        assert_eq!(shown(&all), format!("[{taken},{plain},{odd}]"));
        assert_eq!(shown(&[&*waits]), "[]");
        assert!(without_stock(b"[", |_| true).is_none());
        assert!(without_stock(br#"{"sandtower_pool":1}"#, |_| true).is_none());
    }
}
