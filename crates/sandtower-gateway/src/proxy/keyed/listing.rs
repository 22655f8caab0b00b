//! Listings for a virtual key: its own sandboxes alone.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode};
use sandtower::e2b::operation as op;
use serde_json::value::RawValue;

use super::{Caller, unreadable, whole};
use crate::proxy::failure::Failure;
use crate::proxy::listing::{Marked, query_of};
use crate::proxy::{Exchange, Outcome, pass};
use crate::recount::encode;
use crate::virtual_keys::KeyId;

/// It counts the sandboxes of all keys.
const TOTAL: &str = "x-total-running";
const NEXT: &str = "x-next-token";
/// Pages of the service that are read for one page: then the client asks for the next one itself.
const MOST_PAGES: usize = 10;
/// The size of a page, unless the client says another.
const PAGE: usize = 100;

impl Exchange<'_> {
    /// All sandboxes of a key have its mark, by which the service finds them, unless some came from a warm
    /// pool. Then all of the team's are read, and as many pages make one.
    pub(super) async fn keyed_listing(
        &mut self,
        caller: &Caller,
        request: Request<Bytes>,
    ) -> Outcome {
        let merged = self.merged_listing(Some(caller), caller.tenant, &caller.at_home, &request);
        if let Some(response) = Box::pin(merged).await? {
            return Ok(response);
        }
        let key = caller.key.id();
        let (head, body) = request.into_parts();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let is_marked = !self.virtual_keys().has_unmarked(key);
        let most = limit_of(&query);
        let mut query = if is_marked { query_of(key, Some(&query)) } else { query };
        let (mut all, mut token): (Vec<Box<RawValue>>, _) = (Vec::new(), None);
        let mut pages = 0;
        let headers = loop {
            let mut request = Request::from_parts(head.clone(), body.clone());
            *request.uri_mut() = with_query(caller, head.uri.path(), &query)?;
            let response = self.keyed_send(caller, request).await?;
            if !response.status().is_success() {
                return Ok(pass(response, None));
            }
            let (mut answer, body) = whole(response).await?;
            let theirs = self.theirs(&body, key).ok_or_else(unreadable)?;
            // What does not fit any more is read again, with the next page.
            if !all.is_empty() && all.len() + theirs.len() > most {
                token.into_iter().for_each(|token| drop(answer.headers.insert(NEXT, token)));
                break answer;
            }
            all.extend(theirs);
            pages += 1;
            token = answer.headers.get(NEXT).filter(|token| !token.is_empty()).cloned();
            match &token {
                Some(next) if !is_marked && pages < MOST_PAGES && all.len() < most => {
                    query = with_token(&query, next);
                }
                _ => break answer,
            }
        };
        let mut head = headers;
        head.headers.remove(TOTAL);
        let body = serde_json::to_vec(&all).map_err(|_| unreadable())?;
        Ok(self.shown(head, body.into(), op::SANDBOX_LIST, caller.tenant, &caller.stack))
    }

    /// A list of sandboxes with those of one virtual key alone. `None`: it is no such list.
    pub(in crate::proxy) fn theirs(&self, body: &[u8], key: KeyId) -> Option<Vec<Box<RawValue>>> {
        let all: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
        let is_theirs = |one: &&RawValue| {
            let sandbox = serde_json::from_str::<Marked>(one.get());
            sandbox.is_ok_and(|sandbox| self.key_of_listed(&sandbox) == Some(key))
        };
        Some(all.into_iter().filter(is_theirs).map(ToOwned::to_owned).collect())
    }
}

fn with_query(caller: &Caller, path: &str, query: &str) -> Result<http::Uri, Failure> {
    let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let path: Option<PathAndQuery> = path.parse().ok();
    let target = path.and_then(|path| caller.stack.place().addresses.control(Some(&path)));
    target.ok_or_else(|| {
        Failure::of_request(StatusCode::BAD_REQUEST, "the target of the request is invalid")
    })
}

/// How many sandboxes a page has at most.
fn limit_of(query: &str) -> usize {
    let limit = query.split('&').find_map(|part| part.strip_prefix("limit="));
    limit.and_then(|limit| limit.parse().ok()).unwrap_or(PAGE)
}

/// The query of the page that `token` names.
fn with_token(query: &str, token: &HeaderValue) -> String {
    let is_other = |part: &&str| !part.is_empty() && !part.starts_with("nextToken=");
    let token = format!("nextToken={}", encode(token.to_str().unwrap_or_default()));
    let parts: Vec<&str> = query.split('&').filter(is_other).chain([&*token]).collect();
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_asked_for_with_its_token_alone() {
        let token = HeaderValue::from_static("a+b=");
        for (query, expected) in [
            ("", "nextToken=a%2Bb%3D"),
            ("limit=5&nextToken=x&state=running", "limit=5&state=running&nextToken=a%2Bb%3D"),
        ] {
            assert_eq!(with_token(query, &token), expected);
        }
        assert_eq!((limit_of("limit=5&a=b"), limit_of("a=b"), limit_of("limit=x")), (5, 100, 100));
    }
}
