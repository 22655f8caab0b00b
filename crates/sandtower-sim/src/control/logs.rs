//! `GET /sandboxes/{id}/logs` from `start`, `GET /v2/sandboxes/{id}/logs` from `cursor` in a
//! `direction`, of a `level` and with a `search`: what happened to the sandbox, in milliseconds.

use serde_json::json;

use super::route::Version;
use super::*;

const MAX_LINES: u64 = 1_000;

pub(super) fn logs(call: Call<'_>, version: Version) -> Outcome {
    let known: &[&str] = match version {
        Version::One => &["start", "limit"],
        Version::Two => &["cursor", "limit", "direction", "level", "search"],
    };
    let query = call.query(known)?;
    let limit = query.number("limit", 0..=MAX_LINES)?.unwrap_or(MAX_LINES);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let state = call.sim.state();
    let log = &owned(&state, call.team, call.id)?.log;
    let mut entries: Vec<_> = log
        .iter()
        .map(|(at, message)| {
            let date = call.sim.date(*at);
            let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            (millis, date::rfc3339(date), *message)
        })
        .collect();
    let mut backward = false;
    if version == Version::Two {
        let cursor = query.number("cursor", 0..=u64::MAX)?;
        let level = query.word("level", &["debug", "info", "warn", "error"])?;
        let search = query.get("search").unwrap_or_default();
        backward = query.word("direction", &["forward", "backward"])? == Some("backward");
        entries.retain(|(millis, _, message)| {
            let is_in = |cursor| if backward { *millis <= cursor } else { *millis >= cursor };
            // A level is the least that is wanted.
            let is_wanted = !matches!(level, Some("warn" | "error")) && message.contains(search);
            is_wanted && cursor.is_none_or(is_in)
        });
    } else {
        let start = query.number("start", 0..=u64::MAX)?.unwrap_or(0);
        entries.retain(|(millis, ..)| *millis >= start);
    }
    if backward {
        entries.reverse();
    }
    entries.truncate(limit);
    let all: Vec<_> = entries.iter().map(|(_, timestamp, message)| {
        json!({ "timestamp": timestamp, "message": message, "level": "info", "fields": {} })
    }).collect();
    let lines = entries.iter();
    let lines = lines.map(|(_, timestamp, line)| json!({ "timestamp": timestamp, "line": line }));
    let body = match version {
        Version::Two => json!({ "logs": all }),
        Version::One => json!({ "logs": lines.collect::<Vec<_>>(), "logEntries": all }),
    };
    Ok(response::json(200, &body))
}
