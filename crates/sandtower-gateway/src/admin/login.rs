//! How a browser shows the token: by a form, once, for a cookie that scripts cannot read and that
//! requests of other sites do not carry. `Basic` credentials would go along with those, and cannot be
//! given back.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Extension, Query, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use sandtower::e2b::Secret;
use serde::Deserialize;

use super::State;
use super::access::{Denied, LogIn};
use super::guard::{Caller, record_login};
use super::pages;

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Shown {
    token: Secret,
    #[serde(default)]
    next: String,
}

pub(super) async fn form(
    Extract(state): Extract<Arc<State>>,
    Query(Next { next }): Query<Next>,
) -> Response {
    pages::login(pages::known_path(&next), None, state.access.is_open_to_read)
}

pub(super) async fn log_in(
    Extract(state): Extract<Arc<State>>,
    Extension(caller): Extension<Caller>,
    Form(Shown { token, next }): Form<Shown>,
) -> Response {
    let next = pages::known_path(&next);
    match state.access.log_in(token.expose(), caller.peer) {
        Ok(cookie) => {
            let mut response = Redirect::to(next).into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            record_login(&state, caller.peer, &response, None);
            response
        }
        Err(LogIn::Denied(denied)) => {
            let (status, headers) = of(&denied);
            let response = (
                status,
                headers,
                pages::login(next, Some(&denied.text()), state.access.is_open_to_read),
            )
                .into_response();
            record_login(&state, caller.peer, &response, Some(&denied));
            response
        }
        Err(LogIn::Failed(error)) => {
            tracing::error!(target: "sandtower::admin", %error, "login failed");
            (StatusCode::SERVICE_UNAVAILABLE, "the login failed; the log says why\n")
                .into_response()
        }
    }
}

/// The status of a denied login, and when to come back.
fn of(denied: &Denied) -> (StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    let Denied::TooManyAttempts(wait) = denied else { return (StatusCode::UNAUTHORIZED, headers) };
    headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
    (StatusCode::TOO_MANY_REQUESTS, headers)
}

pub(super) async fn log_out(Extract(state): Extract<Arc<State>>, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = state.access.log_out(&headers) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}
