//! Listing a team's sandboxes.

use std::collections::BTreeMap;

use http::{HeaderValue, Response, StatusCode};

use super::{filter, page::Cursor, route::Version};
use crate::{
    answer::{self, ApiError},
    body::Body,
    clock,
    sandbox::Sandbox,
    sim::Shared,
};

const MAX_LIMIT: usize = 100;

/// What a list is restricted to.
#[derive(Debug)]
struct Query {
    metadata: BTreeMap<String, String>,
    running: bool,
    paused: bool,
    oldest_first: bool,
    limit: usize,
    after: Option<Cursor>,
}

impl Query {
    fn parse(query: &str, version: Version) -> Result<Self, ApiError> {
        let mut parsed = Self {
            metadata: BTreeMap::new(),
            running: true,
            // The first version of the call knows no sandboxes that are paused.
            paused: version == Version::Two,
            oldest_first: false,
            limit: MAX_LIMIT,
            after: None,
        };
        let mut states = Vec::new();
        for (name, value) in filter::parameters(query)? {
            match name.as_str() {
                "metadata" => parsed.metadata = filter::metadata(&value)?,
                "state" => states.extend(value.split(',').map(str::to_owned)),
                "limit" => parsed.limit = limit(&value)?,
                "order" if value == "asc" => parsed.oldest_first = true,
                "order" if value == "desc" => parsed.oldest_first = false,
                "order" => {
                    return Err(ApiError::bad_request(format!("Invalid order: {value}")));
                }
                "nextToken" => parsed.after = Some(cursor(&value)?),
                _ => {}
            }
        }
        if let Some(unknown) = states.iter().find(|s| !matches!(s.as_str(), "running" | "paused")) {
            return Err(ApiError::bad_request(format!("Invalid state: {unknown}")));
        }
        if !states.is_empty() {
            let asked = |wanted: &str| states.iter().any(|state| state == wanted);
            parsed.running = asked("running");
            parsed.paused = version == Version::Two && asked("paused");
        }
        Ok(parsed)
    }

    fn wants(&self, sandbox: &Sandbox) -> bool {
        let wanted = |(key, value)| sandbox.metadata.get(key) == Some(value);
        let state = if sandbox.is_paused() { self.paused } else { self.running };
        state && self.metadata.iter().all(wanted)
    }
}

/// The newest sandboxes first, unless asked otherwise; the first version of the call knows no pages.
pub(super) fn list(
    sim: &Shared,
    team: &str,
    version: Version,
    query: &str,
) -> Result<Response<Body>, ApiError> {
    let query = Query::parse(query, version)?;
    let (mut state, now) = (sim.state(), clock::now());
    let owned = state.sandboxes.values().filter(|sandbox| &*sandbox.team == team);
    let owned = owned.filter(|sandbox| sandbox.listed_from <= now);
    let mut wanted: Vec<_> = owned.filter(|sandbox| query.wants(sandbox)).collect();
    wanted.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.record.create));
    if query.oldest_first {
        wanted.reverse();
    }
    let total = wanted.iter().filter(|sandbox| !sandbox.is_paused()).count();
    if let Some(Cursor(last)) = query.after {
        let oldest_first = query.oldest_first;
        wanted.retain(|sandbox| {
            let create = sandbox.record.create;
            if oldest_first { create > last } else { create < last }
        });
    }
    let limit = if version == Version::One { usize::MAX } else { query.limit };
    let more = wanted.len() > limit;
    wanted.truncate(limit);
    let last = wanted.last().filter(|_| more).map(|last| last.record.create);
    let page: Vec<_> = wanted.iter().map(|sandbox| sandbox.listed(sim)).collect();
    let told: Vec<_> = wanted.iter().map(|sandbox| sandbox.record.id.clone()).collect();
    told.iter().for_each(|id| state.note_found(id, sim.since_began(now)));
    let mut answer = answer::json(StatusCode::OK, &page);
    if version == Version::One {
        return Ok(answer);
    }
    answer.headers_mut().insert("x-total-running", HeaderValue::from(total));
    if let Some(last) = last {
        let token = HeaderValue::try_from(Cursor(last).token());
        token.into_iter().for_each(|token| {
            answer.headers_mut().insert("x-next-token", token);
        });
    }
    Ok(answer)
}

fn limit(value: &str) -> Result<usize, ApiError> {
    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| ApiError::bad_request(format!("Invalid limit: {value}")))
}

fn cursor(token: &str) -> Result<Cursor, ApiError> {
    Cursor::parse(token).ok_or_else(|| ApiError::bad_request("Invalid next token"))
}
