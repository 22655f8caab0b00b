//! A sandbox's life after its creation: info, connect, resume, pause, time-out, kill.

use std::{sync::Arc, time::Duration};

use http::{Response, StatusCode};
use serde::Deserialize;
use tokio::time::{self, Instant};

use super::{create, parse};
use crate::{
    answer::{self, ApiError},
    body::Body,
    clock, proxy,
    sandbox::{Life, Sandbox},
    sim::{Shared, State},
};

/// The time-out that a connection gets which asks for none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

/// The time-out that the old way to resume gives.
const OLD_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest refreshment, in seconds.
const MAX_REFRESH: u64 = 3_600;

#[derive(Debug, Deserialize)]
struct TimeoutBody {
    timeout: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct RefreshBody {
    duration: Option<i64>,
}

/// An object of whatever fields.
#[derive(Debug, Deserialize)]
struct Ignored {}

pub(super) fn info(sim: &Shared, team: &str, id: &str) -> Result<Response<Body>, ApiError> {
    let mut state = sim.state();
    let detail = owned(&state, team, id)?.detail(sim);
    state.note_found(id, sim.since_began(clock::now()));
    Ok(answer::json(StatusCode::OK, &detail))
}

pub(super) fn kill(sim: &Shared, team: &str, id: &str) -> Result<Response<Body>, ApiError> {
    if sim.kill(id, team) { Ok(answer::empty(StatusCode::NO_CONTENT)) } else { Err(no_such(id)) }
}

/// Connecting resumes what is paused, and never shortens a lifetime.
pub(super) async fn connect(
    sim: &Arc<Shared>,
    team: &str,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    let asked: TimeoutBody = parse(body)?;
    let lifetime = lifetime(sim, asked.timeout)?.unwrap_or(DEFAULT_TIMEOUT);
    let status = match start(sim, Some(team), id, lifetime).await? {
        Started::Resumed => StatusCode::CREATED,
        Started::Ran => StatusCode::OK,
    };
    let mut state = sim.state();
    let sandbox = owned(&state, team, id)?;
    let (brief, end_at) = (sandbox.brief(), sandbox.end_at);
    let later = end_of(sim, sandbox, lifetime).max(end_at);
    state.live_until(id, later);
    Ok(answer::json(status, &brief))
}

/// The old way to resume: what runs already is a conflict.
pub(super) async fn resume(
    sim: &Arc<Shared>,
    team: &str,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    let asked: TimeoutBody = parse(if body.is_empty() { b"{}" } else { body })?;
    let lifetime = lifetime(sim, asked.timeout)?.unwrap_or(OLD_TIMEOUT);
    {
        let state = sim.state();
        let sandbox = owned(&state, team, id)?;
        if !sandbox.is_paused() {
            return Err(conflict(format!("Sandbox \"{id}\" is already running")));
        }
        if sandbox.resuming {
            let message = format!("Sandbox \"{id}\" is already being started");
            return Err(conflict(message).code("sandbox_start_in_flight"));
        }
    }
    start(sim, Some(team), id, lifetime).await?;
    let state = sim.state();
    Ok(answer::json(StatusCode::CREATED, &owned(&state, team, id)?.brief()))
}

pub(super) fn pause(
    sim: &Shared,
    team: &str,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    parse::<Ignored>(if body.is_empty() { b"{}" } else { body })?;
    let mut state = sim.state();
    if owned(&state, team, id)?.is_paused() {
        return Err(conflict(format!("Sandbox \"{id}\" is already paused")));
    }
    if !state.pause(id) {
        let message = "Failed to pause sandbox: node is busy, try again shortly";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message));
    }
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// What a start of a sandbox found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Started {
    Ran,
    Resumed,
}

