//! `POST /sandboxes/{id}/snapshots`: 201 with a snapshot, from which sandboxes can be created;
//! `GET /snapshots` of a `sandboxID` or a `name`: the newest first. Processes are not copied.

use serde::Serialize;

use super::page::Page;
use super::*;
use crate::dice::number_of;
use crate::state::snapshots::{DEFAULT_TAG, Snapshot, split};

#[derive(Debug, Default, Deserialize)]
struct Request {
    name: Option<String>,
    memory: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Described {
    #[serde(rename = "snapshotID")]
    snapshot_id: String,
    names: Vec<String>,
    #[serde(skip)]
    number: u64,
}

impl Described {
    fn new(number: u64, snapshot: &Snapshot) -> Self {
        let names = snapshot.full_name().into_iter().collect();
        Self { snapshot_id: snapshot.id(), names, number }
    }
}

pub(super) fn create(call: Call<'_>) -> Outcome {
    let request: Request = call.parse_optional()?;
    let (name, tag) = match request.name.as_deref().map(split) {
        Some((name, tag)) if is_name(name) && tag.is_none_or(is_name) => (Some(name), tag),
        Some((name, _)) => return Err(ApiError::bad_request(format!("Invalid name: {name}"))),
        None => (None, None),
    };
    let (id, mut state) = (call.id, call.sim.state());
    let sandbox = owned(&state, call.team, id)?;
    if sandbox.is_paused() {
        let message = format!("Sandbox '{id}' cannot be snapshotted while in 'paused' state");
        return Err(conflict(message));
    }
    let busy = || {
        let message = format!(
            "Sandbox '{id}' cannot be snapshotted right now because its node is busy, please retry"
        );
        ApiError::new(503, message)
    };
    let files = sandbox.files.fork().map_err(|_| busy())?;
    let before = name.and_then(|name| state.snapshots.template_of(call.team, name));
    let number = number_of(id).wrapping_add(state.requests["sandbox_snapshot"]);
    let mut dice = dice(call.sim.config.seed, Subject::Snapshot, number);
    let snapshot = Snapshot {
        team: Arc::clone(call.team),
        sandbox: id.to_owned(),
        template_id: before.unwrap_or_else(|| letters(&mut dice, 20)),
        name: name.map(str::to_owned),
        tag: tag.unwrap_or(DEFAULT_TAG).to_owned(),
        has_memory: request.memory.unwrap_or(true),
        settings: sandbox.settings.clone(),
        files,
    };
    let described = Described::new(0, &snapshot);
    if !state.snapshots.add(snapshot) {
        return Err(busy());
    }
    Ok(response::json(201, &described))
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

pub(super) fn list(call: Call<'_>) -> Outcome {
    let query = call.query(&["sandboxID", "name", "limit", "nextToken"])?;
    let page = Page::of(&query)?;
    let sandbox = query.get("sandboxID").map(|id| id.split('-').next().unwrap_or_default());
    let (name, tag) = query.get("name").map(split).unzip();
    let state = call.sim.state();
    let wanted = |(_, snapshot): &(u64, &Snapshot)| {
        sandbox.is_none_or(|id| snapshot.sandbox == id)
            && name.is_none_or(|name| snapshot.name.as_deref() == Some(name))
            && tag.flatten().is_none_or(|tag| snapshot.tag == tag)
    };
    let snapshots = state.snapshots.of(call.team).filter(wanted);
    let mut all: Vec<_> =
        snapshots.map(|(number, snapshot)| Described::new(number, snapshot)).collect();
    let headers = page.cut(&mut all, |snapshot| snapshot.number, false);
    let mut response = response::json(200, &all);
    response.headers_mut().extend(headers);
    Ok(response)
}
