//! The daemon of one machine in a region.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{DataVersion, Generation, NodeId, Revision, Sequence, Zone};
use crate::limits;
use crate::name::{AgentName, RegionName};

/// A host name or IP address with a port, as others dial it: `10.1.2.3:7400`,
/// `eu.example.net:7400`, `[2001:db8::1]:7400`. Resolved anew each time it is dialled.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// The text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given:?} is not an address: write HOST:PORT, such as 10.1.2.3:7400 or [2001:db8::1]:7400"
)]
pub struct NotAnAddress {
    /// The text given, shortened to a line.
    pub given: String,
}

impl Address {
    /// Accepts `text` if it is `HOST:PORT`.
    ///
    /// # Errors
    /// If it is anything else.
    pub fn new(text: impl Into<String>) -> Result<Self, NotAnAddress> {
        let text = text.into();
        let parts = text.rsplit_once(':').filter(|(host, port)| {
            text.len() <= limits::ADDRESS_BYTES
                && is_host(host)
                && port.parse::<u16>().is_ok_and(|port| port > 0)
                && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        match parts {
            Some(_) => Ok(Self(text)),
            None => Err(NotAnAddress { given: text.chars().take(80).collect() }),
        }
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(host, _)| host)
    }
}

/// Whether `text` can be dialled: an IPv6 address in brackets, an IPv4 address, or a host name.
#[must_use]
pub fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

impl TryFrom<String> for Address {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        Self::new(text)
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        Self::new(text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What an agent says of itself when it joins, and again when it starts with other addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentDescription {
    /// Its name, unique in the cluster.
    pub name: AgentName,
    /// Its Raft identity: a new one for each new data directory.
    pub node: NodeId,
    /// Where it runs. Fixed for its life.
    pub region: RegionName,
    /// The zone it runs in, where the region has zones. Fixed for its life.
    pub zone: Option<Zone>,
    /// A witness votes and never runs units. Fixed for its life.
    pub witness: bool,
    /// Where clients reach it by gRPC.
    pub client_address: Address,
    /// Where other agents reach it.
    pub peer_address: Address,
    /// The host under which callers reach its gateways; each service adds its port.
    pub gateway_host: String,
    /// The newest data version that its software understands.
    pub supports: DataVersion,
}

/// An agent that the cluster knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// What it said of itself.
    pub description: AgentDescription,
    /// Whether an operator drained it: it is given no units, and is moved out of the voters.
    pub drained: bool,
    /// The event that registered it.
    pub registered: Revision,
    /// The newest report that changed something: older ones are ignored.
    pub last_report: (Generation, Sequence),
}

impl Agent {
    /// Whether units may be placed on it.
    #[must_use]
    pub fn takes_units(&self) -> bool {
        !self.drained && !self.description.witness
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["127.0.0.1:7400", "eu-1.example.net:1", "[::1]:65535"] {
            assert_eq!(Address::new(good).expect("is an address").as_str(), good);
        }
        for bad in
            ["", "7400", ":7400", "a:", "a:0", "a:65536", "a:+1", "a b:1", "http://a:1", "::1:1"]
        {
            assert!(Address::new(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
