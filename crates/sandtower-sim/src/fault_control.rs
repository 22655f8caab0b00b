//! `/_sim/`: the ledger and the fault plan, over HTTP.

use http::{Method, Response};
use serde::{Deserialize, Serialize};

use crate::body::Body;
use crate::fault::{Fault, FaultPlan};
use crate::request::Received;
use crate::response::{self, ApiError};
use crate::state::Shared;
use crate::{clock, json};

/// The longest body that is read.
pub(crate) const MAX_BODY: usize = 256 * 1024;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    faults: Vec<Fault>,
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    faults: &'a [Fault],
}

/// The response to a request for the simulator itself.
pub(crate) fn respond(sim: &Shared, request: &Received) -> Response<Body> {
    let path = request.parts.uri.path();
    let name = match path {
        "/_sim/ledger" => "ledger",
        "/_sim/faults" => "faults",
        _ => "unknown",
    };
    *sim.state().requests.entry(name).or_default() += 1;
    match (&request.parts.method, path) {
        (&Method::GET, "/_sim/ledger") => response::json(200, &sim.ledger()),
        (&Method::GET, "/_sim/faults") => {
            response::json(200, &Told { faults: sim.state().faults.rules() })
        }
        (&Method::PUT, "/_sim/faults") => match set(sim, request) {
            Ok(()) => response::empty(204),
            Err(message) => ApiError::bad_request(message).response(),
        },
        (_, "/_sim/ledger" | "/_sim/faults") => ApiError::new(405, "method not allowed").response(),
        _ => ApiError::new(404, "no matching operation was found").response(),
    }
}

/// Replaces all faults; their times count from now.
fn set(sim: &Shared, request: &Received) -> Result<(), String> {
    let body = request.body.as_ref().map_err(|_| "the body is too large")?;
    let given: Given = json::object(body).map_err(|error| error.to_string())?;
    let faults = FaultPlan::new(given.faults, clock::now()).map_err(|error| error.to_string())?;
    sim.state().faults = faults;
    Ok(())
}
