//! What every request to the listener for operators passes first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::State;
use super::access::{self, Actor, Denied};
use super::audit::{self, Entry, Outcome};
use crate::recent::cut;

/// The longest body of a change.
const LONGEST_BODY: usize = 64 * 1_024;
/// How long a client may take to send it.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Probes of what runs the gateway: they say one word, and anyone may have it.
const PROBES: [&str; 2] = ["/livez", "/readyz"];
/// What a browser needs before it has logged in.
const BEFORE_LOGIN: [&str; 4] =
    ["/login", "/assets/style.css", "/assets/script.js", "/assets/icon.svg"];

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The sender of a request, and its address.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) actor: Actor,
    pub(super) peer: SocketAddr,
}

/// Why a change has failed, for the audit log: on a response.
#[derive(Clone, Debug)]
pub(super) struct Why(pub(super) String);

/// Lets a request through if its sender may do what it does, records changes, and has browsers trust
/// nothing but the response.
pub(super) async fn guard(
    Extract(state): Extract<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = pass(&state, request, next).await;
    harden(response.headers_mut());
    response
}

async fn pass(state: &Arc<State>, mut request: Request, next: Next) -> Response {
    let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let peer = request.extensions().get::<SocketAddr>().copied().unwrap_or(nowhere);
    let path = request.uri().path();
    if PROBES.contains(&path) {
        return next.run(request).await;
    }
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    let actor = match state.access.identify(request.headers(), peer.ip()) {
        Ok(actor) => actor,
        Err(denied) => return deny(state, &request, &Actor::Anonymous, peer, denied),
    };
    if let Err(denied) = may_pass(state, &actor, is_change, &request) {
        return deny(state, &request, &actor, peer, denied);
    }
    let is_login = path == "/login";
    request.extensions_mut().insert(Caller { actor: actor.clone(), peer });
    match is_change && !is_login {
        true => change(state, &actor, peer, request, next).await,
        // The login itself is recorded where its result is known.
        false => next.run(request).await,
    }
}

fn may_pass(
    state: &State,
    actor: &Actor,
    is_change: bool,
    request: &Request,
) -> Result<(), Denied> {
    let (access, headers) = (&state.access, request.headers());
    let path = request.uri().path();
    // A page from elsewhere cannot show the token.
    if !matches!(actor, Actor::Token) && !access.knows_host(headers) {
        return Err(Denied::Host);
    }
    if is_change && path == "/login" {
        return match access::is_same_origin(headers) {
            Some(false) => Err(Denied::Origin),
            _ => Ok(()),
        };
    }
    if is_change {
        return access.may_change(actor, headers);
    }
    if access::is_from_elsewhere(headers) {
        return Err(Denied::Origin);
    }
    let is_public = access.is_open_to_read || BEFORE_LOGIN.contains(&path);
    if is_public || !matches!(actor, Actor::Anonymous) { Ok(()) } else { Err(Denied::NoToken) }
}

/// Serves a change, and records it, in a task of its own: a client that goes away leaves no change
/// that is not recorded.
async fn change(
    state: &Arc<State>,
    actor: &Actor,
    peer: SocketAddr,
    request: Request,
    next: Next,
) -> Response {
    let (state, actor) = (Arc::clone(state), name(actor));
    let serving = tokio::spawn(async move {
        let (head, body) = request.into_parts();
        let what = what(&head.method, head.uri.path());
        let body = match collect(body).await {
            Ok(body) => body,
            Err(failed) => {
                let response = failed.into_response();
                let why = Some(String::from("the body of the request was not read"));
                record(&state, actor, peer, what, &[], response.status(), why);
                return response;
            }
        };
        let mut response = next.run(Request::from_parts(head, Body::from(body.clone()))).await;
        state.board.changed();
        let why = response.extensions_mut().remove::<Why>().map(|Why(why)| cut(&why));
        record(&state, actor, peer, what, &body, response.status(), why);
        response
    });
    serving.await.unwrap_or_else(|error| {
        tracing::error!(target: "sandtower::admin", %error, "change interrupted");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

async fn collect(body: Body) -> Result<Bytes, (StatusCode, Json<serde_json::Value>)> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, LONGEST_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let error = Json(
                json!({"error": "the body of the request is longer than 64 KiB, or broke off"}),
            );
            Err((StatusCode::PAYLOAD_TOO_LARGE, error))
        }
        Err(_) => {
            let error = Json(json!({"error": "the body of the request did not come within 10 s"}));
            Err((StatusCode::REQUEST_TIMEOUT, error))
        }
    }
}

