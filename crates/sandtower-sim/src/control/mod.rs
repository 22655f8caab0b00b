//! The control plane: one module for each route.

mod connect;
mod create;
mod describe;
mod fork;
mod info;
mod kill;
mod list;
mod logs;
mod metrics;
mod network;
mod page;
mod pause;
mod refreshes;
mod resume;
mod route;
mod snapshots;
mod templates;
mod timeout;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokio::time::{self, Instant};

use crate::body::Body;
use crate::dice::{Subject, dice, letters};
use crate::gcra::Answer as RateAnswer;
use crate::placement::Failure;
use crate::proxy::Destination;
use crate::query::Query;
use crate::request::Received;
use crate::response::{self, ApiError, not_simulated};
use crate::state::resume::Resumption;
use crate::state::sandbox::{CPU_COUNT, DISK_SIZE_MB, MEMORY_MB, Sandbox};
use crate::state::teams::TooManyTeams;
use crate::state::{Shared, State, no_such, owned};
use crate::{clock, date, json, query};

use route::{Handler, Matched};

/// The longest body that is read, in bytes. What a sandbox keeps of it is bounded by this.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// API keys longer than this are no keys.
const MAX_KEY: usize = 256;

type Outcome = Result<Response<Body>, ApiError>;

/// A request that has arrived and was counted.
pub(crate) struct Arrival {
    matched: Result<Matched, ApiError>,
    /// Which creation this is, counted from 1, if it is one.
    create: u64,
}

/// A request that its team may send.
#[derive(Clone, Copy)]
struct Call<'a> {
    sim: &'a Arc<Shared>,
    team: &'a Arc<str>,
    /// The sandbox's id, or the other name in the path.
    id: &'a str,
    number: u64,
    parts: &'a Parts,
    body: &'a [u8],
}

impl Arrival {
    /// Counts a request.
    pub(crate) fn note(sim: &Shared, parts: &Parts) -> Self {
        let matched = Matched::of(&parts.method, parts.uri.path());
        let name = matched.as_ref().map_or("unknown", |matched| matched.name);
        let creates = matched.as_ref().is_ok_and(Matched::creates);
        let mut state = sim.state();
        *state.requests.entry(name).or_default() += 1;
        state.creates.received += u64::from(creates);
        Self { matched, create: state.creates.received }
    }

    /// Counts its response.
    pub(crate) fn note_response(&self, sim: &Shared, status: StatusCode) {
        if self.matched.as_ref().is_ok_and(Matched::creates) && !status.is_success() {
            *sim.state().creates.rejected.entry(status.as_u16()).or_default() += 1;
        }
    }
}

impl Matched {
    fn creates(&self) -> bool {
        matches!(self.handler, Handler::Create(_))
    }
}

/// What the ledger calls a request.
pub(crate) fn name(parts: &Parts) -> &'static str {
    Matched::of(&parts.method, parts.uri.path()).map_or("unknown", |matched| matched.name)
}

/// Counts a request that got its response in the place of the control plane.
pub(crate) fn note_replaced(
    sim: &Shared,
    parts: &Parts,
    to: &Destination,
    status: Option<StatusCode>,
) {
    if *to == Destination::ControlPlane {
        let arrival = Arrival::note(sim, parts);
        status.into_iter().for_each(|status| arrival.note_response(sim, status));
    }
}

/// The response to a request.
pub(crate) async fn respond(
    sim: &Arc<Shared>,
    arrival: &Arrival,
    request: Received,
) -> Response<Body> {
    let matched = match &arrival.matched {
        Ok(Matched { handler: Handler::Health, .. }) => {
            return response::text(200, "Health check successful");
        }
        Ok(matched) => matched,
        Err(error) => return error.response(),
    };
    let team = match team(sim, &request.parts.headers) {
        Ok(team) => team,
        Err(error) => return error.response(),
    };
    if sim.config.blocked_keys.iter().any(|blocked| *blocked == *team)
        && !matches!(request.parts.method, Method::GET | Method::DELETE)
    {
        let message = "Team is blocked: its payment is overdue";
        return ApiError::new(403, message).response();
    }
    let Ok(rate) = take(sim, &team, matched) else {
        // The balancer's response.
        return response::text(429, "Too Many Requests");
    };
    let outcome = match rate.retry_after {
        None => perform(sim, arrival.create, matched, &team, request).await,
        Some(_) => Err(ApiError::new(429, "Rate limit exceeded")),
    };
    let mut response = outcome.unwrap_or_else(|error| error.response());
    rate.write(response.headers_mut());
    response
}

