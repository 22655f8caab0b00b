//! How the control plane describes a sandbox.

use serde_json::json;

use super::*;

const CLIENT_ID: &str = "6532622b";

/// A sandbox for the caller who creates it or connects to it.
pub(super) fn brief(sandbox: &Sandbox) -> Value {
    let settings = &sandbox.settings;
    json!({
        "templateID": settings.template_id,
        "sandboxID": sandbox.record.id,
        "alias": settings.template,
        "clientID": CLIENT_ID,
        "envdVersion": &*settings.envd_version,
        "envdAccessToken": sandbox.access_token,
        "trafficAccessToken": sandbox.traffic_token,
        "domain": null,
    })
}

/// A sandbox in a list.
pub(super) fn listed(sim: &Shared, sandbox: &Sandbox) -> Value {
    let settings = &sandbox.settings;
    json!({
        "templateID": settings.template_id,
        "sandboxID": sandbox.record.id,
        "alias": settings.template,
        "clientID": CLIENT_ID,
        "envdVersion": &*settings.envd_version,
        "startedAt": date::rfc3339(sim.date(sandbox.started_at)),
        "endAt": date::rfc3339(sim.date(sandbox.end_at)),
        "cpuCount": CPU_COUNT,
        "memoryMB": MEMORY_MB,
        "diskSizeMB": DISK_SIZE_MB,
        "metadata": settings.metadata,
        "state": if sandbox.is_paused() { "paused" } else { "running" },
    })
}

/// A sandbox alone.
pub(super) fn detail(sim: &Shared, sandbox: &Sandbox) -> Value {
    let settings = &sandbox.settings;
    let mut detail = listed(sim, sandbox);
    detail["envdAccessToken"] = json!(sandbox.access_token);
    detail["domain"] = Value::Null;
    detail["allowInternetAccess"] = json!(settings.allow_internet_access);
    let on_timeout = if settings.auto_pause { "pause" } else { "kill" };
    detail["lifecycle"] = json!({ "autoResume": settings.auto_resume, "onTimeout": on_timeout });
    if let Some(network) = &settings.network {
        detail["network"] = network.clone();
    }
    if sandbox.is_paused() {
        detail["pauseMode"] = json!(if sandbox.has_memory { "full" } else { "filesystem" });
    }
    detail
}
