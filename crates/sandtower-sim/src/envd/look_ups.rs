//! `GET /health`: 204 without a token; `GET /metrics`, `GET /envs`: with one.

use std::time::SystemTime;

use super::*;
use crate::response::With as _;
use crate::state::sandbox::{CPU_COUNT, MEMORY_MB};

pub(super) fn health() -> Response<Body> {
    response::empty(204).with(CACHE_CONTROL, "no-store")
}

pub(super) fn metrics(sim: &Shared, files: &Files) -> Response<Body> {
    let now = sim.date(clock::now()).duration_since(SystemTime::UNIX_EPOCH);
    let memory = u64::from(MEMORY_MB);
    let body = serde_json::json!({
        "ts": now.unwrap_or_default().as_secs(),
        "cpu_count": CPU_COUNT,
        "cpu_used_pct": 0,
        "mem_total_mib": memory,
        "mem_used_mib": memory / 8,
        "mem_total": memory << 20,
        "mem_used": memory << 17,
        "mem_cache": 0,
        "disk_used": files.used(),
        "disk_total": files.capacity(),
    });
    plain_json(&body)
}

pub(super) fn environment(id: &str, target: &Target) -> Response<Body> {
    let mut all = target.environment.clone();
    all.insert(String::from("E2B_SANDBOX"), String::from("true"));
    all.insert(String::from("E2B_SANDBOX_ID"), id.to_owned());
    plain_json(&all)
}

/// JSON as these look-ups send it.
fn plain_json(value: &impl serde::Serialize) -> Response<Body> {
    response::json(200, value)
        .with(CONTENT_TYPE, "application/json")
        .with(CACHE_CONTROL, "no-store")
}
