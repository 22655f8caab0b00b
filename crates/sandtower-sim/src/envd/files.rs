//! `/files`: whole files over plain HTTP.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE,
        CONTENT_TYPE, LAST_MODIFIED, RANGE, VARY,
    },
    request::Parts,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{multipart, rpc};
use crate::{
    answer::{self, ApiError},
    body::Body,
    clock,
    control::filter,
    files::{self, Entry, FileError, Files, Kind},
    gzip,
    service::{Received, Unreadable},
    sim::Shared,
};

/// The longest body that is read of a file that is written: more would not fit.
pub(crate) const MAX_BODY: usize = 17 * 1024 * 1024;

/// What the query names.
#[derive(Debug, Default)]
struct Query {
    path: Option<String>,
    username: Option<String>,
    signature: Option<String>,
    expiration: Option<String>,
}

/// Who may ask: `token` is the sandbox's, if it has one.
#[derive(Debug)]
pub(super) struct Access<'a> {
    pub(super) token: Option<&'a str>,
    pub(super) shown: bool,
}

/// Answers a request for files.
pub(super) fn answer(
    sim: &Shared,
    files: &Files,
    access: &Access<'_>,
    request: &Received,
) -> Response<Body> {
    let outcome = Query::of(&request.parts).and_then(|query| {
        let writes = request.parts.method == Method::POST;
        access.check(sim, &query, writes)?;
        let user = user(&query)?;
        if writes {
            write(files, &query, &user, request)
        } else {
            read(sim, files, &query, &user, &request.parts.headers)
        }
    });
    outcome.unwrap_or_else(|error| error.of_envd())
}

impl Query {
    fn of(parts: &Parts) -> Result<Self, ApiError> {
        let mut query = Self::default();
        for (name, value) in filter::parameters(parts.uri.query().unwrap_or_default())? {
            match name.as_str() {
                "path" => query.path = Some(value),
                "username" => query.username = Some(value),
                "signature" => query.signature = Some(value),
                "signature_expiration" => query.expiration = Some(value),
                _ => {}
            }
        }
        Ok(query)
    }
}

impl Access<'_> {
    /// Lets in whoever shows the token, or what was signed with it.
    fn check(&self, sim: &Shared, query: &Query, writes: bool) -> Result<(), ApiError> {
        let Some(token) = self.token.filter(|_| !self.shown) else { return Ok(()) };
        let Some(signature) = &query.signature else {
            return Err(unauthorized("missing signature query parameter"));
        };
        let path = query.path.as_deref().unwrap_or_default();
        let user = query.username.as_deref().unwrap_or_default();
        let operation = if writes { "write" } else { "read" };
        let mut signed = format!("{path}:{operation}:{user}:{token}");
        if let Some(expiration) = &query.expiration {
            signed.push(':');
            signed.push_str(expiration);
        }
        let digest = STANDARD_NO_PAD.encode(Sha256::digest(signed));
        if *signature != format!("v1_{digest}") {
            return Err(unauthorized("invalid signature"));
        }
        let now = sim.date(clock::now()).duration_since(std::time::SystemTime::UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        match query.expiration.as_ref().map(|expiration| expiration.parse::<u64>()) {
            Some(Err(_)) => Err(ApiError::bad_request("invalid signature expiration")),
            Some(Ok(expiration)) if expiration < now => {
                Err(unauthorized("signature is already expired"))
            }
            _ => Ok(()),
        }
    }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, message)
}

fn user(query: &Query) -> Result<String, ApiError> {
    let name = query.username.as_deref().filter(|name| !name.is_empty()).unwrap_or("user");
    if files::is_user(name) {
        return Ok(name.to_owned());
    }
    Err(unauthorized(&format!("error looking up user '{name}': user: unknown user {name}")))
}

