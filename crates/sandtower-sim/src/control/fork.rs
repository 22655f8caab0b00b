//! `POST /sandboxes/{id}/fork`: 201 with `count` sandboxes that start with the files and the settings of
//! one that runs, each of which succeeds or fails alone. Processes and code contexts are not copied.

use serde_json::json;
use tokio::task::JoinSet;

use super::*;

const DEFAULT_TIMEOUT: i32 = 15;
const MAX_COUNT: i64 = 100;

#[derive(Debug, Default, Deserialize)]
struct Request {
    timeout: Option<i32>,
    count: Option<i64>,
}

pub(super) async fn fork(call: Call<'_>) -> Outcome {
    let request: Request = call.parse_optional()?;
    let lifetime = call.new_lifetime(request.timeout.unwrap_or(DEFAULT_TIMEOUT))?;
    let drafts = drafts(call, count(call, request.count)?, lifetime)?;
    let mut forks = JoinSet::new();
    for (at, draft) in drafts.into_iter().enumerate() {
        let sim = call.sim.clone();
        forks.spawn(async move { (at, create::launch(&sim, draft).await) });
    }
    let mut results = forks.join_all().await;
    results.sort_by_key(|(at, _)| *at);
    let results: Vec<Value> = results
        .into_iter()
        .map(|(_, result)| match result {
            Ok((_, sandbox)) => {
                json!({ "sandbox": serde_json::from_slice::<Value>(&sandbox).unwrap_or_default() })
            }
            Err(error) => json!({ "error": error.json() }),
        })
        .collect();
    Ok(response::json(201, &results))
}

fn count(call: Call<'_>, asked: Option<i64>) -> Result<u32, ApiError> {
    let running = call.sim.config.limits.concurrent_sandboxes;
    let asked = asked.unwrap_or(1);
    let message = if asked < 1 {
        String::from("Count must be at least 1")
    } else if asked > MAX_COUNT {
        format!("Count cannot be greater than {MAX_COUNT}")
    } else if asked >= i64::from(running) {
        // The sandbox itself takes one of them.
        format!("Count must be lower than the maximum number of concurrent sandboxes ({running})")
    } else {
        return Ok(u32::try_from(asked).unwrap_or(1));
    };
    Err(ApiError::bad_request(message))
}

fn drafts(call: Call<'_>, count: u32, lifetime: Duration) -> Result<Vec<create::Draft>, ApiError> {
    let (id, mut state) = (call.id, call.sim.state());
    let sandbox = owned(&state, call.team, id)?;
    if sandbox.is_paused() {
        let message = format!("Sandbox '{id}' is paused and cannot be forked; resume it first");
        return Err(conflict(message));
    }
    let (settings, name) = (sandbox.settings.clone(), sandbox.record.call.clone());
    let files: Result<Vec<_>, _> = (0..count).map(|_| sandbox.files.fork()).collect();
    let files = files.map_err(|_| Failure::NoCapacity.error())?;
    let draft = |files| {
        state.creates.received += 1;
        create::Draft {
            number: state.creates.received,
            team: call.team.clone(),
            settings: settings.clone(),
            lifetime,
            files: Some((files, false)),
            call: name.clone(),
            key: None,
        }
    };
    Ok(files.into_iter().map(draft).collect())
}
