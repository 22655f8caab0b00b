//! Header fields: which of them end here, and which are added.

use bytes::Bytes;
use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::forwarded;

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("should-retry");
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Those that end here: of all messages those that are about one connection, besides those that `Connection`
/// names; then those of requests. The server of this connection has seen to `Expect`; the next one is sent the
/// body at once.
const END_HERE: [HeaderName; ENDING] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::HOST,
];
const ENDING: usize = 10;
/// How many of them end here in any message.
const HOP_BY_HOP: usize = 8;
const CONNECTION: usize = 0;
const TRANSFER_ENCODING: usize = 6;

/// Where a name is in [`END_HERE`]. Each field of each message is looked at once, which costs less than to look
/// up each of those names.
fn place(name: &str) -> Option<usize> {
    Some(match name {
        "connection" => CONNECTION,
        "keep-alive" => 1,
        "proxy-authenticate" => 2,
        "proxy-authorization" => 3,
        "proxy-connection" => 4,
        "te" => 5,
        "transfer-encoding" => TRANSFER_ENCODING,
        "upgrade" => 7,
        "expect" => 8,
        "host" => 9,
        _ => return None,
    })
}

/// Removes what is about the connection that the message came by.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip(headers, HOP_BY_HOP);
}

/// Removes the first `count` of [`END_HERE`], and what `Connection` names.
fn strip(headers: &mut HeaderMap, count: usize) {
    let mut found = [false; ENDING];
    for place in headers.keys().filter_map(|name| place(name.as_str())) {
        found[place] = place < count;
    }
    // With both, the length is not that of the body.
    if found[TRANSFER_ENCODING] {
        headers.remove(header::CONTENT_LENGTH);
    }
    if found[CONNECTION] {
        // The field of that name ends here anyway.
        let others = |name: &&str| !name.eq_ignore_ascii_case("keep-alive");
        let named = tokens(headers, &header::CONNECTION).filter(others);
        let named: Vec<HeaderName> = named.filter_map(|name| name.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for (name, found) in END_HERE.iter().zip(found) {
        if found {
            headers.remove(name);
        }
    }
}

/// The protocol that a request wants to go on in, if it does.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    let wants = tokens(headers, &header::CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"));
    wants.then(|| protocol.clone())
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Makes the header fields of a request those of the one that is sent on, for `client`; returns its id.
pub(crate) fn prepare(headers: &mut HeaderMap, client: HeaderValue) -> HeaderValue {
    strip(headers, ENDING);
    forwarded::write(headers, client);
    let (trace, new_id) = ids();
    if let Entry::Vacant(field) = headers.entry(TRACEPARENT) {
        field.insert(trace);
    }
    headers.entry(REQUEST_ID).or_insert(new_id).clone()
}

/// That of a new trace, and the id of a request: two parts of one text, which costs fewer allocations.
fn ids() -> (HeaderValue, HeaderValue) {
    let mut text =
        *b"00-________________________________-________________-01________________________________";
    put_hex(&mut text[3..35], fastrand::u128(1..));
    put_hex(&mut text[36..52], fastrand::u64(1..).into());
    put_hex(&mut text[55..], fastrand::u128(..));
    let text = Bytes::copy_from_slice(&text);
    // Digits, letters and dashes.
    let value = |part| HeaderValue::from_maybe_shared(part);
    let value = |part| value(part).unwrap_or_else(|_| HeaderValue::from_static("0"));
    (value(text.slice(..55)), value(text.slice(55..)))
}

/// Fills `digits` with the last ones of `number`.
fn put_hex(digits: &mut [u8], mut number: u128) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % 16) as usize];
        number /= 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: HeaderValue = HeaderValue::from_static("127.0.0.1");

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_about_the_connection_ends_here() {
        let mut all = headers(&[
            ("connection", "close, X-Mine"),
            ("connection", "keep-alive"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("upgrade", "websocket"),
            ("user-agent", "e2b-python"),
            ("e2b-sandbox-id", "i0"),
        ]);
        strip_hop_by_hop(&mut all);
        let mut left: Vec<_> = all.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["e2b-sandbox-id", "user-agent"]);
    }

    #[test]
    fn each_name_that_ends_here_is_found() {
        for (at, name) in END_HERE.iter().enumerate() {
            assert_eq!(place(name.as_str()), Some(at), "{name}");
        }
        let mut response =
            headers(&[("host", "x"), ("connection", "keep-alive"), ("keep-alive", "1")]);
        strip_hop_by_hop(&mut response);
        assert!(response.keys().eq(["host"]));
    }

    #[test]
    fn ids_have_as_many_digits_as_they_should() {
        let mut digits = [0; 4];
        put_hex(&mut digits, 0xabcde);
        assert_eq!(&digits, b"bcde");
        let (trace, id) = ids();
        let parts: Vec<_> = trace.to_str().unwrap().split('-').map(str::len).collect();
        assert_eq!((parts, id.len()), (vec![2, 32, 16, 2], 32));
        assert!(![trace, id].iter().any(|value| value.as_bytes().contains(&b'_')));
    }

    #[test]
    fn an_upgrade_needs_both_fields() {
        assert!(upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        let both = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade(&both).unwrap(), "websocket");
    }

    #[test]
    fn ids_are_added_where_there_are_none() {
        let mut all =
            headers(&[("host", "gw"), ("expect", "100-continue"), ("x-forwarded-for", "1.2.3.4")]);
        let id = prepare(&mut all, CLIENT);
        assert_eq!(all[REQUEST_ID], id);
        assert_eq!(all["x-forwarded-for"], "127.0.0.1");
        assert_eq!(all[TRACEPARENT].len(), 55);
        assert!(!all.contains_key("host") && !all.contains_key("expect"));
        let mut theirs = headers(&[("x-request-id", "mine"), ("traceparent", "theirs")]);
        assert_eq!(prepare(&mut theirs, CLIENT), "mine");
        assert_eq!(theirs[TRACEPARENT], "theirs");
    }
}
