//! `POST /sandboxes/{id}/pause`: 204, and 409 for one that is paused already. `memory: false` keeps
//! the disk only, so that the sandbox boots when it resumes.

use super::*;

#[derive(Debug, Default, Deserialize)]
struct Request {
    memory: Option<bool>,
}

pub(super) fn pause(call: Call<'_>) -> Outcome {
    let request: Request = call.parse_optional()?;
    let (id, mut state) = (call.id, call.sim.state());
    if owned(&state, call.team, id)?.is_paused() {
        let message = format!("Error pausing sandbox - sandbox '{id}' is already paused");
        return Err(conflict(message));
    }
    if !state.pause(id, request.memory.unwrap_or(true)) {
        let message = "Failed to pause sandbox: node is busy, try again shortly";
        return Err(ApiError::new(503, message));
    }
    Ok(response::empty(204))
}
