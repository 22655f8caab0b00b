//! `POST /sandboxes/{id}/timeout`: 204; the sandbox ends so many seconds from now. Zero ends it at
//! once, and more than the plan allows is as much as it allows.

use super::*;

#[derive(Debug, Deserialize)]
struct Request {
    timeout: i32,
}

pub(super) fn timeout(call: Call<'_>) -> Outcome {
    let request: Request = call.parse()?;
    let Ok(seconds) = u64::try_from(request.timeout) else {
        let message = "Error when parsing request: \"timeout\" must be at least 0";
        return Err(ApiError::bad_request(message));
    };
    let mut state = call.sim.state();
    let end_at = call.end_of(call.running(&state)?, Duration::from_secs(seconds));
    state.live_until(call.id, end_at);
    Ok(response::empty(204))
}
