//! A sandbox's life after its creation: info, connect, time-out, kill.

use std::time::Duration;

use http::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use super::parse;
use crate::{
    answer::{self, ApiError},
    body::Body,
    clock,
    sandbox::Sandbox,
    sim::{Shared, State},
};

/// The time-out that a connection gets which asks for none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

#[derive(Debug, Deserialize)]
struct TimeoutBody {
    timeout: Option<i64>,
}

pub(super) fn info(sim: &Shared, team: &str, id: &str) -> Result<Response<Body>, ApiError> {
    let state = sim.state();
    Ok(answer::json(StatusCode::OK, &owned(&state, team, id)?.detail(sim)))
}

pub(super) fn kill(sim: &Shared, team: &str, id: &str) -> Result<Response<Body>, ApiError> {
    if sim.kill(id, team) { Ok(answer::empty(StatusCode::NO_CONTENT)) } else { Err(no_such(id)) }
}

/// Connecting never shortens a lifetime.
pub(super) fn connect(
    sim: &Shared,
    team: &str,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    let asked: TimeoutBody = parse(body)?;
    let lifetime = lifetime(sim, asked.timeout)?.unwrap_or(DEFAULT_TIMEOUT);
    let mut state = sim.state();
    let sandbox = owned(&state, team, id)?;
    let (brief, end_at) = (sandbox.brief(), sandbox.end_at);
    let later = end_of(sim, sandbox, lifetime).max(end_at);
    state.live_until(id, later);
    Ok(answer::json(StatusCode::OK, &brief))
}

pub(super) fn timeout(
    sim: &Shared,
    team: &str,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    let asked: TimeoutBody = parse(body)?;
    let Some(lifetime) = lifetime(sim, asked.timeout)? else {
        return Err(ApiError::bad_request("Error when parsing request: missing field `timeout`"));
    };
    let mut state = sim.state();
    let end_at = end_of(sim, owned(&state, team, id)?, lifetime);
    state.live_until(id, end_at);
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// The lifetime that a request asks for, if it asks for one that the plan allows.
pub(super) fn lifetime(sim: &Shared, seconds: Option<i64>) -> Result<Option<Duration>, ApiError> {
    let Some(seconds) = seconds else { return Ok(None) };
    let longest = sim.config.limits.max_lifetime;
    match u64::try_from(seconds).map(Duration::from_secs) {
        Ok(Duration::ZERO) | Err(_) => Err(ApiError::bad_request("Timeout must be greater than 0")),
        Ok(asked) if asked > longest => {
            let hours = longest.as_secs() / 3600;
            Err(ApiError::bad_request(format!("Timeout cannot be greater than {hours} hours")))
        }
        Ok(asked) => Ok(Some(asked)),
    }
}

/// When a sandbox ends that lives for `lifetime` from now: never later than the plan allows.
fn end_of(sim: &Shared, sandbox: &Sandbox, lifetime: Duration) -> Instant {
    let longest = sim.config.limits.max_lifetime;
    clock::after(clock::now(), lifetime).min(clock::after(sandbox.started_at, longest))
}

fn owned<'a>(state: &'a State, team: &str, id: &str) -> Result<&'a Sandbox, ApiError> {
    let sandbox = state.sandboxes.get(id).filter(|sandbox| &*sandbox.team == team);
    sandbox.ok_or_else(|| no_such(id))
}

fn no_such(id: &str) -> ApiError {
    let message = format!("Sandbox \"{id}\" doesn't exist or you don't have access to it");
    ApiError::new(StatusCode::NOT_FOUND, message)
}