/// What the balancer says in place of a response that takes too long.
pub(crate) fn balancer_timeout() -> Response<Body> {
    response::text(504, "upstream request timeout")
}

async fn perform(
    sim: &Arc<Shared>,
    number: u64,
    matched: &Matched,
    team: &Arc<str>,
    request: Received,
) -> Outcome {
    let Received { parts, body } = request;
    let body = body.map_err(|_| ApiError::bad_request("http: request body too large"))?;
    let call = Call { sim, team, id: &matched.id, number, parts: &parts, body: &body };
    if let Handler::Create(version) = matched.handler {
        return create::create(call, version).await;
    }
    time::sleep(sim.config.world.api_latency).await;
    match matched.handler {
        Handler::Now(respond) => respond(call),
        Handler::Later(respond) => respond(call).await,
        Handler::Health | Handler::Create(_) | Handler::NotSimulated => {
            if parts.uri.path().contains("sandboxes/") {
                owned(&sim.state(), team, call.id)?;
            }
            Err(not_simulated(format_args!("{} {}", parts.method, parts.uri.path())))
        }
    }
}

impl Call<'_> {
    /// Reads the query of a route that knows these parameters.
    fn query(&self, known: &[&str]) -> Result<Query, ApiError> {
        Query::parse(self.parts.uri.query(), known)
    }

    /// Reads a body that is a JSON object.
    fn parse<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        json::object(self.body)
            .map_err(|error| ApiError::bad_request(format!("Error when parsing request: {error}")))
    }

    /// Reads a body that may be left out.
    fn parse_optional<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.body.is_empty() { Ok(T::default()) } else { self.parse() }
    }

    /// The lifetime that a request asks for, if the plan allows it.
    fn lifetime(&self, seconds: u32) -> Result<Duration, ApiError> {
        let longest = self.sim.config.limits.max_lifetime;
        let asked = Duration::from_secs(seconds.into());
        if asked > longest {
            let hours = longest.as_secs() / 3600;
            return Err(ApiError::bad_request(format!(
                "Timeout cannot be greater than {hours} hours"
            )));
        }
        Ok(asked)
    }

    /// As [`lifetime`](Self::lifetime), for what is to start: it must be more than zero.
    fn new_lifetime(&self, seconds: i32) -> Result<Duration, ApiError> {
        match u32::try_from(seconds) {
            Ok(seconds) if seconds > 0 => self.lifetime(seconds),
            _ => Err(ApiError::bad_request("Timeout must be greater than 0")),
        }
    }

    /// When a sandbox ends that lives for `lifetime` from now: never later than the plan allows.
    fn end_of(&self, sandbox: &Sandbox, lifetime: Duration) -> Instant {
        let longest = self.sim.config.limits.max_lifetime;
        clock::after(clock::now(), lifetime).min(clock::after(sandbox.started_at, longest))
    }

    /// The sandbox, if it runs.
    fn running<'a>(&self, state: &'a State) -> Result<&'a Sandbox, ApiError> {
        let sandbox = owned(state, self.team, self.id)?;
        if sandbox.is_paused() { Err(no_such(self.id)) } else { Ok(sandbox) }
    }
}

fn conflict(message: String) -> ApiError {
    ApiError::new(409, message)
}

/// The team that a key stands for.
fn team(sim: &Shared, headers: &HeaderMap) -> Result<Arc<str>, ApiError> {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
    let accepted = match &sim.config.api_keys {
        Some(keys) => keys.iter().any(|accepted| accepted == key),
        None => key.len() <= MAX_KEY && key.strip_prefix("e2b_").is_some_and(|k| !k.is_empty()),
    };
    if accepted {
        Ok(key.into())
    } else {
        let message = if key.is_empty() { "Missing API key" } else { "Invalid API key" };
        Err(ApiError::new(401, message))
    }
}

fn take(sim: &Shared, team: &Arc<str>, matched: &Matched) -> Result<RateAnswer, TooManyTeams> {
    let creates = matched.creates();
    let limits = &sim.config.limits;
    let mut state = sim.state();
    let rate = state.teams.take(team, matched.name, creates, limits, clock::now())?;
    state.creates.rate_limited += u64::from(creates && rate.retry_after.is_some());
    Ok(rate)
}
