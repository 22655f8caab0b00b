//! `POST /sandboxes/{id}/refreshes`: 204; never shortens a lifetime. Less than 15 seconds is 15, more
//! than an hour a 400.

use super::*;

const MIN_REFRESH: u64 = 15;
const MAX_REFRESH: u64 = 3_600;

#[derive(Debug, Default, Deserialize)]
struct Request {
    duration: Option<i64>,
}

pub(super) fn refresh(call: Call<'_>) -> Outcome {
    let request: Request = call.parse_optional()?;
    let seconds = u64::try_from(request.duration.unwrap_or(0)).ok().filter(|s| *s <= MAX_REFRESH);
    let Some(seconds) = seconds else {
        let message = format!("Duration must be between 0 and {MAX_REFRESH}");
        return Err(ApiError::bad_request(message));
    };
    let mut state = call.sim.state();
    let sandbox = call.running(&state)?;
    let end_at = call.end_of(sandbox, Duration::from_secs(seconds.max(MIN_REFRESH)));
    let end_at = end_at.max(sandbox.end_at);
    state.live_until(call.id, end_at);
    Ok(response::empty(204))
}
