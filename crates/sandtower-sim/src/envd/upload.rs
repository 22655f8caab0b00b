//! `POST /files`: 200 with what was written, of a form or of a raw body. `X-Metadata-*` headers are the
//! metadata of each file, in place of what it had.

use super::files::{failed, no_space};
use super::*;
use crate::files::Metadata;
use crate::response::With as _;

const METADATA: &str = "x-metadata-";
/// What the extended attributes of a file hold.
const MAX_METADATA: usize = 4_096;

#[derive(Debug, Serialize)]
struct Written {
    name: String,
    path: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

pub(super) fn write(
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
    let metadata = metadata(headers)?;
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let mut uploads = Vec::new();
    if media_type == "application/octet-stream" {
        let Some(path) = query.get("path") else {
            let message = "path query parameter is required for raw body upload";
            return Err(ApiError::bad_request(message));
        };
        uploads.push((path.to_owned(), body.clone()));
    } else if !media_type.starts_with("multipart/") {
        let message = format!(
            "unsupported content type: {content_type}, expected multipart/form-data or \
             application/octet-stream"
        );
        return Err(ApiError::bad_request(message));
    } else {
        let malformed = |multipart::Malformed(why)| {
            ApiError::bad_request(format!("error parsing multipart form: {why}"))
        };
        let boundary = multipart::boundary(content_type).map_err(malformed)?;
        for part in multipart::parts(body, &boundary).map_err(malformed)? {
            if part.name.as_deref() != Some("file") {
                continue;
            }
            let path = query.get("path").map(str::to_owned).or(part.filename).unwrap_or_default();
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
        files
            .upload(&path, content, user, metadata.clone())
            .map_err(|error| failed(&path, error))?;
        let entry = files.entry(&path).map_err(|error| failed(&path, error))?;
        let name = entry.name().to_owned();
        written.push(Written { name, path, r#type: "file", metadata: entry.metadata });
    }
    // So the real one says, though it is JSON.
    Ok(response::json(200, &written).with(CONTENT_TYPE, "text/plain; charset=utf-8"))
}

fn not_unpacked(why: &str) -> ApiError {
    ApiError::bad_request(format!("error decompressing request body: {why}"))
}

/// The metadata that a request's headers name.
fn metadata(headers: &HeaderMap) -> Result<Metadata, ApiError> {
    let mut metadata = Metadata::new();
    for name in headers.keys() {
        let Some(key) = name.as_str().strip_prefix(METADATA).filter(|key| !key.is_empty()) else {
            continue;
        };
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        let Some(value) = value.filter(|value| value.bytes().all(|b| (0x20..0x7f).contains(&b)))
        else {
            let message = format!("invalid metadata: the value of {key:?} is not printable ASCII");
            return Err(ApiError::bad_request(message));
        };
        metadata.insert(key.to_owned(), value.to_owned());
    }
    let held: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if held > MAX_METADATA {
        let message = "not enough space for file metadata: no space left on device";
        return Err(ApiError::new(507, message));
    }
    Ok(metadata)
}
