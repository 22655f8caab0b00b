//! `POST /sandboxes/{id}/resume`: the old way to resume; 201, or 409 for a sandbox that runs.

use super::*;
use crate::state::resume;

const DEFAULT_TIMEOUT: i32 = 15;

#[derive(Debug, Default, Deserialize)]
struct Request {
    timeout: Option<i32>,
    memory: Option<bool>,
}

pub(super) async fn resume(call: Call<'_>) -> Outcome {
    let request: Request = call.parse_optional()?;
    let lifetime = call.new_lifetime(request.timeout.unwrap_or(DEFAULT_TIMEOUT))?;
    let id = call.id;
    {
        let state = call.sim.state();
        let sandbox = owned(&state, call.team, id)?;
        if !sandbox.is_paused() {
            return Err(conflict(format!("Sandbox \"{id}\" is already running")));
        }
        if sandbox.resuming {
            let message = format!("Sandbox \"{id}\" is already being started");
            return Err(conflict(message).code("sandbox_start_in_flight"));
        }
    }
    let how = Resumption { lifetime, memory: request.memory.unwrap_or(true) };
    resume::start(call.sim, Some(call.team), id, how).await?;
    let state = call.sim.state();
    Ok(response::json(201, &describe::brief(owned(&state, call.team, id)?)))
}
