//! What the control plane tells of the inside of sandboxes: metrics and logs.

use http::{Response, StatusCode};
use serde::Serialize;
use tokio::time::Instant;

use super::{filter, lifecycle, route::Version};
use crate::{
    answer::{self, ApiError},
    body::Body,
    clock, date,
    sandbox::{CPU_COUNT, MEMORY_MB, Sandbox},
    sim::Shared,
};

/// Sandboxes that one request may ask about.
const MAX_ASKED: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    timestamp: String,
    timestamp_unix: u64,
    cpu_count: u32,
    cpu_used_pct: f64,
    mem_used: u64,
    mem_total: u64,
    mem_cache: u64,
    disk_used: u64,
    disk_total: u64,
}

impl Metric {
    /// How things are at a moment: nothing here costs any processor's time.
    fn at(sim: &Shared, sandbox: &Sandbox, at: Instant) -> Self {
        let date = sim.date(at);
        let unix = date.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mem_total = u64::from(MEMORY_MB) << 20;
        Self {
            timestamp: date::rfc3339(date),
            timestamp_unix: unix.as_secs(),
            cpu_count: CPU_COUNT,
            cpu_used_pct: 0.0,
            mem_used: mem_total / 8,
            mem_total,
            mem_cache: 0,
            disk_used: sandbox.files.used(),
            disk_total: sandbox.files.capacity(),
        }
    }
}

/// The metrics of one sandbox: as of its start and as of now.
pub(super) fn metrics(sim: &Shared, team: &str, id: &str) -> Result<Response<Body>, ApiError> {
    let state = sim.state();
    let sandbox = lifecycle::owned(&state, team, id)?;
    let times = [sandbox.started_at, clock::now()];
    Ok(answer::json(StatusCode::OK, &times.map(|at| Metric::at(sim, sandbox, at))))
}

/// The metrics of several sandboxes as of now; those that there are not are left out.
pub(super) fn all_metrics(
    sim: &Shared,
    team: &str,
    query: &str,
) -> Result<Response<Body>, ApiError> {
    let asked = filter::parameters(query)?;
    let ids = asked.iter().filter(|(name, _)| name == "sandbox_ids");
    let ids: Vec<&str> = ids.flat_map(|(_, ids)| ids.split(',')).collect();
    if ids.is_empty() || ids.len() > MAX_ASKED {
        let message = format!("sandbox_ids must name 1 to {MAX_ASKED} sandboxes");
        return Err(ApiError::bad_request(message));
    }
    let state = sim.state();
    let owned = ids.into_iter().filter_map(|id| {
        let sandbox = lifecycle::owned(&state, team, id).ok()?;
        Some((id, Metric::at(sim, sandbox, clock::now())))
    });
    let sandboxes: std::collections::BTreeMap<_, _> = owned.collect();
    Ok(answer::json(StatusCode::OK, &serde_json::json!({ "sandboxes": sandboxes })))
}

#[derive(Serialize)]
struct Line {
    timestamp: String,
    line: &'static str,
}

#[derive(Serialize)]
struct Entry {
    timestamp: String,
    message: &'static str,
    level: &'static str,
    fields: std::collections::BTreeMap<String, String>,
}

/// What a sandbox's log holds.
pub(super) fn logs(
    sim: &Shared,
    team: &str,
    id: &str,
    version: Version,
) -> Result<Response<Body>, ApiError> {
    let state = sim.state();
    let log = &lifecycle::owned(&state, team, id)?.log;
    let entries: Vec<_> = log
        .iter()
        .map(|(at, message)| Entry {
            timestamp: date::rfc3339(sim.date(*at)),
            message,
            level: "info",
            fields: std::collections::BTreeMap::new(),
        })
        .collect();
    if version == Version::Two {
        return Ok(answer::json(StatusCode::OK, &serde_json::json!({ "logs": entries })));
    }
    let line = |(at, line): &(Instant, &'static str)| Line {
        timestamp: date::rfc3339(sim.date(*at)),
        line,
    };
    let lines: Vec<_> = log.iter().map(line).collect();
    let body = serde_json::json!({ "logs": lines, "logEntries": entries });
    Ok(answer::json(StatusCode::OK, &body))
}
