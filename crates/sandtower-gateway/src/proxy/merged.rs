//! Listings of a caller with sandboxes in several places: those of home, then those of the other places.
//!
//! A page is filled from one place after the other. While there is more, the token of the next page is home's
//! own, or names another place before what that calls the next page. A place that does not respond fails the
//! whole: a list in which sandboxes are missing looks like one of sandboxes that are gone.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, response};
use sandtower::http::RequestBody;
use serde_json::Map;
use serde_json::value::RawValue;

use super::body::ResponseBody;
use super::failure::Failure;
use super::keyed::{Caller, unreadable, upstream_rejected, whole};
use super::signed::decoded;
use super::{Exchange, listing, pass, places, replace};
use crate::keys::{KeyStack, TenantId};
use crate::recount::encode;

const NEXT_TOKEN: HeaderName = HeaderName::from_static("x-next-token");
/// It counts those of one place, or of all virtual keys.
const TOTAL: HeaderName = HeaderName::from_static("x-total-running");
/// Before the name of the place that a token is for, a dot, and the token of that place, which is empty for
/// its first page.
const OURS: &str = "sandtower.";
/// The sandboxes of a page, if nothing is said; also the most.
const PAGE: usize = 100;

/// The caller of a listing: its stacks in all places, and the virtual key, if it is one.
struct Lister<'a> {
    stacks: Vec<Arc<KeyStack>>,
    key: Option<&'a Caller>,
    tenant: TenantId,
}

/// The part of a list that one place has.
struct Part {
    head: response::Parts,
    sandboxes: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Exchange<'_> {
    /// A listing over all places. `None`: the caller has only home.
    pub(super) async fn merged_listing(
        &mut self,
        key: Option<&Caller>,
        tenant: TenantId,
        at_home: &Arc<KeyStack>,
        request: &Request<Bytes>,
    ) -> Result<Option<Response<ResponseBody>>, Failure> {
        let Some(stacks) = self.several(at_home)? else { return Ok(None) };
        let lister = Lister { stacks, key, tenant };
        let names: Vec<&str> = lister.stacks.iter().map(|stack| &*stack.place().name).collect();
        let asked = Asked::read(request.uri(), &names)?;
        let (mut at, mut token) = (asked.place, asked.token.clone());
        let mut all: Vec<Box<RawValue>> = Vec::new();
        let mut first = None;
        let next = loop {
            let limit = asked.limit.map(|limit| limit.saturating_sub(all.len()));
            // What was asked for stays as it was, so that what is wrong with it is said.
            let limit = limit.filter(|_| !all.is_empty());
            let query = asked.query(token.as_deref(), limit);
            let stack = &lister.stacks[at];
            let part = match self.part(&lister, stack, request, &query).await? {
                Ok(part) => part,
                Err(response) => return Ok(Some(response)),
            };
            all.extend(part.sandboxes);
            first.get_or_insert(part.head);
            if let Some(inner) = part.next {
                break Some(token_of(stack, &inner));
            }
            at += 1;
            let Some(stack) = lister.stacks.get(at) else { break None };
            if asked.limit.is_some_and(|limit| all.len() >= limit) {
                break Some(token_of(stack, ""));
            }
            token = None;
        };
        let body = serde_json::to_vec(&all).map_err(|_| unreadable())?;
        let Some(mut head) = first else { return Ok(None) };
        head.headers.remove(TOTAL);
        head.headers.remove(NEXT_TOKEN);
        if let Some(next) = next.and_then(|next| HeaderValue::try_from(next).ok()) {
            head.headers.insert(NEXT_TOKEN, next);
        }
        Ok(Some(replace(Response::from_parts(head, ()), body.into())))
    }

