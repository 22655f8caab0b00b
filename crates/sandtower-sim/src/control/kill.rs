//! `DELETE /sandboxes/{id}`: 204, or 404 for one that is not there any more.

use super::*;
use crate::state::no_such;

pub(super) fn kill(call: Call<'_>) -> Outcome {
    if call.sim.kill(call.id, call.team) { Ok(response::empty(204)) } else { Err(no_such(call.id)) }
}
