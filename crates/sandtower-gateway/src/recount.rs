//! Compares what is counted for virtual keys with what the service lists.
//!
//! Sandboxes end without the gateway, and start without it: by a timeout, in the service's own console, by
//! traffic that resumes them, or while the gateway is down.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Limited};
use sandtower::core::{BoxError, Priority, Tick};
use sandtower::e2b::E2bClassify;
use sandtower::http::RequestBody;
use tower_service::Service;

use crate::gateway::Shared;
use crate::generation::Generation;
use crate::keys::KeyStack;
use crate::proxy::listing::Marked;
use crate::virtual_keys::Listed;

/// How often it is seen to what calls in doubt have left behind.
const TICK: Duration = Duration::from_secs(1);
/// How often the service is asked.
const EVERY: Duration = Duration::from_secs(30);
/// The largest page of the service, and the most pages: 100,000 sandboxes.
const PAGE: &str = "/v2/sandboxes?state=running&limit=100";
const MOST_PAGES: usize = 1_000;
const LONGEST_PAGE: usize = 4 * 1_024 * 1_024;

/// Runs in the runtime of the worker with this number, until that ends.
pub(crate) async fn run(shared: Arc<Shared>, worker: usize) {
    let mut listed: HashMap<String, Tick> = HashMap::new();
    loop {
        let upstreams = shared.virtual_keys.to_list();
        listed.retain(|upstream, _| upstreams.contains(upstream));
        for upstream in upstreams {
            let generation = shared.generation.load_full();
            let Some((key, stack)) = stack(&generation, &upstream) else { continue };
            resolve(&shared, &upstream, &stack);
            let due = listed.get(&upstream).is_none_or(|last| Tick::now().since(*last) >= EVERY);
            if !due {
                continue;
            }
            listed.insert(upstream.clone(), Tick::now());
            let began = shared.virtual_keys.now();
            let listing = list(&generation, &stack, &key, worker);
            let result = tokio::time::timeout(EVERY, listing).await;
            match result.unwrap_or_else(|_| Err("E2B did not respond in time".into())) {
                Ok(all) => shared.virtual_keys.compare(&upstream, &all, began),
                Err(error) => tracing::warn!(
                    upstream, %error,
                    "listing failed, virtual keys are counted without it"
                ),
            }
        }
        tokio::time::sleep(TICK).await;
    }
}

fn stack(generation: &Generation, upstream: &str) -> Option<(HeaderValue, Arc<KeyStack>)> {
    let secret = generation.upstreams.get(upstream)?;
    let mut key = HeaderValue::from_str(secret.expose()).ok()?;
    key.set_sensitive(true);
    let (_, stack) = generation.keys.get(secret.expose()).ok()?;
    Some((key, stack))
}

/// Frees what calls have reserved of which nothing is left.
fn resolve(shared: &Shared, upstream: &str, stack: &KeyStack) {
    // Before the tracker is asked: what ends from here on, it may not know yet.
    let doubts = shared.virtual_keys.doubts(upstream);
    let tracker = stack.handles().tracker.snapshot();
    let is_idle = tracker.open == 0 && tracker.killing == 0;
    if is_idle && !doubts.is_empty() && shared.retired_are_idle() {
        shared.virtual_keys.resolved(doubts);
    }
}

/// All sandboxes of an upstream key that run.
async fn list(
    generation: &Generation,
    stack: &KeyStack,
    key: &HeaderValue,
    worker: usize,
) -> Result<Listed, BoxError> {
    let mut all = Listed::default();
    let mut next = None;
    for _ in 0..MOST_PAGES {
        let path = match &next {
            Some(token) => format!("{PAGE}&nextToken={token}"),
            None => PAGE.to_owned(),
        };
        let target = generation.place.control(Some(&path.parse()?));
        let mut request = Request::get(target.ok_or("the address of E2B is invalid")?)
            .header("x-api-key", key)
            .extension(Priority::Background)
            .body(RequestBody::default())?;
        E2bClassify::put_info(&mut request);
        let mut service = stack.service(worker, &generation.transports[worker]);
        poll_fn(|cx| service.poll_ready(cx)).await?;
        let (head, body) = service.call(request).await?.into_parts();
        if !head.status.is_success() {
            return Err(format!("E2B responded with {}", head.status).into());
        }
        let body: Bytes = Limited::new(body, LONGEST_PAGE).collect().await?.to_bytes();
        let page: Vec<Marked> = serde_json::from_slice(&body)?;
        all.running.extend(page.into_iter().filter(Marked::is_running).map(|sandbox| {
            let key = sandbox.key();
            (sandbox.id, key)
        }));
        let token = head.headers.get("x-next-token").and_then(|token| token.to_str().ok());
        next = token.filter(|token| !token.is_empty()).map(encode);
        if next.is_none() {
            return Ok(all);
        }
    }
    Err(format!("the listing has more than {MOST_PAGES} pages").into())
}

/// A value of a query: all but the unreserved characters of RFC 3986, section 2.3, are encoded.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
