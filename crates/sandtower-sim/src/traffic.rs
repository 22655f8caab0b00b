//! The way into a sandbox, past the proxy: to envd, to the interpreter, or to nothing.

use std::sync::Arc;

use http::{HeaderValue, Response, header::VARY, request::Parts};
use tokio::time;

use crate::body::Body;
use crate::interpreter::{self, Inside};
use crate::request::Received;
use crate::state::Shared;
use crate::state::resume::{self, Resumption};
use crate::{clock, envd, proxy};

/// The header that shows a traffic token.
const TRAFFIC_TOKEN: &str = "e2b-traffic-access-token";
/// The least that a sandbox lives that traffic has woken.
const MIN_LIFETIME: std::time::Duration = std::time::Duration::from_secs(300);

/// How much is read of a request's body.
pub(crate) fn max_body(parts: &Parts) -> usize {
    if parts.uri.path() == "/files" { envd::MAX_FILE } else { envd::MAX_BODY }
}

/// What the ledger calls a request that goes into a sandbox.
pub(crate) fn name(port: u16, path: &str) -> &'static str {
    match (port, path) {
        (interpreter::PORT, "/execute") => "interpreter_execute",
        (interpreter::PORT, path) if path.starts_with("/contexts") => "interpreter_contexts",
        (interpreter::PORT, _) => "interpreter_other",
        (_, path) => envd::name(path),
    }
}

/// The response to a request to a port of a sandbox.
pub(crate) async fn respond(
    sim: &Arc<Shared>,
    id: &str,
    port: u16,
    request: Received,
) -> Response<Body> {
    *sim.state().requests.entry("sandbox_traffic").or_default() += 1;
    time::sleep(sim.config.world.envd_latency).await;
    let shown = request.parts.headers.get(TRAFFIC_TOKEN);
    if let Some(response) = rejection(sim, id, port, shown) {
        return response;
    }
    if let Err(response) = wake(sim, id).await {
        return response;
    }
    let target = {
        let mut state = sim.state();
        let sandbox = state.sandboxes.get_mut(id).filter(|sandbox| !sandbox.is_paused());
        let Some(sandbox) = sandbox else { return proxy::not_found(id) };
        let interprets = port == interpreter::PORT && sandbox.interprets();
        if sandbox.record.zombie || port != envd::PORT && !interprets {
            return proxy::port_closed(id, port);
        }
        sandbox.record.seen_alive_at.get_or_insert_with(|| sim.since_began(clock::now()));
        if interprets {
            let inside = Inside {
                contexts: Arc::clone(&sandbox.contexts),
                environment: sandbox.settings.env_vars.clone(),
                files: sandbox.files.clone(),
                life: sandbox.life.subscribe(),
            };
            drop(state);
            return interpreter::respond(sim, inside, &request);
        }
        envd::Target {
            files: sandbox.files.clone(),
            token: sandbox.access_token.clone(),
            environment: sandbox.settings.env_vars.clone(),
        }
    };
    let mut response = envd::respond(sim, id, &target, &request).await;
    response.headers_mut().entry(VARY).or_insert(HeaderValue::from_static("Origin"));
    response
}

/// What the proxy responds to a request that it does not let through: envd asks for its own token.
fn rejection(
    sim: &Shared,
    id: &str,
    port: u16,
    shown: Option<&HeaderValue>,
) -> Option<Response<Body>> {
    let state = sim.state();
    let token = state.sandboxes.get(id)?.traffic_token.as_ref()?;
    match shown {
        _ if port == envd::PORT => None,
        None => Some(proxy::traffic_token(id, TRAFFIC_TOKEN, false)),
        Some(shown) if shown.as_bytes() == token.as_bytes() => None,
        Some(_) => Some(proxy::traffic_token(id, TRAFFIC_TOKEN, true)),
    }
}

/// Lets traffic wake a sandbox that is paused and resumes by itself; an error is why it cannot.
async fn wake(sim: &Arc<Shared>, id: &str) -> Result<(), Response<Body>> {
    let lifetime = {
        let state = sim.state();
        match state.sandboxes.get(id).filter(|sandbox| sandbox.is_paused()) {
            None => return Ok(()),
            Some(sandbox) if sandbox.resuming && !sandbox.settings.auto_resume => {
                return Err(proxy::transitioning(id));
            }
            // What has to boot is resumed by its team only.
            Some(sandbox) if sandbox.settings.auto_resume && sandbox.has_memory => {
                sandbox.lifetime.max(MIN_LIFETIME)
            }
            Some(_) => return Err(proxy::not_found(id)),
        }
    };
    match resume::start(sim, None, id, Resumption { lifetime, memory: true }).await {
        Ok(_) => Ok(()),
        Err(error) => Err(error.response()),
    }
}
