//! Asks the service about sandboxes without a mark that may be paused: no listing of those that run tells
//! whether they exist.

use std::future::poll_fn;
use std::sync::Arc;

use http::StatusCode;
use sandtower::core::{BoxError, Priority};
use sandtower::e2b::{E2bClassify, SandboxId};
use sandtower::http::RequestBody;
use tower_service::Service;

use crate::gateway::Shared;
use crate::keys::KeyStack;

/// How many are asked about at a time.
const MOST: usize = 20;

/// Forgets some of an upstream key that do not exist any more. `stacks` are those for it in all places.
pub(crate) async fn check(
    shared: &Shared,
    stacks: &[Arc<KeyStack>],
    upstream: &str,
    worker: usize,
) {
    for sandbox in shared.virtual_keys.to_ask(upstream, MOST) {
        // After an error it is asked about again, later.
        let mut is_gone = true;
        for stack in stacks {
            is_gone &= exists(stack, &sandbox, worker).await.is_ok_and(|exists| !exists);
        }
        if is_gone {
            shared.virtual_keys.gone(&sandbox).await;
        }
    }
}

async fn exists(stack: &KeyStack, sandbox: &SandboxId, worker: usize) -> Result<bool, BoxError> {
    let request = stack.get(&format!("/sandboxes/{sandbox}"));
    let request = request.ok_or("the address of E2B is invalid")?;
    let mut request = request.map(RequestBody::whole);
    request.extensions_mut().insert(Priority::Background);
    E2bClassify::put_info(&mut request);
    let mut service = stack.service(worker);
    poll_fn(|cx| service.poll_ready(cx)).await?;
    let response = service.call(request).await?;
    Ok(response.status() != StatusCode::NOT_FOUND)
}
