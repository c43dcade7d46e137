//! Settings of the name servers, and networks of clients.

use std::collections::BTreeSet;

use super::decision::Decision;
use crate::dns::DnsSettings;
use crate::event::Event;
use crate::limits;
use crate::name::RegionName;
use crate::network::Network;
use crate::rejection::Rejection;
use crate::unknown;

pub(super) fn set(decision: &mut Decision<'_>, requested: &DnsSettings) {
    let state = decision.state;
    if *requested == state.header.dns {
        return;
    }
    let DnsSettings { zone, ttl_seconds, fallback_regions, name_servers } = requested;
    check_range(decision, "ttl", (*ttl_seconds).into(), 1..=limits::MAX_TTL_SECONDS.into());
    let fallback = (*fallback_regions).into();
    check_range(decision, "fallback_regions", fallback, 0..=limits::MAX_FALLBACK_REGIONS.into());
    for agent in name_servers.iter().filter(|name| !state.agents.contains_key(*name)) {
        decision.reject(unknown::agent(state, agent));
    }
    if name_servers.iter().collect::<BTreeSet<_>>().len() < name_servers.len() {
        decision.reject(Rejection::DuplicateEdit { field: "name server".to_owned() });
    }
    if name_servers.len() > limits::NAME_SERVERS {
        let resource = "name servers".to_owned();
        decision.reject(Rejection::TooMany { resource, max: limits::NAME_SERVERS as u32 });
    }
    if let Some(zone) = zone {
        for agent in state.agents.values().map(|agent| &agent.description) {
            if zone.contains(&agent.gateway_host) {
                decision.reject(Rejection::GatewayHostInZone {
                    agent: agent.name.clone(),
                    host: agent.gateway_host.clone(),
                    zone: zone.to_string(),
                });
            }
        }
    }
    decision.emit(Event::DnsSet { settings: requested.clone() });
}

fn check_range(
    decision: &mut Decision<'_>,
    setting: &str,
    requested: u16,
    range: std::ops::RangeInclusive<u16>,
) {
    if !range.contains(&requested) {
        let (setting, min, max) = (setting.to_owned(), *range.start(), *range.end());
        decision.reject(Rejection::DnsSettingOutOfRange { setting, min, max, requested });
    }
}

pub(super) fn change_networks(
    decision: &mut Decision<'_>,
    assign: &[(Network, RegionName)],
    remove: &[Network],
) {
    let state = decision.state;
    let mut seen = BTreeSet::new();
    for network in assign.iter().map(|(network, _)| network).chain(remove) {
        if !seen.insert(*network) {
            decision.reject(Rejection::DuplicateNetwork { network: *network });
        }
    }
    for (network, region) in assign {
        if state.region(region).is_none() {
            decision.reject(unknown::region(state, region));
        }
        if state.networks.get(network) != Some(region) {
            let (network, region) = (*network, region.clone());
            decision.emit(Event::NetworkAssigned { network, region });
        }
    }
    for network in remove {
        if !state.networks.contains_key(network) {
            decision.reject(Rejection::NetworkUnknown { network: *network });
        }
        decision.emit(Event::NetworkRemoved { network: *network });
    }
    let is_new = |(network, _): &&(Network, RegionName)| !state.networks.contains_key(network);
    let added = assign.iter().filter(is_new).count();
    if state.networks.len() + added > limits::NETWORKS + remove.len() {
        let resource = "networks".to_owned();
        decision.reject(Rejection::TooMany { resource, max: limits::NETWORKS as u32 });
    }
}
