//! The control plane.

mod create;
pub(crate) mod filter;
mod idempotency;
pub(crate) mod lifecycle;
mod list;
mod observe;
mod page;
mod route;

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, request::Parts};
use serde::de::DeserializeOwned;
use tokio::time;

use crate::{
    answer::{self, ApiError},
    body::Body,
    clock,
    gcra::Answer as RateAnswer,
    json,
    proxy::Destination,
    service::Received,
    sim::Shared,
};

pub(crate) use idempotency::Keys;
use route::Route;

/// The longest body that is read, in bytes. What a sandbox keeps of it is bounded by this.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// API keys longer than this are no keys.
const MAX_KEY: usize = 256;

/// A request that has arrived and was counted.
#[derive(Debug)]
pub(crate) struct Arrival {
    route: Result<Route, ApiError>,
    /// Which creation this is, counted from 1, if it is one.
    create: u64,
}

impl Arrival {
    /// Counts a request.
    pub(crate) fn note(sim: &Shared, parts: &Parts) -> Self {
        let route = Route::of(&parts.method, parts.uri.path());
        let name = route.as_ref().map_or("unknown", Route::name);
        let mut state = sim.state();
        *state.requests.entry(name).or_default() += 1;
        let creates = matches!(route, Ok(Route::Create(_)));
        state.creates.received += u64::from(creates);
        Self { route, create: state.creates.received }
    }

    /// Counts its answer.
    pub(crate) fn note_answer(&self, sim: &Shared, status: StatusCode) {
        if matches!(self.route, Ok(Route::Create(_))) && !status.is_success() {
            *sim.state().creates.refused.entry(status.as_u16()).or_default() += 1;
        }
    }
}

/// What the ledger calls a request.
pub(crate) fn name(parts: &Parts) -> &'static str {
    Route::of(&parts.method, parts.uri.path()).map_or("unknown", |route| route.name())
}

/// Counts a request that was answered in the place of the control plane.
pub(crate) fn note_refused(
    sim: &Shared,
    parts: &Parts,
    to: &Destination,
    status: Option<StatusCode>,
) {
    if *to == Destination::ControlPlane {
        let arrival = Arrival::note(sim, parts);
        status.into_iter().for_each(|status| arrival.note_answer(sim, status));
    }
}

/// The answer to a request.
pub(crate) async fn answer(
    sim: &Arc<Shared>,
    arrival: &Arrival,
    request: Received,
) -> Response<Body> {
    let route = match &arrival.route {
        Ok(Route::Health) => return answer::text(StatusCode::OK, "Health check successful"),
        Ok(route) => route,
        Err(refusal) => return refusal.answer(),
    };
    let team = match team(sim, &request.parts.headers) {
        Ok(team) => team,
        Err(refusal) => return refusal.answer(),
    };
    if sim.config.blocked_keys.iter().any(|blocked| *blocked == *team)
        && !matches!(request.parts.method, Method::GET | Method::DELETE)
    {
        let message = "Team is blocked: its payment is overdue";
        return ApiError::new(StatusCode::FORBIDDEN, message).answer();
    }
    let Ok(rate) = take(sim, &team, route) else { return balancer_limit() };
    let outcome = match rate.retry_after {
        None => perform(sim, arrival, route, &team, request).await,
        Some(_) => Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded")),
    };
    let mut answer = outcome.unwrap_or_else(|refusal| refusal.answer());
    rate.write(answer.headers_mut());
    answer
}

/// What the balancer says in place of an answer that takes too long.
pub(crate) fn balancer_timeout() -> Response<Body> {
    answer::text(StatusCode::GATEWAY_TIMEOUT, "upstream request timeout")
}

fn balancer_limit() -> Response<Body> {
    answer::text(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
}

async fn perform(
    sim: &Arc<Shared>,
    arrival: &Arrival,
    route: &Route,
    team: &Arc<str>,
    request: Received,
) -> Result<Response<Body>, ApiError> {
    let Received { parts, body } = request;
    let body = body.map_err(|_| ApiError::bad_request("http: request body too large"))?;
    if let Route::Create(version) = route {
        let request = create::Asked { number: arrival.create, version: *version, team };
        return create::create(sim, request, &parts.headers, &body).await;
    }
    time::sleep(sim.config.world.api_latency).await;
    match route {
        Route::List(version) => list::list(sim, team, *version, parts.uri.query().unwrap_or("")),
        Route::Info(id) => lifecycle::info(sim, team, id),
        Route::Kill(id) => lifecycle::kill(sim, team, id),
        Route::Connect(id) => lifecycle::connect(sim, team, id, &body).await,
        Route::Resume(id) => lifecycle::resume(sim, team, id, &body).await,
        Route::Pause(id) => lifecycle::pause(sim, team, id, &body),
        Route::Timeout(id) => lifecycle::timeout(sim, team, id, &body),
        Route::Refresh(id) => lifecycle::refresh(sim, team, id, &body),
        Route::Metrics(id) => observe::metrics(sim, team, id),
        Route::AllMetrics => observe::all_metrics(sim, team, parts.uri.query().unwrap_or("")),
        Route::Logs(version, id) => observe::logs(sim, team, id, *version),
        Route::Create(_) | Route::Health => Err(route::no_such_route()),
    }
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
        Err(ApiError::new(StatusCode::UNAUTHORIZED, message))
    }
}

fn take(
    sim: &Shared,
    team: &Arc<str>,
    route: &Route,
) -> Result<RateAnswer, crate::teams::TooManyTeams> {
    let creates = matches!(route, Route::Create(_));
    let limits = &sim.config.limits;
    let mut state = sim.state();
    let answer = state.teams.take(team, route.name(), creates, limits, clock::now())?;
    state.creates.rate_limited += u64::from(creates && answer.retry_after.is_some());
    Ok(answer)
}

/// Reads a body that is a JSON object.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    json::object(body)
        .map_err(|error| ApiError::bad_request(format!("Error when parsing request: {error}")))
}
