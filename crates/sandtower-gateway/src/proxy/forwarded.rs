//! Whom a request is from, if proxies in front of the gateway say so.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What else proxies say it by: the gateway does not read them, and a client could have made them up.
const OTHERS: [HeaderName; 2] =
    [HeaderName::from_static("forwarded"), HeaderName::from_static("x-real-ip")];

/// The address of the client behind `peer`: the last one in `X-Forwarded-For` that is not that of a
/// trusted proxy. What stands before it may be made up. Of a peer that is not trusted, nothing is read.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for value in headers.get_all(FORWARDED_FOR).iter().rev() {
        for hop in value.to_str().unwrap_or_default().rsplit(',') {
            // One that cannot be read was not written by a proxy that is trusted.
            let Some(address) = address(hop.trim()) else { return client };
            client = address;
            if !is_trusted(client) {
                return client;
            }
        }
    }
    client
}

/// Some proxies write the port, too.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// Replaces what the request says of its client.
pub(crate) fn write(headers: &mut HeaderMap, client: HeaderValue) {
    for name in &OTHERS {
        headers.remove(name);
    }
    headers.insert(FORWARDED_FOR, client);
}

/// An address as the value of a field.
pub(crate) fn value(address: IpAddr) -> HeaderValue {
    // It is digits, letters, dots and colons.
    HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Vec<Network> {
        serde_json::from_str(r#"["10.0.0.0/8", "fd00::/8", "192.0.2.1"]"#).unwrap()
    }

    fn behind(peer: &str, values: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
        }
        client(peer.parse().unwrap(), &headers, &trusted()).to_string()
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_clients() {
        let cases: &[(&str, &[&'static str], &str)] = &[
            // A peer that is not trusted says nothing.
            ("203.0.113.7", &["198.51.100.1"], "203.0.113.7"),
            ("203.0.113.7", &["10.0.0.1"], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // What a client wrote stands before what the proxy adds.
            ("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["10.9.9.9, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, 192.0.2.1,10.0.0.2"], "198.51.100.1"),
            // All of them are trusted: the first one.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1, made up, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["", "198.51.100.1,"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1"),
            ("192.0.2.2", &["198.51.100.1"], "192.0.2.2"),
        ];
        for (peer, values, expected) in cases {
            assert_eq!(behind(peer, values), *expected, "{peer}: {values:?}");
        }
    }

    #[test]
    fn what_was_said_is_replaced() {
        let mut headers = HeaderMap::new();
        for name in ["x-forwarded-for", "x-real-ip", "forwarded"] {
            headers.append(name, HeaderValue::from_static("1.1.1.1"));
            headers.append(name, HeaderValue::from_static("2.2.2.2"));
        }
        write(&mut headers, value("198.51.100.1".parse().unwrap()));
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-forwarded-for"], "198.51.100.1");
    }
}
