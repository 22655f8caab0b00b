use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State as Extract};
use axum::http::StatusCode;
use axum::response::Json;
use sandtower::circuit_breaker::{CircuitBreaker, State as BreakerState};
use sandtower::e2b::{Error, SandboxId};
use serde_json::{Value, json};

use super::Failed;
use crate::admin::State;
use crate::admin::board::Reading;
use crate::gateway::Shared;
use crate::generation::Generation;
use crate::keys::KeyStack;

/// How long killing a sandbox may take, its retries included.
const KILL: Duration = Duration::from_secs(30);

type Done = Result<Json<Value>, Failed>;

/// The stack of this name.
pub(super) fn stack_of<'s>(stacks: &'s [Reading], name: &str) -> Result<&'s Reading, Failed> {
    stacks.iter().find(|stack| stack.name == name).ok_or_else(|| {
        Failed::not_found("no stack has this name; it is `data_plane`, or `key_` and a hash, after the name of its place and a \
             dot if that is not home")
    })
}

/// Does something to the breaker of this name, or to each that is not closed or is forced.
fn each_breaker(state: &State, name: &str, act: fn(&CircuitBreaker)) -> Done {
    let core = state.board.core();
    let chosen: Vec<&Reading> = match name {
        "all" => {
            let stacks = core.stacks.iter();
            stacks
                .filter(|it| it.breaker.forced || it.breaker.state != BreakerState::Closed)
                .collect()
        }
        name => vec![stack_of(&core.stacks, name)?],
    };
    let now = chosen.iter().map(|stack| {
        let breaker = stack.circuit_breaker();
        act(breaker);
        (stack.name.clone(), json!(breaker.snapshot().state))
    });
    Ok(Json(json!({"breakers": now.collect::<serde_json::Map<_, _>>()})))
}

pub(in crate::admin) async fn reset(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
) -> Done {
    each_breaker(&state, &name, CircuitBreaker::reset)
}

pub(in crate::admin) async fn release(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
) -> Done {
    each_breaker(&state, &name, CircuitBreaker::release)
}

pub(in crate::admin) async fn force_open(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
) -> Done {
    one_breaker(&state, &name, CircuitBreaker::force_open)
}

pub(in crate::admin) async fn force_closed(
    Extract(state): Extract<Arc<State>>,
    Path(name): Path<String>,
) -> Done {
    one_breaker(&state, &name, CircuitBreaker::force_closed)
}

/// Forcing all of them by one word is too easy.
fn one_breaker(state: &State, name: &str, act: fn(&CircuitBreaker)) -> Done {
    if name == "all" {
        return Err(Failed::invalid(
            "name one circuit breaker: `all` can only be reset or released",
        ));
    }
    each_breaker(state, name, act)
}

/// Kills a sandbox, with the key that it was created with.
pub(in crate::admin) async fn kill(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
) -> Done {
    let id: SandboxId = id.parse().map_err(|error| Failed::invalid(format!("{error}")))?;
    let stacks = owners(&state, &id)?;
    let shared = &state.board.gateway().shared;
    let killed = match tokio::time::timeout(KILL, kill_with(&stacks, &id)).await {
        Ok(killed) => killed.map_err(|error| {
            Failed::new(StatusCode::BAD_GATEWAY, format!("the sandbox was not killed: {error}"))
        })?,
        Err(_) => {
            let why = "the sandbox was not killed within 30 s; the kill may still take effect";
            return Err(Failed::new(StatusCode::GATEWAY_TIMEOUT, why));
        }
    };
    shared.sandboxes.gone(&id);
    shared.virtual_keys.stopped(&id).await;
    Ok(Json(json!({"sandbox": id.as_str(), "killed": killed})))
}

/// Kills it where it is: `false` if it is not there.
async fn kill_with(stacks: &[Arc<KeyStack>], id: &SandboxId) -> Result<bool, Error> {
    let mut failed = None;
    for stack in stacks {
        match stack.client(stack.place().operators()).kill(id).await {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(false), Err)
}

/// The stacks of the owner's key where the sandbox is, or of each place if that is not known.
fn owners(state: &State, id: &SandboxId) -> Result<Vec<Arc<KeyStack>>, Failed> {
    let shared = &state.board.gateway().shared;
    let generation = shared.generation.load();
    let at_home = owner(shared, &generation, id)?;
    let home = shared.sandboxes.home_of(id);
    let places = generation
        .places()
        .filter(|place| home.as_ref().is_none_or(|home| *home == place.place.name));
    Ok(places.filter_map(|place| place.counterpart(&at_home).ok().flatten()).collect())
}

/// The owner's stack at home.
fn owner(
    shared: &Shared,
    generation: &Generation,
    id: &SandboxId,
) -> Result<Arc<KeyStack>, Failed> {
    if let Some(key) = shared.virtual_keys.owner_of(id) {
        return generation.home.named(key.upstream()).ok_or_else(|| {
            Failed::new(
                StatusCode::CONFLICT,
                "the key of E2B that it was created with is not configured",
            )
        });
    }
    let Some(tenant) = shared.sandboxes.tenant_of(id) else {
        return Err(Failed::not_found(
            "the gateway does not know this sandbox, or not whose it is: its owner can kill it",
        ));
    };
    let all = generation.home.keys.all();
    all.into_iter().find(|(id, _)| *id == tenant).map(|(_, stack)| stack).ok_or_else(|| {
        Failed::not_found("the key of this sandbox was not used for long: its owner can kill it")
    })
}

/// Ends the gateway as `SIGTERM` does.
pub(in crate::admin) async fn drain(
    Extract(state): Extract<Arc<State>>,
) -> (StatusCode, Json<Value>) {
    state.ending.send_replace(true);
    (StatusCode::ACCEPTED, Json(json!({"shuts_down": true})))
}

/// Reads the configuration again.
pub(in crate::admin) async fn reload(Extract(state): Extract<Arc<State>>) -> Done {
    let reloaded = state.reloading.reload().map_err(|error| Failed::invalid(error.to_string()))?;
    Ok(Json(json!({"needs_restart": reloaded.needs_restart})))
}