    /// The part of one place, or what it says in place of one.
    async fn part(
        &mut self,
        lister: &Lister<'_>,
        stack: &Arc<KeyStack>,
        request: &Request<Bytes>,
        query: &str,
    ) -> Result<Result<Part, Response<ResponseBody>>, Failure> {
        let query = with_template(query, |template| self.template_at(stack, template));
        // Without its mark, the service does not find a sandbox of the key.
        let keys = &self.proxy.shared.virtual_keys;
        let query = match lister.key.map(|caller| caller.key.id()) {
            Some(key) if !keys.has_unmarked(key) => listing::query_of(key, Some(&query)),
            _ => query,
        };
        let request = request_to(stack, lister.key, request, &query)?;
        let response =
            self.send_control(stack, request).await.map_err(|failure| missing(stack, failure))?;
        if !response.status().is_success() {
            let is_ours = lister.key.is_some() || !stack.place().is_home();
            return match response.status() {
                StatusCode::UNAUTHORIZED if is_ours => Err(upstream_rejected()),
                _ => Ok(Err(pass(response, None))),
            };
        }
        stack.responded(response.status());
        let (head, mut body) = whole(response).await?;
        body = match lister.key {
            Some(caller) => {
                let theirs = self.theirs(&body, caller.key.id()).ok_or_else(unreadable)?;
                serde_json::to_vec(&theirs).map_err(|_| unreadable())?.into()
            }
            None => self.without_stock(stack, &body).unwrap_or(body),
        };
        let config = &self.generation.config;
        let (shown, ids) = listing::rewrite(&body, &config.owner, config.domain.as_deref());
        for id in &ids {
            self.proxy.shared.sandboxes.listed(id, lister.tenant, &stack.place().name);
        }
        let body = shown.unwrap_or(body);
        let sandboxes = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let next = head.headers.get(NEXT_TOKEN).and_then(|token| token.to_str().ok());
        let next = next.filter(|token| !token.is_empty()).map(str::to_owned);
        Ok(Ok(Part { head, sandboxes, next }))
    }

    /// The metrics of several sandboxes, which leave out those that are not in a place. `None`: the caller
    /// has only home.
    pub(super) async fn merged_metrics(
        &mut self,
        key: Option<&Caller>,
        at_home: &Arc<KeyStack>,
        request: &Request<Bytes>,
    ) -> Result<Option<Response<ResponseBody>>, Failure> {
        let Some(stacks) = self.several(at_home)? else { return Ok(None) };
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut first = None;
        let mut all = Map::new();
        for stack in &stacks {
            let request = request_to(stack, key, request, &query)?;
            let response = self
                .send_control(stack, request)
                .await
                .map_err(|failure| missing(stack, failure))?;
            if !response.status().is_success() {
                return Ok(Some(pass(response, None)));
            }
            let (head, body) = whole(response).await?;
            let mut said: Map<String, serde_json::Value> =
                serde_json::from_slice(&body).map_err(|_| unreadable())?;
            if let Some(serde_json::Value::Object(sandboxes)) = said.remove("sandboxes") {
                all.extend(sandboxes);
            }
            first.get_or_insert(head);
        }
        let body = serde_json::json!({ "sandboxes": all }).to_string();
        Ok(first.map(|head| replace(Response::from_parts(head, ()), body.into())))
    }
}

/// The request as it is sent to the place of `stack`.
fn request_to(
    stack: &KeyStack,
    key: Option<&Caller>,
    request: &Request<Bytes>,
    query: &str,
) -> Result<Request<RequestBody>, Failure> {
    let (mut head, _) = request.clone().into_parts();
    let path = format!("{}?{query}", head.uri.path());
    let path = path.trim_end_matches('?').parse::<PathAndQuery>();
    head.uri = path.map(Into::into).map_err(|_| {
        Failure::of_request(StatusCode::BAD_REQUEST, "the target of the request is invalid")
    })?;
    places::address(&mut head, stack)?;
    if let Some(caller) = key {
        head.extensions.insert(caller.key.tenant(&stack.handles().tenants));
    }
    Ok(Request::from_parts(head, RequestBody::default()))
}

/// The query with the template that it asks for as a place calls it.
fn with_template<'t>(query: &str, called: impl Fn(&str) -> Option<&'t str>) -> String {
    let part = |part: &str| {
        let template = part.strip_prefix("template=").map(decoded);
        let there = template.and_then(|template| called(&template));
        there.map_or_else(|| part.to_owned(), |there| format!("template={}", encode(there)))
    };
    query.split('&').map(part).collect::<Vec<_>>().join("&")
}

/// A place that does not respond, by its name.
fn missing(stack: &KeyStack, failure: Failure) -> Failure {
    let place = &stack.place().name;
    let message = format!("the sandboxes at \"{place}\" cannot be listed: {}", failure.message);
    Failure { message, ..failure }
}

/// The token of a page of the place of `stack`.
fn token_of(stack: &KeyStack, inner: &str) -> String {
    match stack.place().is_home() {
        true => inner.to_owned(),
        false => format!("{OURS}{}.{inner}", stack.place().name),
    }
}

