//! The token, the sessions, and what a request may do.

mod attempts;
mod origin;
mod secrets;
mod sessions;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use sandtower::core::BoxError;
use sandtower::e2b::Secret;

use self::attempts::Attempts;
use self::secrets::Hashed;
use self::sessions::Sessions;
use crate::config;

pub(super) use origin::{is_from_elsewhere, is_same_origin};
pub(super) use sessions::Session;

/// The header field in which a page shows the token of its session.
const CSRF: &str = "x-csrf-token";

/// What decides who may do what.
pub(super) struct Access {
    token: Hashed,
    /// Made at the start, since none is set.
    made: Option<Secret>,
    /// Whether reading needs no token.
    pub(super) is_open_to_read: bool,
    hosts: Vec<String>,
    sessions: Sessions,
    attempts: Attempts,
    /// Browsers keep the cookies of all ports of a host together.
    cookie: String,
}

/// The sender of a request.
#[derive(Clone)]
pub(super) enum Actor {
    /// A program that shows the token.
    Token,
    /// A browser that has logged in.
    Browser(Session),
    Anonymous,
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is not the one.
    WrongToken,
    /// Too many wrong tokens came from there.
    TooManyAttempts(Duration),
    /// No token is shown.
    NoToken,
    /// The host may be a name that someone else has directed here.
    Host,
    /// A page from elsewhere sent it.
    Origin,
    /// It does not show the token of its session.
    Csrf,
}

impl Access {
    pub(super) fn new(admin: &config::Admin, port: u16) -> Result<Self, BoxError> {
        let (token, made) = match admin.read_token()? {
            Some(token) => (token, None),
            None => {
                let made = Secret::new(secrets::random()?);
                (made.clone(), Some(made))
            }
        };
        Ok(Self {
            token: Hashed::of(token.expose()),
            made,
            is_open_to_read: admin.is_local(),
            hosts: admin.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            sessions: Sessions::default(),
            attempts: Attempts::default(),
            cookie: format!("sandtower_{port}"),
        })
    }

    /// The token that was made at the start, for who started it.
    pub(super) fn made(&self) -> Option<&Secret> {
        self.made.as_ref()
    }

    /// The sender of a request with these header fields.
    pub(super) fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Actor, Denied> {
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let shown = shown.to_str().ok().and_then(|shown| shown.strip_prefix("Bearer "));
            return self.check(shown.unwrap_or_default(), peer).map(|()| Actor::Token);
        }
        let session = self.cookie(headers).and_then(|cookie| self.sessions.find(cookie));
        Ok(session.map_or(Actor::Anonymous, Actor::Browser))
    }

    fn check(&self, token: &str, peer: IpAddr) -> Result<(), Denied> {
        if let Some(wait) = self.attempts.wait(peer) {
            return Err(Denied::TooManyAttempts(wait));
        }
        if self.token.is(token) {
            return Ok(());
        }
        self.attempts.failed(peer);
        Err(Denied::WrongToken)
    }

    /// Whether the host of a request is this one: a name that someone else owns may be directed to any
    /// address, and then a page of theirs could read what this listener returns. Addresses cannot.
    pub(super) fn knows_host(&self, headers: &HeaderMap) -> bool {
        origin::host(headers).is_some_and(|host| {
            origin::is_address(&host)
                || host == "localhost"
                || host.ends_with(".localhost")
                || self.hosts.contains(&host)
        })
    }

    /// Whether `actor` may change something by a request with these header fields.
    pub(super) fn may_change(&self, actor: &Actor, headers: &HeaderMap) -> Result<(), Denied> {
        match actor {
            Actor::Anonymous => Err(Denied::NoToken),
            // Programs send neither field.
            Actor::Token => match is_same_origin(headers) {
                Some(false) => Err(Denied::Origin),
                _ => Ok(()),
            },
            // Browsers send at least one of them.
            Actor::Browser(session) => {
                if is_same_origin(headers) != Some(true) {
                    return Err(Denied::Origin);
                }
                let shown = headers.get(CSRF).map_or(&b""[..], HeaderValue::as_bytes);
                let is_it = Hashed::of(&session.csrf).is(&String::from_utf8_lossy(shown));
                if is_it { Ok(()) } else { Err(Denied::Csrf) }
            }
        }
    }

    /// Begins a session for a browser whose user shows `token`: the cookie.
    pub(super) fn log_in(&self, token: &str, peer: SocketAddr) -> Result<HeaderValue, LogIn> {
        self.check(token, peer.ip()).map_err(LogIn::Denied)?;
        let value = self.sessions.begin().map_err(LogIn::Failed)?;
        self.set_cookie(&value, sessions::LIFETIME)
            .ok_or_else(|| LogIn::Failed("the cookie of the session is no header field".into()))
    }

    /// Ends the session of a browser: the cookie that takes the place of its own.
    pub(super) fn log_out(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        self.sessions.end(self.cookie(headers)?);
        self.set_cookie("", Duration::ZERO)
    }

    fn set_cookie(&self, value: &str, age: Duration) -> Option<HeaderValue> {
        let (name, age) = (&self.cookie, age.as_secs());
        let cookie = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict");
        HeaderValue::from_str(&cookie).ok()
    }

    fn cookie<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let all = headers.get_all(header::COOKIE).iter().filter_map(|all| all.to_str().ok());
        let pairs =
            all.flat_map(|all| all.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.into_iter().find(|(name, _)| *name == self.cookie).map(|(_, value)| value)
    }
}

/// Why a browser was not logged in.
#[derive(Debug)]
pub(super) enum LogIn {
    Denied(Denied),
    Failed(BoxError),
}
