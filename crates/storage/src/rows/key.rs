//! Keys of state rows, without their epoch.

use std::net::IpAddr;

use meridian_domain::{
    AgentName, ApiName, Incarnation, Network, RegionName, RequestId, ServiceName, UnitId,
};

/// Key of a state row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Agent.
    Agent(AgentName),
    /// Greatest forgotten request id.
    Forgotten,
    /// Losses of the gateways of an agent.
    Losses(AgentName),
    /// Network of clients.
    Network(Network),
    /// Outcome of a request.
    Outcome(RequestId),
    /// Region that an operator defined.
    Region(RegionName),
    /// API of a service.
    Api(ServiceName, ApiName),
    /// Service.
    Service(ServiceName),
    /// Measured round trip between two regions.
    RoundTrip(RegionName, RegionName),
    /// Unit.
    Unit(UnitId, Incarnation),
    /// Header: the singleton values of the state.
    Header,
}

impl Key {
    /// Returns the bytes of the key, without the epoch.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Agent(name) => [b"a", name.as_str().as_bytes()].concat(),
            Self::Forgotten => b"f".to_vec(),
            Self::Losses(agent) => [b"l", agent.as_str().as_bytes()].concat(),
            Self::Network(network) => network_bytes(*network),
            Self::Outcome(request) => [b"o", request.uuid().as_bytes().as_slice()].concat(),
            Self::Region(name) => [b"r", name.as_str().as_bytes()].concat(),
            Self::Api(service, api) => {
                [b"p", service.as_str().as_bytes(), b"\0", api.as_str().as_bytes()].concat()
            }
            Self::Service(name) => [b"s", name.as_str().as_bytes()].concat(),
            Self::RoundTrip(one, other) => {
                [b"t", one.as_str().as_bytes(), b"\0", other.as_str().as_bytes()].concat()
            }
            Self::Unit(unit, incarnation) => [
                b"u",
                unit.service.as_str().as_bytes(),
                b"\0",
                unit.region.as_str().as_bytes(),
                b"\0",
                &unit.slot.to_be_bytes(),
                &incarnation.0.to_be_bytes(),
            ]
            .concat(),
            Self::Header => b"z".to_vec(),
        }
    }
}

/// Returns the key of a network, which sorts like the network: IPv4 before IPv6, then by address.
fn network_bytes(network: Network) -> Vec<u8> {
    let length = [network.prefix_length()];
    match network.address() {
        IpAddr::V4(address) => [b"n4", address.octets().as_slice(), &length].concat(),
        IpAddr::V6(address) => [b"n6", address.octets().as_slice(), &length].concat(),
    }
}
