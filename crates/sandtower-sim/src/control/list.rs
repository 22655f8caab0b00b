//! `GET /sandboxes`, `GET /v2/sandboxes`: the newest first, filtered by metadata, state, template and
//! start; the first version knows no paused sandboxes and no pages.

use super::page::Page;
use super::route::Version;
use super::*;

const KNOWN: &[&str] =
    &["metadata", "state", "order", "startedAfter", "template", "limit", "nextToken"];

pub(super) fn list(call: Call<'_>, version: Version) -> Outcome {
    let one = version == Version::One;
    let query = call.query(if one { &KNOWN[..2] } else { KNOWN })?;
    let metadata = query.get("metadata").map(query::metadata).transpose()?.unwrap_or_default();
    let states = query.list("state");
    if let Some(unknown) = states.iter().find(|state| !matches!(**state, "running" | "paused")) {
        return Err(ApiError::bad_request(format!("Invalid state: {unknown}")));
    }
    let in_state = |state| if states.is_empty() { true } else { states.contains(&state) };
    let ascending = query.word("order", &["asc", "desc"])? == Some("asc");
    let started_after = query.get("startedAfter").filter(|_| !one).map(|text| {
        let date = date::parse(text);
        date.ok_or_else(|| ApiError::bad_request(format!("Invalid startedAfter: {text}")))
    });
    let (started_after, page) = (started_after.transpose()?, Page::of(&query)?);
    let template = query.get("template").filter(|_| !one);

    let (sim, mut state, now) = (call.sim, call.sim.state(), clock::now());
    let is_wanted = |sandbox: &&Sandbox| {
        let settings = &sandbox.settings;
        let is_in_state =
            if sandbox.is_paused() { !one && in_state("paused") } else { in_state("running") };
        let named = |name| name == settings.template || name == settings.template_id;
        sandbox.team == *call.team
            && sandbox.listed_from <= now
            && is_in_state
            && metadata.iter().all(|(key, value)| settings.metadata.get(key) == Some(value))
            && template.is_none_or(named)
            && started_after.is_none_or(|after| sim.date(sandbox.started_at) >= after)
    };
    let mut wanted: Vec<_> = state.sandboxes.values().filter(is_wanted).collect();
    wanted.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.record.create));
    if ascending {
        wanted.reverse();
    }
    let total = wanted.iter().filter(|sandbox| !sandbox.is_paused()).count();
    let mut headers = http::HeaderMap::new();
    if !one {
        headers = page.cut(&mut wanted, |sandbox| sandbox.record.create, ascending);
        headers.insert("x-total-running", HeaderValue::from(total));
    }
    let listed: Vec<_> = wanted.iter().map(|sandbox| describe::listed(sim, sandbox)).collect();
    let ids: Vec<_> = wanted.iter().map(|sandbox| sandbox.record.id.clone()).collect();
    ids.iter().for_each(|id| state.note_found(id, sim.since_began(now)));
    let mut response = response::json(200, &listed);
    response.headers_mut().extend(headers);
    Ok(response)
}
