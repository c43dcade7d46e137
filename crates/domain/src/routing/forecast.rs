//! Effect of losing regions on the clients of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Candidate, Client, RoutingPolicy, client_network, order};
use crate::name::RegionName;
use crate::network::Network;
use crate::service::Service;
use crate::state::State;

/// Number of sample networks in each region, from which the moves of clients are forecast whose region
/// depends on their network.
const SAMPLES: u8 = 16;

/// Clients that move to another region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Their region now.
    pub from: RegionName,
    /// Their next region; `None` if no region remains that serves.
    pub to: Option<RegionName>,
    /// Regions closest to these clients.
    pub client_regions: BTreeSet<RegionName>,
    /// Minimum and maximum difference between the next round trip and the current one, at least 0;
    /// `None` without a destination.
    pub added: Option<(Duration, Duration)>,
}

/// Returns the clients of a service that move if the regions are lost, by their region now and their
/// next one. There are clients near every region of the catalog and every custom one.
#[must_use]
pub fn forecast(state: &State, service: &Service, lost: &BTreeSet<RegionName>) -> Vec<Move> {
    let mut moves: BTreeMap<(RegionName, Option<RegionName>), Move> = BTreeMap::new();
    for region in state.all_regions() {
        for network in networks(service.routing) {
            let client = Client { region: region.name.clone(), network };
            add(&mut moves, state, service, &client, lost);
        }
    }
    moves.into_values().collect()
}

/// Networks of the clients near a region.
fn networks(policy: RoutingPolicy) -> Vec<Option<Network>> {
    match policy {
        RoutingPolicy::Nearest | RoutingPolicy::Priority => vec![None],
        RoutingPolicy::Weighted => {
            let address = |number| IpAddr::V4(Ipv4Addr::new(10, 0, number, 0));
            (0..SAMPLES).map(|number| Some(client_network(address(number)))).collect()
        }
    }
}

fn add(
    moves: &mut BTreeMap<(RegionName, Option<RegionName>), Move>,
    state: &State,
    service: &Service,
    client: &Client,
    lost: &BTreeSet<RegionName>,
) {
    let order = order(state, service, client);
    let Some(now) = order.routed().next().filter(|now| lost.contains(&now.region)) else { return };
    let remains = |it: &&Candidate| it.availability.serves() && !lost.contains(&it.region);
    let next = order.candidates.iter().find(remains);
    let to = next.map(|next| next.region.clone());
    let moved = moves.entry((now.region.clone(), to.clone())).or_insert_with(|| Move {
        from: now.region.clone(),
        to,
        client_regions: BTreeSet::new(),
        added: None,
    });
    moved.client_regions.insert(client.region.clone());
    if let Some(next) = next {
        let added = next.round_trip.time.saturating_sub(now.round_trip.time);
        let (min, max) = moved.added.unwrap_or((added, added));
        moved.added = Some((min.min(added), max.max(added)));
    }
}
