//! Compares what is counted for virtual keys with what the service lists.
//!
//! Sandboxes end without the gateway, and start without it: by a timeout, in the service's own console, by
//! traffic that resumes them, or while the gateway is down.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use sandtower::core::{BoxError, Priority, Tick};
use sandtower::e2b::{E2bClassify, SandboxId};
use sandtower::http::RequestBody;
use tower_service::Service;

use crate::gateway::Shared;
use crate::generation::Generation;
use crate::keys::KeyStack;
use crate::proxy::listing::Marked;
use crate::virtual_keys::{KeyId, Listed};

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
            let Some(stacks) = stacks(&generation, &upstream) else { continue };
            resolve(&shared, &upstream, &stacks);
            let due = listed.get(&upstream).is_none_or(|last| Tick::now().since(*last) >= EVERY);
            if !due {
                continue;
            }
            listed.insert(upstream.clone(), Tick::now());
            let began = shared.virtual_keys.now();
            let mut all = Listed { running: Vec::new(), is_whole: true };
            for stack in &stacks {
                let time = EVERY / u32::try_from(stacks.len()).unwrap_or(u32::MAX);
                let result = tokio::time::timeout(time, list(stack, worker)).await;
                match result.unwrap_or_else(|_| Err("E2B did not respond in time".into())) {
                    Ok(running) => all.running.extend(running),
                    Err(error) => {
                        all.is_whole = false;
                        let place = &*stack.place().name;
                        tracing::warn!(
                            upstream, place, %error,
                            "listing failed, virtual keys are counted without it"
                        );
                    }
                }
            }
            shared.virtual_keys.compare(&upstream, &all, began);
            let asking = crate::paused::check(&shared, &stacks, &upstream, worker);
            drop(tokio::time::timeout(EVERY, asking).await);
        }
        tokio::time::sleep(TICK).await;
    }
}

/// The stacks for an upstream key in all places that have one for it; `None`: there is none at home, or not
/// for all of them at this moment.
fn stacks(generation: &Generation, upstream: &str) -> Option<Vec<Arc<KeyStack>>> {
    generation.upstreams.get(upstream)?;
    let places = generation.places().filter(|place| place.own.get(upstream).is_some());
    places.map(|place| place.named(upstream)).collect()
}

/// Frees what calls have reserved of which nothing is left.
fn resolve(shared: &Shared, upstream: &str, stacks: &[Arc<KeyStack>]) {
    // Before the trackers are asked: what ends from here on, they may not know yet.
    let doubts = shared.virtual_keys.doubts(upstream);
    let is_idle = stacks.iter().all(|stack| stack.has_nothing_open());
    if is_idle && !doubts.is_empty() && shared.retired_are_idle() {
        shared.virtual_keys.resolved(doubts);
    }
}

/// All sandboxes of an upstream key that run in one place.
async fn list(
    stack: &KeyStack,
    worker: usize,
) -> Result<Vec<(SandboxId, Option<KeyId>)>, BoxError> {
    let mut all = Vec::new();
    let mut next = None;
    for _ in 0..MOST_PAGES {
        let path = match &next {
            Some(token) => format!("{PAGE}&nextToken={token}"),
            None => PAGE.to_owned(),
        };
        let request = stack.get(&path).ok_or("the address of E2B is invalid")?;
        let mut request = request.map(RequestBody::whole);
        request.extensions_mut().insert(Priority::Background);
        E2bClassify::put_info(&mut request);
        let mut service = stack.service(worker);
        poll_fn(|cx| service.poll_ready(cx)).await?;
        let (head, body) = service.call(request).await?.into_parts();
        if !head.status.is_success() {
            return Err(format!("E2B responded with {}", head.status).into());
        }
        let body: Bytes = Limited::new(body, LONGEST_PAGE).collect().await?.to_bytes();
        let page: Vec<Marked> = serde_json::from_slice(&body)?;
        all.extend(page.into_iter().filter(Marked::is_running).map(|sandbox| {
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
pub(crate) fn encode(text: &str) -> String {
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
