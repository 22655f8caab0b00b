//! `GET /sandboxes/{id}`: 200 with the details of a sandbox that runs or is paused, else 404.

use super::*;

pub(super) fn info(call: Call<'_>) -> Outcome {
    let mut state = call.sim.state();
    let detail = describe::detail(call.sim, owned(&state, call.team, call.id)?);
    state.note_found(call.id, call.sim.since_began(clock::now()));
    Ok(response::json(200, &detail))
}
