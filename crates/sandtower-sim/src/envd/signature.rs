//! Signed URLs: files without a token, and over one base URL without the name of a sandbox.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

use super::*;

/// What the query of a request for files names.
const KNOWN: &[&str] = &["path", "username", "signature", "signature_expiration"];

/// Reads the query of a request for files.
pub(super) fn query(parts: &Parts) -> Result<Query, ApiError> {
    Query::parse(parts.uri.query(), KNOWN)
}

/// Whether a request for files was signed with this token.
pub(super) fn is_signed(query: &Query, writes: bool, token: &str) -> bool {
    let named = |name| query.get(name).unwrap_or_default();
    let operation = if writes { "write" } else { "read" };
    let mut signed = format!("{}:{operation}:{}:{token}", named("path"), named("username"));
    if let Some(expiration) = query.get("signature_expiration") {
        signed.push(':');
        signed.push_str(expiration);
    }
    let digest = STANDARD_NO_PAD.encode(Sha256::digest(signed));
    named("signature").strip_prefix("v1_") == Some(&digest)
}

/// The sandbox of a request for files that names none: the one with whose token it was signed, or
/// whose token it shows, or the only one that there is.
pub(crate) fn sandbox(sim: &Shared, parts: &Parts) -> Result<String, ApiError> {
    let query = query(parts)?;
    let writes = parts.method == Method::POST;
    let shown = parts.headers.get("x-access-token").map(http::HeaderValue::as_bytes);
    let state = sim.state();
    let found = if shown.is_some() || query.get("signature").is_some() {
        let mut sandboxes = state.sandboxes.iter().filter(|(_, sandbox)| {
            sandbox.access_token.as_deref().is_some_and(|token| match shown {
                Some(shown) => shown == token.as_bytes(),
                None => is_signed(&query, writes, token),
            })
        });
        let invalid = || ApiError::new(401, "invalid signature");
        sandboxes.next().ok_or_else(invalid)?
    } else {
        let mut all = state.sandboxes.iter();
        match (all.next(), all.next()) {
            (Some(only), None) => only,
            _ => {
                let message = "which sandbox is not clear without a signature: send the headers \
                               E2b-Sandbox-Id and E2b-Sandbox-Port";
                return Err(ApiError::bad_request(message));
            }
        }
    };
    Ok(found.0.clone())
}
