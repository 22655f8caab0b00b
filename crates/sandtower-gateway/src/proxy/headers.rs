//! Header fields: which of them end here, and which are added.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::forwarded;

pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("should-retry");
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const CONNECT_TIMEOUT: HeaderName = HeaderName::from_static("connect-timeout-ms");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Those that are about one connection, besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes what is about the connection that the message came by.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // With both, the length is not that of the body.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            tokens(headers, &header::CONNECTION).filter_map(|name| name.parse().ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        if headers.contains_key(name) {
            headers.remove(name);
        }
    }
}

/// The protocol that a request wants to go on in, if it does.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wants = tokens(headers, &header::CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| wants).cloned()
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

/// Makes the header fields of a request those of the one that is sent on; returns its id.
pub(crate) fn prepare(headers: &mut HeaderMap, client: IpAddr) -> HeaderValue {
    strip_hop_by_hop(headers);
    // The server of this connection has seen to it; the next one is sent the body at once.
    headers.remove(header::EXPECT);
    headers.remove(header::HOST);
    forwarded::write(headers, client);
    if !headers.contains_key(TRACEPARENT) {
        let (trace, span) = (fastrand::u128(1..), fastrand::u64(1..));
        if let Ok(value) = HeaderValue::try_from(format!("00-{trace:032x}-{span:016x}-01")) {
            headers.insert(TRACEPARENT, value);
        }
    }
    if let Some(id) = headers.get(REQUEST_ID) {
        return id.clone();
    }
    let id = HeaderValue::try_from(format!("{:032x}", fastrand::u128(..)));
    let id = id.unwrap_or_else(|_| HeaderValue::from_static("0"));
    headers.insert(REQUEST_ID, id.clone());
    id
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

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
    fn an_upgrade_needs_both_fields() {
        assert!(upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        let both = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        assert_eq!(upgrade(&both).unwrap(), "websocket");
    }

    #[test]
    fn ids_are_added_where_there_are_none() {
        let mut all =
            headers(&[("host", "gw"), ("expect", "100-continue"), ("x-forwarded-for", "1.2.3.4")]);
        let id = prepare(&mut all, Ipv4Addr::LOCALHOST.into());
        assert_eq!(all[REQUEST_ID], id);
        assert_eq!(all["x-forwarded-for"], "127.0.0.1");
        assert_eq!(all[TRACEPARENT].len(), 55);
        assert!(!all.contains_key("host") && !all.contains_key("expect"));
        let mut theirs = headers(&[("x-request-id", "mine"), ("traceparent", "theirs")]);
        assert_eq!(prepare(&mut theirs, Ipv4Addr::LOCALHOST.into()), "mine");
        assert_eq!(theirs[TRACEPARENT], "theirs");
    }
}
