//! `POST /sandboxes/{id}/connect`: 200, or 201 when it resumed the sandbox. It never shortens a
//! lifetime; a timeout of zero is allowed, one above the plan's is a 400.

use super::route::Version;
use super::*;
use crate::state::resume::{self, Started};

/// The timeout of a connection that gives none, in seconds; the first version has none.
const DEFAULT_TIMEOUT: u32 = 300;

#[derive(Debug, Default, Deserialize)]
struct Request {
    timeout: Option<u32>,
    memory: Option<bool>,
}

pub(super) async fn connect(call: Call<'_>, version: Version) -> Outcome {
    let request: Request = match version {
        Version::One => call.parse()?,
        Version::Two => call.parse_optional()?,
    };
    let timeout = match (request.timeout, version) {
        (None, Version::One) => {
            return Err(ApiError::bad_request(
                "Error when parsing request: property \"timeout\" is missing",
            ));
        }
        (timeout, _) => timeout.unwrap_or(DEFAULT_TIMEOUT),
    };
    let lifetime = call.lifetime(timeout)?;
    let how = Resumption { lifetime, memory: request.memory.unwrap_or(true) };
    let status = match resume::start(call.sim, Some(call.team), call.id, how).await? {
        Started::Resumed => 201,
        Started::Ran => 200,
    };
    let mut state = call.sim.state();
    let sandbox = owned(&state, call.team, call.id)?;
    let brief = describe::brief(sandbox);
    let later = call.end_of(sandbox, lifetime).max(sandbox.end_at);
    state.live_until(call.id, later);
    Ok(response::json(status, &brief))
}
