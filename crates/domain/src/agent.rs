//! Agents: the daemons that run units, one per machine.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{DataVersion, Generation, NodeId, Revision, Sequence, Zone};
use crate::limits;
use crate::name::{AgentName, RegionName};

/// Network address: a host name or IP address with a port, such as `10.1.2.3:7400`,
/// `eu.example.net:7400` or `[2001:db8::1]:7400`. Host names are resolved at each dial.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// The text is not a network address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address {text:?}: use HOST:PORT, such as 10.1.2.3:7400 or [2001:db8::1]:7400")]
pub struct InvalidAddress {
    /// Rejected text, truncated to 80 characters.
    pub text: String,
}

impl Address {
    /// Parses `text` of the form `HOST:PORT`.
    ///
    /// # Errors
    /// If `text` has another form, or the port is 0.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidAddress> {
        let text = text.into();
        let parts = text.rsplit_once(':').filter(|(host, port)| {
            text.len() <= limits::ADDRESS_BYTES
                && is_host(host)
                && port.parse::<u16>().is_ok_and(|port| port > 0)
                && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        match parts {
            Some(_) => Ok(Self(text)),
            None => Err(InvalidAddress { text: text.chars().take(80).collect() }),
        }
    }

    /// Returns the whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the host. An IPv6 address has its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.rsplit_once(':').map_or("", |(host, _)| host)
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        let port = self.0.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.expect("an address has a port")
    }
}

/// Returns true if `text` is an IPv6 address in brackets, an IPv4 address, or a host name.
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
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        Self::new(text)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
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

/// Description that an agent registers when it joins, and again when it starts with other
/// addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentDescription {
    /// Name, unique in the cluster.
    pub name: AgentName,
    /// Raft node id. Each data directory has its own id.
    pub node: NodeId,
    /// Region that the agent runs in. Immutable.
    pub region: RegionName,
    /// Zone that the agent runs in, if the region has zones. Immutable.
    pub zone: Option<Zone>,
    /// Set for a witness, which votes and never runs units. Immutable.
    pub witness: bool,
    /// Address of the gRPC API for clients.
    pub client_address: Address,
    /// Address for other agents.
    pub peer_address: Address,
    /// Host of its gateways for clients. Each service adds its own port.
    pub gateway_host: String,
    /// Newest data version that its software supports.
    pub supports: DataVersion,
}

impl AgentDescription {
    /// Host at which other agents probe its gateways: the one for clients. If that one is a loopback
    /// address, which reaches the agent from its own machine alone (for example through published
    /// ports of a container), the host of its peer address.
    #[must_use]
    pub fn probed_host(&self) -> &str {
        let peer_host = self.peer_address.host();
        if is_loopback(&self.gateway_host) && !is_loopback(peer_host) {
            peer_host
        } else {
            &self.gateway_host
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |it| it.is_loopback())
}

/// An agent of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Description as last registered.
    pub description: AgentDescription,
    /// Set while the agent is drained: it is assigned no units and does not vote.
    pub drained: bool,
    /// Revision of the event that registered the agent.
    pub registered: Revision,
    /// Newest report that was applied. Older reports are ignored.
    pub last_report: (Generation, Sequence),
}

impl Agent {
    /// Returns true if units can be assigned to the agent.
    #[must_use]
    pub fn takes_units(&self) -> bool {
        !self.drained && !self.description.witness
    }
}