/// Resumes a sandbox that is paused, or waits for whoever does so already.
async fn start(
    sim: &Arc<Shared>,
    team: Option<&str>,
    id: &str,
    lifetime: Duration,
) -> Result<Started, ApiError> {
    let mut life = {
        let mut state = sim.state();
        let State { sandboxes, teams, .. } = &mut *state;
        let owned = |sandbox: &&mut Sandbox| team.is_none_or(|team| &*sandbox.team == team);
        let sandbox = sandboxes.get_mut(id).filter(owned).ok_or_else(|| no_such(id))?;
        if !sandbox.is_paused() {
            return Ok(Started::Ran);
        }
        let life = sandbox.life.subscribe();
        if !sandbox.resuming {
            if !teams.reserve(&sandbox.team, &sim.config.limits) {
                return Err(create::over_quota(sim.config.limits.concurrent_sandboxes));
            }
            sandbox.resuming = true;
            let team = Arc::clone(&sandbox.team);
            // A task of its own: who asked for it may go away.
            tokio::spawn(finish(Arc::clone(sim), team, id.to_owned(), lifetime));
        }
        life
    };
    while *life.borrow_and_update() == Life::Paused {
        if life.changed().await.is_err() {
            break;
        }
    }
    Ok(Started::Resumed)
}

/// The work of a resumption. It takes as long as the median creation.
async fn finish(sim: Arc<Shared>, team: Arc<str>, id: String, lifetime: Duration) {
    time::sleep(sim.config.world.create_median).await;
    let mut state = sim.state();
    match state.sandboxes.get(&id) {
        Some(sandbox) if sandbox.is_paused() => {
            let longest = sim.config.limits.max_lifetime;
            state.resume(&id, clock::after(clock::now(), lifetime.min(longest)));
        }
        // It was killed meanwhile.
        _ => state.teams.release(&team),
    }
}

/// Lets traffic wake a sandbox that is paused and resumes by itself; an answer is why it cannot.
pub(crate) async fn wake(sim: &Arc<Shared>, id: &str) -> Result<(), Response<Body>> {
    let lifetime = {
        let state = sim.state();
        let sandbox = state.sandboxes.get(id).filter(|sandbox| sandbox.is_paused());
        match sandbox {
            None => return Ok(()),
            Some(sandbox) if sandbox.auto_resume => sandbox.lifetime.max(DEFAULT_TIMEOUT),
            Some(sandbox) if sandbox.resuming => return Err(proxy::transitioning(id)),
            Some(_) => return Err(proxy::not_found(id)),
        }
    };
    match start(sim, None, id, lifetime).await {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.answer()),
    }
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
    let end_at = end_of(sim, running(&state, team, id)?, lifetime);
    state.live_until(id, end_at);
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// Refreshing never shortens a lifetime.
pub(super) fn refresh(
    sim: &Shared,
    team: &str,
    id: &str,
    body: &[u8],
) -> Result<Response<Body>, ApiError> {
    let asked: RefreshBody = parse(if body.is_empty() { b"{}" } else { body })?;
    let duration = u64::try_from(asked.duration.unwrap_or(0)).ok().filter(|d| *d <= MAX_REFRESH);
    let Some(duration) = duration else {
        let message = format!("Duration must be between 0 and {MAX_REFRESH}");
        return Err(ApiError::bad_request(message));
    };
    let mut state = sim.state();
    let sandbox = running(&state, team, id)?;
    let end_at = end_of(sim, sandbox, Duration::from_secs(duration)).max(sandbox.end_at);
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

fn running<'a>(state: &'a State, team: &str, id: &str) -> Result<&'a Sandbox, ApiError> {
    let sandbox = owned(state, team, id)?;
    if sandbox.is_paused() { Err(no_such(id)) } else { Ok(sandbox) }
}

fn conflict(message: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, message)
}

pub(super) fn owned<'a>(state: &'a State, team: &str, id: &str) -> Result<&'a Sandbox, ApiError> {
    let sandbox = state.sandboxes.get(id).filter(|sandbox| &*sandbox.team == team);
    sandbox.ok_or_else(|| no_such(id))
}

fn no_such(id: &str) -> ApiError {
    let message = format!("Sandbox \"{id}\" doesn't exist or you don't have access to it");
    ApiError::new(StatusCode::NOT_FOUND, message)
}
