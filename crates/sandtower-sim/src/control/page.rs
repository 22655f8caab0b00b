//! Pages of a list: where one ends and the next one begins.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::query::Query;

const MAX_LIMIT: u64 = 100;

/// Which page is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    limit: usize,
    /// The last item of the page before: the number that it has in its list.
    after: Option<u64>,
}

impl Page {
    /// Reads the parameters `limit` and `nextToken`.
    pub(super) fn of(query: &Query) -> Result<Self, ApiError> {
        let limit = query.number("limit", 1..=MAX_LIMIT)?.unwrap_or(MAX_LIMIT);
        let after = query
            .get("nextToken")
            .map(|token| parse(token).ok_or_else(|| ApiError::bad_request("Invalid next token")));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Self { limit, after: after.transpose()? })
    }

    /// Leaves the page's items of a list that is in order; the token of the next one, if there is
    /// one, for the headers.
    pub(super) fn cut<T>(
        self,
        items: &mut Vec<T>,
        number: impl Fn(&T) -> u64,
        ascending: bool,
    ) -> HeaderMap {
        if let Some(last) = self.after {
            items.retain(|item| if ascending { number(item) > last } else { number(item) < last });
        }
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more).map(number);
        let token = last.and_then(|last| HeaderValue::try_from(token(last)).ok());
        token
            .into_iter()
            .map(|token| (http::HeaderName::from_static("x-next-token"), token))
            .collect()
    }
}

/// The token that a client sends back; it means nothing to the client.
fn token(number: u64) -> String {
    URL_SAFE_NO_PAD.encode(number.to_be_bytes())
}

fn parse(token: &str) -> Option<u64> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_its_number() {
        assert_eq!(parse(&token(77)), Some(77));
        for bad in ["", "x", "AAAA", "!!!!!!!!!!!"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