/// What a listing asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    /// Where it begins.
    place: usize,
    /// The token there.
    token: Option<String>,
    /// The most sandboxes; the first version of the API knows no pages.
    limit: Option<usize>,
    limit_as_asked: Option<&'a str>,
    /// All else.
    rest: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    /// Reads path and query, of a caller with stacks in places of these names.
    fn read(uri: &'a Uri, places: &[&str]) -> Result<Self, Failure> {
        let (mut token, mut limit_as_asked, mut rest) = (None, None, Vec::new());
        for part in uri.query().into_iter().flat_map(|query| query.split('&')) {
            match part.split_once('=') {
                Some(("nextToken", value)) => token = Some(decoded(value)),
                Some(("limit", value)) => limit_as_asked = Some(value),
                _ => rest.push(part),
            }
        }
        let limit = limit_as_asked.map_or(Some(PAGE), |limit| limit.parse().ok());
        let limit = uri.path().starts_with("/v2/").then(|| limit.unwrap_or(PAGE));
        let ours = token.as_deref().and_then(|token| token.strip_prefix(OURS));
        let place = match ours {
            None => 0,
            Some(ours) => {
                let found = ours.split_once('.').and_then(|(name, inner)| {
                    let at = places.iter().skip(1).position(|place| *place == name)? + 1;
                    Some((at, inner.to_owned()))
                });
                let (at, inner) = found.ok_or_else(|| {
                    Failure::of_request(StatusCode::BAD_REQUEST, "Invalid next token")
                })?;
                token = Some(inner).filter(|inner| !inner.is_empty());
                at
            }
        };
        Ok(Self { place, token, limit, limit_as_asked, rest })
    }

    /// The query for a page of one place.
    fn query(&self, token: Option<&str>, limit: Option<usize>) -> String {
        let limit = limit.map(|limit| limit.to_string());
        let limit = limit.as_deref().or(self.limit_as_asked).map(|limit| format!("limit={limit}"));
        let token = token.map(|token| format!("nextToken={}", encode(token)));
        let rest = self.rest.iter().map(|part| (*part).to_owned());
        rest.chain(limit).chain(token).collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Result<(usize, Option<String>, Option<usize>), u16> {
        let uri: Uri = uri.parse().unwrap();
        let asked = Asked::read(&uri, &["home", "eu", "us"]);
        asked.map(|it| (it.place, it.token, it.limit)).map_err(|failure| failure.status.as_u16())
    }

    #[test]
    fn a_token_names_its_place() {
        let token = |token: &str| Some(token.to_owned());
        assert_eq!(read("/v2/sandboxes"), Ok((0, None, Some(100))));
        assert_eq!(read("/sandboxes?metadata=a"), Ok((0, None, None)));
        assert_eq!(read("/v2/sandboxes?nextToken=ab%3D&limit=7"), Ok((0, token("ab="), Some(7))));
        let first = "/v2/sandboxes?nextToken=sandtower.eu.";
        assert_eq!(read(first), Ok((1, None, Some(100))));
        let later = "/v2/sandboxes?nextToken=sandtower%2Eus%2Ea.b%3D";
        assert_eq!(read(later), Ok((2, token("a.b="), Some(100))));
        for made_up in ["sandtower.", "sandtower.home.x", "sandtower.mars.x", "sandtower.eu"] {
            assert_eq!(read(&format!("/v2/sandboxes?nextToken={made_up}")), Err(400), "{made_up}");
        }
    }

    #[test]
    fn a_filter_has_the_template_as_the_place_calls_it() {
        let called = |name: &str| (name == "a/b").then_some("c/d");
        for (query, there) in [
            ("limit=5&template=a%2Fb", "limit=5&template=c%2Fd"),
            ("template=other&x", "template=other&x"),
            ("", ""),
        ] {
            assert_eq!(with_template(query, called), there);
        }
    }

    #[test]
    fn a_place_is_asked_what_was_asked_for() {
        let uri: Uri =
            "/v2/sandboxes?state=paused&limit=5&metadata=a%3Db&nextToken=x".parse().unwrap();
        let asked = Asked::read(&uri, &["home", "eu"]).unwrap();
        let all = "state=paused&metadata=a%3Db&limit=5&nextToken=y%3D";
        assert_eq!(asked.query(Some("y="), None), all);
        assert_eq!(asked.query(None, Some(2)), "state=paused&metadata=a%3Db&limit=2");
    }
}
