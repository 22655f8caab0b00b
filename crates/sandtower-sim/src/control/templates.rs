//! `GET /templates/aliases/{alias}`: 200 for a team's own, which are its named snapshots, 403 for those
//! of E2B, else 404. `GET /templates`, `GET /v2/templates`: E2B's own. `DELETE /templates/{id}`: of a
//! snapshot. Templates are built by [`Sim::rebuild`](crate::Sim::rebuild) alone.
//! `GET /volumes`, `GET /secrets`: there are none.

use serde_json::json;

use super::page::Page;
use super::route::Version;
use super::*;

pub(super) fn alias(call: Call<'_>) -> Outcome {
    let (alias, config) = (call.id, &call.sim.config);
    if let Some((_, snapshot)) = call.sim.state().snapshots.find(call.team, alias) {
        let body = json!({ "templateID": snapshot.template_id, "public": false });
        return Ok(response::json(200, &body));
    }
    let name = alias.strip_suffix(":default").unwrap_or(alias);
    if config.templates.iter().any(|(known, template)| known == name || template.id == name) {
        let message = "You don't have access to this template alias";
        return Err(ApiError::new(403, message));
    }
    Err(ApiError::new(404, format!("template '{alias}' not found")))
}

pub(super) fn list(call: Call<'_>, version: Version) -> Outcome {
    let one = version == Version::One;
    let known: &[&str] = if one { &["teamID"] } else { &["teamID", "limit", "nextToken"] };
    let query = call.query(known)?;
    let created_at = date::rfc3339(call.sim.config.epoch);
    let builds = call.sim.state().builds.clone();
    let templates = call.sim.config.templates.iter();
    let mut all: Vec<_> = templates
        .map(|(name, template)| {
            let build = builds.get(name).copied().unwrap_or(0);
            json!({
                "templateID": template.id,
                "buildID": format!("00000000-0000-4000-8000-{build:012x}"),
                "cpuCount": CPU_COUNT,
                "memoryMB": MEMORY_MB,
                "diskSizeMB": DISK_SIZE_MB,
                "public": true,
                "isDefault": true,
                "aliases": [name],
                "names": [name],
                "createdAt": created_at,
                "updatedAt": created_at,
                "createdBy": null,
                "lastSpawnedAt": null,
                "spawnCount": 0,
                "buildCount": 0,
                "envdVersion": &*template.envd_version,
                "buildStatus": "ready",
            })
        })
        .zip(1u64..)
        .collect();
    let mut headers = http::HeaderMap::new();
    if !one {
        headers = Page::of(&query)?.cut(&mut all, |(_, number)| *number, true);
    }
    let all: Vec<_> = all.into_iter().map(|(template, _)| template).collect();
    let mut response = response::json(200, &all);
    response.headers_mut().extend(headers);
    Ok(response)
}

pub(super) fn delete(call: Call<'_>) -> Outcome {
    if call.sim.state().snapshots.remove(call.team, call.id) {
        return Ok(response::empty(204));
    }
    Err(ApiError::new(404, format!("template '{}' not found", call.id)))
}

/// An empty list.
pub(super) fn none(call: Call<'_>) -> Outcome {
    call.query(&["limit", "nextToken"])?;
    Ok(response::json(200, &[(); 0]))
}