fn read(
    sim: &Shared,
    files: &Files,
    query: &Query,
    user: &str,
    headers: &HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let path = rpc::resolve(query.path.as_deref().unwrap_or_default(), user);
    let entry = files.entry(&path).map_err(|error| match error {
        FileError::NotFound | FileError::NotDirectory => {
            ApiError::new(StatusCode::NOT_FOUND, format!("path '{path}' does not exist"))
        }
        error => refused(&path, error),
    })?;
    if entry.kind != Kind::File {
        return Err(ApiError::bad_request(format!("path '{path}' is a directory")));
    }
    let Some(coding) = accepted(headers) else {
        let message = "no acceptable encoding found, supported: [identity, gzip]";
        return Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, message));
    };
    let content = files.read(&path).map_err(|error| refused(&path, error))?;
    // A part of a file is always sent as it is.
    if coding == Coding::Gzip && !headers.contains_key(RANGE) {
        let mut answer = described(Body::whole(gzip::pack(&content)), &entry, &content);
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        return Ok(answer);
    }
    let (status, range) = range(headers, content.len());
    if status == StatusCode::RANGE_NOT_SATISFIABLE {
        let mut answer = answer::text(status, "invalid range: failed to overlap\n");
        let all = HeaderValue::try_from(format!("bytes */{}", content.len()));
        all.into_iter().for_each(|all| drop(answer.headers_mut().insert(CONTENT_RANGE, all)));
        return Ok(answer);
    }
    let mut answer = described(Body::whole(content.slice(range.clone())), &entry, &content);
    *answer.status_mut() = status;
    let mut set = |field, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(field, value);
        }
    };
    set(ACCEPT_RANGES, String::from("bytes"));
    set(LAST_MODIFIED, httpdate::fmt_http_date(sim.date(entry.modified)));
    if status == StatusCode::PARTIAL_CONTENT {
        let (first, end) = (range.start, range.end);
        let last = end.saturating_sub(1);
        set(CONTENT_RANGE, format!("bytes {first}-{last}/{}", content.len()));
    }
    Ok(answer)
}

/// An answer with what is said of a file in whatever form it is sent.
fn described(body: Body, entry: &Entry, content: &[u8]) -> Response<Body> {
    let mut answer = Response::new(body);
    let name: String = entry.name().chars().filter(|c| c.is_ascii_graphic()).collect();
    let headers = answer.headers_mut();
    if let Ok(name) = HeaderValue::try_from(format!("inline; filename={name}")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    let content_type = content_type(entry.name(), content);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
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
fn range(headers: &HeaderMap, length: usize) -> (StatusCode, std::ops::Range<usize>) {
    let whole = (StatusCode::OK, 0..length);
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
        return (StatusCode::RANGE_NOT_SATISFIABLE, 0..0);
    }
    (StatusCode::PARTIAL_CONTENT, found)
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

#[derive(Debug, Serialize)]
struct Written {
    name: String,
    path: String,
    r#type: &'static str,
}

fn write(
    files: &Files,
    query: &Query,
    user: &str,
    request: &Received,
) -> Result<Response<Body>, ApiError> {
    let headers = &request.parts.headers;
    let plain = |coding: &&HeaderValue| *coding == "identity" || gzip::is_packed(headers);
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|coding| !plain(coding)) {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        return Err(not_unpacked(&format!(
            "unsupported Content-Encoding: {encoding}, supported: [gzip]"
        )));
    }
    let body = request.body.as_ref().map_err(|unreadable| match unreadable {
        Unreadable::TooLong => no_space(),
        Unreadable::Malformed => not_unpacked("failed to create gzip reader: gzip: invalid header"),
    })?;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let mut uploads = Vec::new();
    if content_type.split(';').next().map(str::trim) == Some("application/octet-stream") {
        let Some(path) = &query.path else {
            return Err(ApiError::bad_request("path is required for raw uploads"));
        };
        uploads.push((path.clone(), body.clone()));
    } else {
        let malformed = |multipart::Malformed(why)| {
            ApiError::bad_request(format!("error parsing multipart form: {why}"))
        };
        let boundary = multipart::boundary(content_type).map_err(malformed)?;
        for part in multipart::parts(body, &boundary).map_err(malformed)? {
            if part.name.as_deref() != Some("file") {
                continue;
            }
            let path = query.path.clone().or(part.filename).unwrap_or_default();
            uploads.push((path, part.content));
        }
    }
    let mut written: Vec<Written> = Vec::new();
    for (path, content) in uploads {
        let path = rpc::resolve(&path, user);
        if written.iter().any(|before| before.path == path) {
            return Err(ApiError::bad_request(format!(
                "you cannot upload multiple files to the same path '{path}' in one upload \
                 request, only the first specified file was uploaded"
            )));
        }
        files.upload(&path, content, user).map_err(|error| refused(&path, error))?;
        let entry = files.entry(&path).map_err(|error| refused(&path, error))?;
        written.push(Written { name: entry.name().to_owned(), path, r#type: "file" });
    }
    let mut answer = answer::json(StatusCode::OK, &written);
    // So the real one says, though it is JSON.
    let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(answer)
}

fn not_unpacked(why: &str) -> ApiError {
    ApiError::bad_request(format!("error decompressing request body: {why}"))
}

fn no_space() -> ApiError {
    ApiError::new(StatusCode::INSUFFICIENT_STORAGE, "not enough disk space available")
}

fn refused(path: &str, error: FileError) -> ApiError {
    match error {
        FileError::NoSpace => no_space(),
        FileError::IsDirectory => ApiError::bad_request(format!("path is a directory: {path}")),
        error => ApiError::bad_request(format!("error opening file '{path}': {error}")),
    }
}
