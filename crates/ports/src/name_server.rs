//! The name server of an agent.

use std::net::{IpAddr, SocketAddr};

use meridian_domain::{Network, RegionName};

/// Location of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The region closest to the client.
    pub region: RegionName,
    /// Source of the location.
    pub source: LocationSource,
    /// Length in bits of the prefix of the address for which the location is the same.
    pub scope: u8,
}

/// Source of a client's location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocationSource {
    /// A replicated network that contains the address.
    Network(Network),
    /// The location database of the agent.
    Database,
    /// Neither knows the address: the region of the agent.
    OwnRegion,
}

/// Name server of an agent, for its other components.
pub trait NameServer: Send + Sync {
    /// Returns the location of a client. An IPv4 address may be mapped to IPv6 (RFC 4291).
    fn locate(&self, address: IpAddr) -> Located;

    /// Returns the region of the agent: that of clients whose location is not known.
    fn region(&self) -> &RegionName;

    /// Returns the addresses that it responds on; none if it is not configured. An unspecified one
    /// stands for all addresses of the machine.
    fn addresses(&self) -> &[SocketAddr];

    /// Returns the records that delegate the zone to all name servers, for its parent zone, in the
    /// format of zone files (RFC 1035, section 5); none without a zone.
    fn delegation(&self) -> Vec<String>;
}
