//! Table of the configured networks, for a lookup in logarithmic time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use meridian_domain::{Network, RegionName};

/// The address space, cut into ranges of addresses that the same network decides: the longest one
/// that contains them, or none.
#[derive(Debug, Default)]
pub(crate) struct NetworkTable {
    ipv4: Vec<Start>,
    ipv6: Vec<Start>,
}

/// First address of a range that ends before the next one.
#[derive(Debug)]
struct Start {
    first: u128,
    decided: Option<(Network, RegionName)>,
}

/// The range that contains an address.
pub(crate) struct Range<'a> {
    address: u128,
    width: u32,
    first: u128,
    last: u128,
    decided: Option<&'a (Network, RegionName)>,
}

impl NetworkTable {
    pub(crate) fn new(networks: &BTreeMap<Network, RegionName>) -> Self {
        let of_family = |is_ipv4| {
            let is_of = move |network: &Network| network.address().is_ipv4() == is_ipv4;
            networks.iter().filter(move |(network, _)| is_of(network))
        };
        Self { ipv4: cut(of_family(true)), ipv6: cut(of_family(false)) }
    }

    /// Returns the range that contains a canonical address.
    pub(crate) fn find(&self, address: IpAddr) -> Range<'_> {
        let width = width(address);
        let address_bits = bits(address);
        let starts = if address.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        let next = starts.partition_point(|start| start.first <= address_bits);
        let start = next.checked_sub(1).map(|index| &starts[index]);
        Range {
            address: address_bits,
            width,
            first: start.map_or(0, |start| start.first),
            last: starts.get(next).map_or(u128::MAX >> (128 - width), |start| start.first - 1),
            decided: start.and_then(|start| start.decided.as_ref()),
        }
    }
}

impl<'a> Range<'a> {
    /// Returns the network that decides the range, and its region.
    pub(crate) fn decided(&self) -> Option<&'a (Network, RegionName)> {
        self.decided
    }

    /// Returns the length of the shortest prefix of the address, at least `minimum`, that is within
    /// the range.
    pub(crate) fn scope(&self, minimum: u8) -> u8 {
        // A prefix is within the range if it is longer than what the address has in common with the
        // addresses just outside.
        let common = |outside: u128| self.width - (128 - (self.address ^ outside).leading_zeros());
        let below = self.first.checked_sub(1).map_or(0, |outside| common(outside) + 1);
        let end = u128::MAX >> (128 - self.width);
        let above = if self.last == end { 0 } else { common(self.last + 1) + 1 };
        minimum.max(below.max(above) as u8)
    }
}

/// Cuts the address space at the first and after the last address of each network. The networks are
/// sorted: one that contains others is before them.
fn cut<'a>(networks: impl Iterator<Item = (&'a Network, &'a RegionName)>) -> Vec<Start> {
    let mut cutter = Cutter::default();
    for (network, region) in networks {
        let first = bits(network.address());
        cutter.close_before(Some(first));
        cutter.open.push((network, region));
        cutter.start(first);
    }
    cutter.close_before(None);
    cutter.starts
}

#[derive(Default)]
struct Cutter<'a> {
    starts: Vec<Start>,
    /// Networks that contain the current address, the longest last.
    open: Vec<(&'a Network, &'a RegionName)>,
}

impl Cutter<'_> {
    /// Starts a range that the longest open network decides.
    fn start(&mut self, first: u128) {
        // Two networks start at the same address, or one ends where the next one starts.
        self.starts.pop_if(|last| last.first == first);
        let decided = self.open.last().map(|(network, region)| (**network, (*region).clone()));
        self.starts.push(Start { first, decided });
    }

    /// Closes the networks that end before the address; all without one.
    fn close_before(&mut self, address: Option<u128>) {
        while let Some((network, _)) = self.open.last().copied() {
            let last = last_address(network);
            if address.is_some_and(|address| last >= address) {
                return;
            }
            self.open.pop();
            if last < u128::MAX >> (128 - width(network.address())) {
                self.start(last + 1);
            }
        }
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn last_address(network: &Network) -> u128 {
    let host_bits = width(network.address()) - u32::from(network.prefix_length());
    bits(network.address()) | u128::MAX.checked_shr(128 - host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use meridian_domain::State;
    use meridian_domain::routing::network_of;

    use super::*;

    /// Numbers that look random, the same in each run (Knuth's MMIX generator).
    fn random() -> impl FnMut(u64) -> u64 {
        let mut seed: u64 = 42;
        move |below| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 32) % below
        }
    }

    /// Returns nested and adjacent networks: the addresses differ in their first 10 bits only.
    fn networks(random: &mut impl FnMut(u64) -> u64, count: u64) -> State {
        let region = |number| RegionName::new(format!("region-{number}")).expect("is a name");
        let network = |_| {
            let address = Ipv4Addr::from((random(1_024) as u32) << 22);
            Network::containing(address.into(), random(13) as u8)
        };
        let networks = (0..count).map(network).zip((0..).map(region));
        State { networks: networks.collect(), ..State::default() }
    }

    #[test]
    fn the_table_decides_as_the_domain_does_and_its_scope_is_the_shortest() {
        let mut random = random();
        for round in 0..200 {
            let state = networks(&mut random, round % 20);
            let table = NetworkTable::new(&state.networks);
            for _ in 0..100 {
                let address = IpAddr::from(Ipv4Addr::from((random(1 << 32)) as u32));
                let range = table.find(address);
                let decided = range.decided().map(|(network, region)| (*network, region));
                assert_eq!(decided, network_of(&state, address), "{address}");

                let minimum = decided.map_or(0, |(network, _)| network.prefix_length());
                let holds = |length: &u8| {
                    let prefix = Network::containing(address, *length);
                    let inside = |other: &Network| {
                        other.prefix_length() > minimum && prefix.contains(other.address())
                    };
                    // A longer network may contain the prefix only if it decides.
                    !state.networks.keys().any(|other| {
                        inside(other) && other.prefix_length() >= prefix.prefix_length()
                    })
                };
                let shortest = (minimum..=32).find(holds);
                assert_eq!(Some(range.scope(minimum)), shortest, "{address} {state:?}");
            }
        }
    }

    #[test]
    fn the_whole_address_space_can_be_a_network() {
        let networks = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("is one"));
        let region = RegionName::new("eastus").expect("is a name");
        let table = NetworkTable::new(&networks.map(|network| (network, region.clone())).into());
        for (address, network) in ["255.255.255.255", "::"].into_iter().zip(networks) {
            let range = table.find(address.parse().expect("is an address"));
            assert_eq!(range.decided(), Some(&(network, region.clone())));
            assert_eq!(range.scope(0), 0);
        }
    }
}
