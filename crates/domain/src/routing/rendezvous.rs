//! Weighted rendezvous hashing: each client network draws a number for each region, and the lowest
//! one wins. A region wins in proportion to its weight, and a change of one region's weight or
//! availability moves only clients to or from that region (Thaler and Ravishankar, 1998; weighted as
//! in the straw2 buckets of Ceph).
//!
//! All arithmetic is on integers, and the hash function is fixed: all agents, of any version and on any
//! platform, must draw the same numbers.

use std::net::IpAddr;

use crate::name::RegionName;
use crate::network::Network;

/// Bits of the fraction of a logarithm.
const FRACTION_BITS: u32 = 32;

/// Returns the rank of a region for a client, the lowest first. Regions without weight are last.
/// Without a network, the region with the highest weight is first.
pub(super) fn rank(network: Option<Network>, region: &RegionName, weight: u16) -> u128 {
    if weight == 0 {
        return u128::MAX;
    }
    // 1.0, the same for all regions.
    let draw = network.map_or(1 << FRACTION_BITS, |network| draw(network, region));
    (u128::from(draw) << FRACTION_BITS) / u128::from(weight)
}

/// Returns -log2 of a number that is uniformly distributed between 0 and 1: an exponentially
/// distributed number. Divided by a weight, it is the lowest one with a probability in proportion to
/// the weight.
fn draw(network: Network, region: &RegionName) -> u64 {
    negative_log2(mix(fnv(network, region)))
}

/// FNV-1a of the network and the region (draft-eastlake-fnv).
fn fnv(network: Network, region: &RegionName) -> u64 {
    let address = match network.address() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let bytes = address.iter().chain(region.as_str().as_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finalizer of `SplitMix64` (Steele, Lea and Flood, 2014), so that each bit of the result
/// depends on all bits of the hash.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// Returns -log2((number + 1) / 2^64), in units of 2^-32.
fn negative_log2(number: u64) -> u64 {
    let number = u128::from(number) + 1;
    let whole = number.ilog2();
    // The digits of the logarithm after the point, by repeated squaring of a number from 1 to 2, which
    // has its point after bit 63.
    let mut scaled = number << (64 - whole) >> 1;
    let mut fraction = 0_u64;
    for _ in 0..FRACTION_BITS {
        scaled = (scaled * scaled) >> 63;
        let carries = scaled >> 64;
        fraction = (fraction << 1) | carries as u64;
        scaled >>= carries;
    }
    (64 << FRACTION_BITS) - ((u64::from(whole) << FRACTION_BITS) | fraction)
}
