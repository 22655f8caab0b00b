//! `/files`: whole files over plain HTTP, for who shows the token or a signature.

use super::*;
use crate::files;

/// The longest body that is read of a file that is written: more would not fit.
pub(crate) const MAX_BODY: usize = 17 * 1024 * 1024;

/// Responds to a request for files, which must be signed with the token if there is one.
pub(super) fn respond(
    sim: &Shared,
    files: &Files,
    token: Option<&str>,
    request: &Received,
) -> Response<Body> {
    let outcome = signature::query(&request.parts).and_then(|query| {
        let writes = request.parts.method == Method::POST;
        if let Some(token) = token {
            check(sim, &query, writes, token)?;
        }
        let user = user(&query)?;
        if writes {
            upload::write(files, &query, &user, request)
        } else {
            download::read(sim, files, &query, &user, &request.parts.headers)
        }
    });
    outcome.unwrap_or_else(|error| error.envd_response())
}

/// Lets in what was signed with the token.
fn check(sim: &Shared, query: &Query, writes: bool, token: &str) -> Result<(), ApiError> {
    if query.get("signature").is_none() {
        return Err(unauthorized("missing signature query parameter"));
    }
    if !signature::is_signed(query, writes, token) {
        return Err(unauthorized("invalid signature"));
    }
    let now = sim.date(clock::now()).duration_since(std::time::SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    match query.get("signature_expiration").map(str::parse::<u64>) {
        Some(Err(_)) => Err(ApiError::bad_request("invalid signature expiration")),
        Some(Ok(expiration)) if expiration < now => {
            Err(unauthorized("signature is already expired"))
        }
        _ => Ok(()),
    }
}

fn unauthorized(message: &str) -> ApiError {
    ApiError::new(401, message)
}

fn user(query: &Query) -> Result<String, ApiError> {
    let name = query.get("username").filter(|name| !name.is_empty()).unwrap_or("user");
    if files::is_user(name) {
        return Ok(name.to_owned());
    }
    Err(unauthorized(&format!("error looking up user '{name}': user: unknown user {name}")))
}

pub(super) fn no_space() -> ApiError {
    ApiError::new(507, "not enough disk space available")
}

pub(super) fn failed(path: &str, error: FileError) -> ApiError {
    match error {
        FileError::NoSpace => no_space(),
        FileError::IsDirectory => ApiError::bad_request(format!("path is a directory: {path}")),
        error => ApiError::bad_request(format!("error opening file '{path}': {error}")),
    }
}
