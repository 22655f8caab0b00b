//! `GET /files`: 200 or 206 with a file, as it is or in gzip.

use http::header::{ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_RANGE, LAST_MODIFIED, RANGE, VARY};

use super::files::failed;
use super::*;
use crate::response::With as _;

pub(super) fn read(
    sim: &Shared,
    files: &Files,
    query: &Query,
    user: &str,
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let path = rpc::resolve(query.get("path").unwrap_or_default(), user);
    let entry = files.entry(&path).map_err(|error| match error {
        FileError::NotFound | FileError::NotDirectory => {
            ApiError::new(404, format!("path '{path}' does not exist"))
        }
        error => failed(&path, error),
    })?;
    if entry.kind != Kind::File {
        return Err(ApiError::bad_request(format!("path '{path}' is a directory")));
    }
    let Some(coding) = accepted(headers) else {
        let message = "no acceptable encoding found, supported: [identity, gzip]";
        return Err(ApiError::new(406, message));
    };
    let content = files.read(&path).map_err(|error| failed(&path, error))?;
    // A part of a file is always sent as it is.
    if coding == Coding::Gzip && !headers.contains_key(RANGE) {
        let body = Body::whole(gzip::pack(&content));
        return Ok(described(200, body, &entry, &content).with(CONTENT_ENCODING, "gzip"));
    }
    let length = content.len();
    let (status, range) = range(headers, length);
    if status == 416 {
        return Ok(response::text(status, "invalid range: failed to overlap\n")
            .with(CONTENT_RANGE, format!("bytes */{length}")));
    }
    let response = described(status, Body::whole(content.slice(range.clone())), &entry, &content)
        .with(ACCEPT_RANGES, "bytes")
        .with(LAST_MODIFIED, httpdate::fmt_http_date(sim.date(entry.modified)));
    let (first, last) = (range.start, range.end.saturating_sub(1));
    Ok(match status {
        206 => response.with(CONTENT_RANGE, format!("bytes {first}-{last}/{length}")),
        _ => response,
    })
}

/// A response with what is said of a file in whatever form it is sent.
fn described(status: u16, body: Body, entry: &Entry, content: &[u8]) -> Response<Body> {
    let name: String = entry.name().chars().filter(|c| c.is_ascii_graphic()).collect();
    response::of(status, body)
        .with(CONTENT_DISPOSITION, format!("inline; filename={name}"))
        .with(CONTENT_TYPE, content_type(entry.name(), content))
        .with(VARY, "Accept-Encoding")
}

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
}

/// What a client likes best of what there is; it takes a file as it is unless it says otherwise.
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let value = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let mut codings: Vec<(String, f32)> = value
        .unwrap_or_default()
        .split(',')
        .map(|coding| {
            let (name, rest) = coding.split_once(';').unwrap_or((coding, ""));
            let quality = rest.trim().strip_prefix("q=").and_then(|q| q.parse().ok());
            (name.trim().to_ascii_lowercase(), quality.unwrap_or(1.0))
        })
        .collect();
    codings.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let identity_refused = codings.iter().any(|(name, q)| name == "identity" && *q <= 0.0);
    let best =
        codings.iter().filter(|(_, quality)| *quality > 0.0).find_map(|(name, _)| {
            match name.as_str() {
                "gzip" => Some(Coding::Gzip),
                "*" if identity_refused => Some(Coding::Gzip),
                "*" | "identity" => Some(Coding::Identity),
                _ => None,
            }
        });
    best.or((!identity_refused).then_some(Coding::Identity))
}

/// The part of a file that a request wants: the first of its ranges, or all.
fn range(headers: &HeaderMap, length: usize) -> (u16, std::ops::Range<usize>) {
    let whole = (200, 0..length);
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let Some(asked) = asked.and_then(|asked| asked.strip_prefix("bytes=")) else { return whole };
    let first = asked.split(',').next().unwrap_or_default().trim();
    let Some((start, end)) = first.split_once('-') else { return whole };
    let found = match (start.parse::<usize>(), end.parse::<usize>()) {
        (Ok(start), Ok(end)) if start <= end => start..end.saturating_add(1).min(length),
        (Ok(start), Err(_)) if end.is_empty() => start..length,
        (Err(_), Ok(last)) if start.is_empty() => length.saturating_sub(last)..length,
        _ => return whole,
    };
    if found.start >= found.end {
        return (416, 0..0);
    }
    (206, found)
}

fn content_type(name: &str, content: &[u8]) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "txt" | "log" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "html" | "htm" => "text/html; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "bin" => "application/octet-stream",
        _ if std::str::from_utf8(content).is_ok_and(|text| !text.contains('\0')) => {
            "text/plain; charset=utf-8"
        }
        _ => "application/octet-stream",
    }
}
