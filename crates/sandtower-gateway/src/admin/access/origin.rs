//! Which page a browser's request comes from.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri, header};

const SITE: &str = "sec-fetch-site";
const MODE: &str = "sec-fetch-mode";

/// The host of a request without its port, in lower case.
pub(super) fn host(headers: &HeaderMap) -> Option<String> {
    let authority = authority(headers)?;
    Some(authority.host().to_ascii_lowercase())
}

/// Whether a host is an address and no name.
pub(super) fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).parse::<IpAddr>().is_ok()
}

fn authority(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?.parse().ok();
    // With two of them, two readers may read two.
    host.filter(|_| hosts.next().is_none())
}

/// Whether a request comes from a page of this listener; `None`: it does not say.
pub(in crate::admin) fn is_same_origin(headers: &HeaderMap) -> Option<bool> {
    let site = headers.get(SITE).map(|site| site == "same-origin");
    let origin = headers.get(header::ORIGIN).map(|origin| is_own(origin, headers));
    match (site, origin) {
        (None, None) => None,
        (site, origin) => Some(site.unwrap_or(true) && origin.unwrap_or(true)),
    }
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let Some(own) = authority(headers) else { return false };
    let Some(origin) = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()) else {
        return false;
    };
    // A proxy in front may speak TLS.
    let is_http = matches!(origin.scheme_str(), Some("http" | "https"));
    is_http && origin.authority().is_some_and(|authority| *authority == own)
}

/// Whether a page from elsewhere embeds what it requests: a link that a person follows does not.
pub(in crate::admin) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let is_elsewhere =
        headers.get(SITE).is_some_and(|site| site == "cross-site" || site == "same-site");
    is_elsewhere && headers.get(MODE).is_none_or(|mode| mode != "navigate")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let all = all.iter().map(|(name, value)| {
            (header::HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        all.collect()
    }

    #[test]
    fn a_request_is_of_the_same_origin_if_all_that_it_says_says_so() {
        let own = ("host", "gw.test:4001");
        for (also, expected) in [
            (&[][..], None),
            (&[("origin", "http://gw.test:4001")][..], Some(true)),
            (&[("origin", "https://GW.test:4001")][..], Some(true)),
            (&[("origin", "http://gw.test")][..], Some(false)),
            (&[("origin", "http://gw.test:4001.evil.test")][..], Some(false)),
            (&[("origin", "http://evil.test")][..], Some(false)),
            (&[("origin", "null")][..], Some(false)),
            (&[("origin", "")][..], Some(false)),
            (&[("sec-fetch-site", "same-origin")][..], Some(true)),
            (&[("sec-fetch-site", "none")][..], Some(false)),
            (&[("sec-fetch-site", "same-site")][..], Some(false)),
            (
                &[("sec-fetch-site", "cross-site"), ("origin", "http://gw.test:4001")][..],
                Some(false),
            ),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://evil.test")][..], Some(false)),
        ] {
            let all: Vec<_> = std::iter::once(own).chain(also.iter().copied()).collect();
            assert_eq!(is_same_origin(&headers(&all)), expected, "{all:?}");
        }
        assert_eq!(is_same_origin(&headers(&[("origin", "http://gw.test")])), Some(false));
    }

    #[test]
    fn addresses_differ_from_names() {
        for (host_field, host_name, is) in [
            ("127.0.0.1:4001", "127.0.0.1", true),
            ("[::1]:4001", "[::1]", true),
            ("LOCALHOST", "localhost", false),
            ("127.0.0.1.evil.test", "127.0.0.1.evil.test", false),
        ] {
            let found = host(&headers(&[("host", host_field)])).unwrap();
            assert_eq!((&*found, is_address(&found)), (host_name, is));
        }
        assert_eq!(host(&headers(&[])), None);
        assert_eq!(host(&headers(&[("host", "a@b c")])), None);
    }
}
