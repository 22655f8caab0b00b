//! `GET /sandboxes/{id}/metrics` from `start` to `end`, `GET /sandboxes/metrics?sandbox_ids=..` as of
//! now: nothing here costs any processor's time.

use serde_json::json;
use tokio::time::Instant;

use super::*;

/// Sandboxes that one request may ask about.
const MAX_SANDBOXES: usize = 100;

/// How a sandbox is at a moment, and that moment in seconds.
fn metric(sim: &Shared, sandbox: &Sandbox, at: Instant) -> (u64, Value) {
    let date = sim.date(at);
    let unix = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let memory = u64::from(MEMORY_MB) << 20;
    let metric = json!({
        "timestamp": date::rfc3339(date),
        "timestampUnix": unix,
        "cpuCount": CPU_COUNT,
        "cpuUsedPct": 0.0,
        "memUsed": memory / 8,
        "memTotal": memory,
        "memCache": 0,
        "diskUsed": sandbox.files.used(),
        "diskTotal": sandbox.files.capacity(),
    });
    (unix, metric)
}

/// As of the sandbox's start and as of now.
pub(super) fn metrics(call: Call<'_>) -> Outcome {
    let query = call.query(&["start", "end"])?;
    let start = query.number("start", 0..=u64::MAX)?.unwrap_or(0);
    let end = query.number("end", 0..=u64::MAX)?.unwrap_or(u64::MAX);
    let state = call.sim.state();
    let sandbox = owned(&state, call.team, call.id)?;
    let all = [sandbox.started_at, clock::now()].map(|at| metric(call.sim, sandbox, at));
    let asked = all.into_iter().filter(|(unix, _)| (start..=end).contains(unix));
    let asked: Vec<_> = asked.map(|(_, metric)| metric).collect();
    Ok(response::json(200, &asked))
}

/// Of several sandboxes; those that are not there are left out.
pub(super) fn all_metrics(call: Call<'_>) -> Outcome {
    let query = call.query(&["sandbox_ids"])?;
    let ids = query.list("sandbox_ids");
    if ids.is_empty() || ids.len() > MAX_SANDBOXES {
        let message = format!("sandbox_ids must name 1 to {MAX_SANDBOXES} sandboxes");
        return Err(ApiError::bad_request(message));
    }
    let state = call.sim.state();
    let owned = ids.into_iter().filter_map(|id| {
        let sandbox = owned(&state, call.team, id).ok()?;
        Some((id, metric(call.sim, sandbox, clock::now()).1))
    });
    let sandboxes: BTreeMap<_, _> = owned.collect();
    Ok(response::json(200, &json!({ "sandboxes": sandboxes })))
}