fn record(
    state: &State,
    actor: String,
    peer: SocketAddr,
    what: String,
    body: &[u8],
    status: StatusCode,
    why: Option<String>,
) {
    let is_done = status.is_success() || status.is_redirection();
    state.audit.add(Entry {
        time: audit::unix_time(),
        actor,
        peer,
        what,
        parameters: audit::parameters(body),
        result: if is_done { Outcome::Done } else { Outcome::Failed },
        status: status.as_u16(),
        why,
        left_out: 0,
    });
}

/// Records a login.
pub(super) fn record_login(
    state: &State,
    peer: SocketAddr,
    response: &Response,
    why: Option<&Denied>,
) {
    let result = if why.is_some() { Outcome::Denied } else { Outcome::Done };
    state.audit.add(Entry {
        time: audit::unix_time(),
        actor: String::from("anonymous"),
        peer,
        what: String::from("POST /login"),
        parameters: serde_json::Value::Null,
        result,
        status: response.status().as_u16(),
        why: why.map(Denied::text),
        left_out: 0,
    });
}

fn deny(
    state: &State,
    request: &Request,
    actor: &Actor,
    peer: SocketAddr,
    denied: Denied,
) -> Response {
    let path = request.uri().path();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_page = !path.starts_with("/api/") && path != "/metrics";
    if is_read && is_page && denied == Denied::NoToken {
        return Redirect::to(&format!("/login?next={path}")).into_response();
    }
    let response = denied.response();
    if !is_read || matches!(denied, Denied::WrongToken | Denied::TooManyAttempts(_)) {
        state.audit.add(Entry {
            time: audit::unix_time(),
            actor: name(actor),
            peer,
            what: what(request.method(), path),
            parameters: serde_json::Value::Null,
            result: Outcome::Denied,
            status: response.status().as_u16(),
            why: Some(denied.text()),
            left_out: 0,
        });
    }
    response
}

fn name(actor: &Actor) -> String {
    match actor {
        Actor::Token => String::from("token"),
        Actor::Browser(session) => format!("session {}", session.name),
        Actor::Anonymous => String::from("anonymous"),
    }
}

fn what(method: &Method, path: &str) -> String {
    cut(&format!("{method} {path}"))
}

impl Denied {
    /// What is wrong, and what would be right.
    pub(super) fn text(&self) -> String {
        match self {
            Self::WrongToken => String::from("the token is not valid"),
            Self::TooManyAttempts(wait) => {
                format!(
                    "too many wrong tokens from this address; try again in {} s",
                    seconds(*wait)
                )
            }
            Self::NoToken => String::from(
                "log in, or send the header `Authorization: Bearer` with the token (`admin.token`)",
            ),
            Self::Host => String::from(
                "the host of the request is not known; if operators use that name, add it to `admin.hosts`",
            ),
            Self::Origin => String::from("the request comes from a page of another origin"),
            Self::Csrf => String::from("the page has another session; reload it"),
        }
    }

    pub(super) fn response(&self) -> Response {
        let status = match self {
            Self::WrongToken | Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin | Self::Csrf => StatusCode::FORBIDDEN,
        };
        let mut response = (status, Json(json!({"error": self.text()}))).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Self::TooManyAttempts(wait) = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds(*wait)));
        }
        response
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

fn harden(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Without any, browsers send forms with `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
