//! Networks of clients.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Network in CIDR notation (RFC 4632), such as `10.1.0.0/16` or `2001:db8::/32`. All bits after the
/// prefix are 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// The text is not in CIDR notation.
    #[error("invalid network {text:?}: use ADDRESS/PREFIX, such as 10.1.0.0/16 or 2001:db8::/32")]
    Syntax {
        /// Rejected text, truncated to 80 characters.
        text: String,
    },
    /// The address has bits after the prefix.
    #[error("invalid network {text}: the network of this address is {network}")]
    HostBits {
        /// Rejected text.
        text: String,
        /// The network that contains the address.
        network: Network,
    },
}

impl Network {
    /// Returns the network with a prefix of `length` bits that contains the address; the prefix of a
    /// shorter address is the whole address.
    #[must_use]
    pub fn containing(address: IpAddr, length: u8) -> Self {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        Self(IpNet::new_assert(address, length.min(longest)).trunc())
    }

    /// Returns the address with all bits after the prefix being 0.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.0.addr()
    }

    /// Returns the length of the prefix in bits.
    #[must_use]
    pub fn prefix_length(self) -> u8 {
        self.0.prefix_len()
    }

    /// Returns true if the address is in the network.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let syntax = |_| InvalidNetwork::Syntax { text: text.chars().take(80).collect() };
        let parsed: IpNet = text.parse().map_err(syntax)?;
        let parsed = canonical(parsed);
        let network = Self(parsed.trunc());
        if network.0 != parsed {
            return Err(InvalidNetwork::HostBits { text: text.to_owned(), network });
        }
        Ok(network)
    }
}

/// Converts a network of IPv4 addresses that are mapped to IPv6 (RFC 4291): clients have IPv4 addresses.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96)),
        IpNet::V4(_) => None,
    };
    mapped.map_or(network, |(address, length)| IpNet::new_assert(address.into(), length))
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
