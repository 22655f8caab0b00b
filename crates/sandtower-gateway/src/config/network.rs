use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A range of addresses, as a text such as `"10.0.0.0/8"`, or a single one such as `"10.0.0.1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in the range. An IPv4 address that is written as an IPv6 one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let expected = &"a range of addresses such as \"10.0.0.0/8\", or an address";
        network.map(Self).map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), expected))
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}
