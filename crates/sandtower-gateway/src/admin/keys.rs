//! Virtual keys: listed, created, changed, rotated and revoked.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State as Extract};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get, patch, post};
use sandtower::e2b::Secret;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::State;
use super::guard::Why;
use super::routes::Route;
use crate::virtual_keys::{
    KeyChange, KeyError, KeyId, KeyInfo, NewKey, Rotation, StoreState, VirtualKeys,
};

pub(super) fn routes() -> [Route; 6] {
    [
        Route::new("get", "/api/v1/keys", get(list)),
        Route::new("post", "/api/v1/keys", post(create)),
        Route::new("get", "/api/v1/keys/{id}", get(one)),
        Route::new("patch", "/api/v1/keys/{id}", patch(update)),
        Route::new("delete", "/api/v1/keys/{id}", delete(revoke)),
        Route::new("post", "/api/v1/keys/{id}/rotate", post(rotate)),
    ]
}

/// Why a request has no result.
enum Problem {
    Body(String),
    Key(KeyError),
    /// The thread that worked on it panicked.
    Ended,
}

type Outcome<T> = Result<T, Problem>;

/// A key with its secret, which is shown here and nowhere else.
#[derive(Serialize)]
struct WithSecret {
    #[serde(flatten)]
    key: KeyInfo,
    secret: String,
}

#[derive(Serialize)]
struct All {
    store: StoreState,
    keys: Vec<KeyInfo>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Rotate {
    /// How long the secret before lives on.
    grace_seconds: u64,
}

async fn list(Extract(state): Extract<Arc<State>>) -> Outcome<Json<All>> {
    let all = |keys: &VirtualKeys| All { store: keys.store(), keys: keys.list() };
    Ok(Json(on(state, all).await?))
}

async fn one(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
) -> Outcome<Json<KeyInfo>> {
    let id = parse_id(&id)?;
    let found = state.gateway.virtual_keys().get(&id);
    found.map(Json).ok_or(Problem::Key(KeyError::Unknown))
}

async fn create(Extract(state): Extract<Arc<State>>, body: Bytes) -> Outcome<Response> {
    let new: NewKey = parse(&body)?;
    let created = on(state, move |keys| keys.create(new)).await?;
    Ok(with_secret(StatusCode::CREATED, created?))
}

async fn update(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Outcome<Json<KeyInfo>> {
    let (id, change): (_, KeyChange) = (parse_id(&id)?, parse(&body)?);
    Ok(Json(on(state, move |keys| keys.update(&id, change)).await??))
}

async fn rotate(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Outcome<Response> {
    let id = parse_id(&id)?;
    let rotate: Rotate = if body.is_empty() { Rotate::default() } else { parse(&body)? };
    let rotation = Rotation::grace(Duration::from_secs(rotate.grace_seconds));
    let rotated = on(state, move |keys| keys.rotate_with(&id, rotation)).await?;
    Ok(with_secret(StatusCode::OK, rotated?))
}

async fn revoke(
    Extract(state): Extract<Arc<State>>,
    Path(id): Path<String>,
) -> Outcome<Json<KeyInfo>> {
    let id = parse_id(&id)?;
    Ok(Json(on(state, move |keys| keys.revoke(&id)).await??))
}

/// In a thread that may block: changes wait until they are stored.
async fn on<T: Send + 'static>(
    state: Arc<State>,
    work: impl FnOnce(&VirtualKeys) -> T + Send + 'static,
) -> Outcome<T> {
    let work = tokio::task::spawn_blocking(move || work(state.gateway.virtual_keys()));
    work.await.map_err(|_| Problem::Ended)
}

fn parse_id(text: &str) -> Outcome<KeyId> {
    text.parse().map_err(|_| Problem::Key(KeyError::Unknown))
}

/// Says which field is wrong. What the field holds is in no error: it may be a secret in the wrong place.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Outcome<T> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader);
    let value = read.map_err(|error| {
        let field = error.path().to_string();
        let why = without_values(&error.inner().to_string());
        Problem::Body(match &*field {
            "." => format!("the body must be a JSON object: {why}"),
            _ => format!("`{field}`: {why}"),
        })
    })?;
    reader.end().map_err(|_| {
        Problem::Body(String::from("the body must be one JSON object and nothing more"))
    })?;
    Ok(value)
}

/// What serde says is wrong, without what it quotes from the request: that comes before what it expects.
pub(super) fn without_values(why: &str) -> String {
    let Some((found, expected)) = why.rsplit_once(", expected ") else { return why.to_owned() };
    match found.starts_with("unknown field") {
        true => format!("a field is unknown, expected {expected}"),
        false => format!("expected {expected}"),
    }
}

fn with_secret(status: StatusCode, (key, secret): (KeyInfo, Secret)) -> Response {
    let secret = secret.expose().to_owned();
    let mut response = (status, Json(WithSecret { key, secret })).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Body(error) => (StatusCode::BAD_REQUEST, error),
            Self::Ended => {
                let error = "the gateway failed at this; its log says how";
                (StatusCode::SERVICE_UNAVAILABLE, error.to_owned())
            }
            Self::Key(error) => {
                let status = match &error {
                    KeyError::Unknown => StatusCode::NOT_FOUND,
                    KeyError::Revoked | KeyError::Declared | KeyError::Full(_) => {
                        StatusCode::CONFLICT
                    }
                    error if error.is_of_request() => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::SERVICE_UNAVAILABLE,
                };
                (status, error.to_string())
            }
        };
        let mut response = (status, Json(json!({"error": error}))).into_response();
        response.extensions_mut().insert(Why(error));
        response
    }
}
