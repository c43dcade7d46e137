//! Locations of clients.

use std::net::IpAddr;

use super::great_circle::{Coordinates, kilometers};
use crate::catalog::Region;
use crate::name::RegionName;
use crate::network::Network;
use crate::state::State;

/// Length in bits of the prefix that identifies a client's network, in IPv4 and IPv6: the most that a
/// resolver should disclose (RFC 7871, section 11.1).
const PREFIX_V4: u8 = 24;
const PREFIX_V6: u8 = 56;

/// A client, as far as it affects routing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The region closest to it.
    pub region: RegionName,
    /// Its network, as of [`client_network`]; `None` if unknown. Only
    /// [`RoutingPolicy::Weighted`](super::RoutingPolicy::Weighted) depends on it.
    pub network: Option<Network>,
}

/// Returns the network by which a client is told apart from others: a /24 in IPv4, a /56 in IPv6. An
/// IPv4 address may be mapped to IPv6 (RFC 4291).
#[must_use]
pub fn client_network(address: IpAddr) -> Network {
    let address = address.to_canonical();
    Network::containing(address, if address.is_ipv4() { PREFIX_V4 } else { PREFIX_V6 })
}

/// Returns the longest of the replicated networks that contains the address, and its region.
#[must_use]
pub fn network_of(state: &State, address: IpAddr) -> Option<(Network, &RegionName)> {
    let address = address.to_canonical();
    let longest = if address.is_ipv4() { 32 } else { 128 };
    (0..=longest).rev().find_map(|length| {
        let network = Network::containing(address, length);
        state.networks.get(&network).map(|region| (network, region))
    })
}

/// Returns the region of the catalog, or the custom one, that is closest to the coordinates by great
/// circle; the first by name among equals. Coordinates are in degrees.
///
/// # Panics
/// Never: the catalog is not empty.
#[must_use]
pub fn closest_region(state: &State, latitude: f64, longitude: f64) -> &Region {
    let client = Coordinates { latitude, longitude };
    let distance = |region: &Region| kilometers(client, Coordinates::of(region));
    let by_distance = |one: &&Region, other: &&Region| {
        distance(one).total_cmp(&distance(other)).then_with(|| one.name.cmp(&other.name))
    };
    state.all_regions().min_by(by_distance).expect("the catalog has regions")
}
