//! Gateways of a location that clients connect to.

use std::collections::BTreeMap;

use crate::agent::Agent;
use crate::id::Incarnation;
use crate::name::{AgentName, RegionName};
use crate::reachability::loss_of;
use crate::service::Service;
use crate::state::State;
use crate::unit::Unit;

/// A gateway: an agent that serves clients of a location, and its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gateway<'a> {
    /// The agent. Clients connect to the host that it advertises for its gateways.
    pub agent: &'a Agent,
    /// TCP port.
    pub port: u16,
}

/// Returns the gateways of a location by the name of their agent: one for each agent with a ready
/// unit that is not lost, at the port of the newest one. If there is none, all of them, and without
/// any ready unit one for each agent of the region that takes units, at the port of the service: one
/// of them may serve before the log says so. None if the gateway is disabled or the service has no location in the region.
#[must_use]
pub fn gateways<'a>(
    state: &'a State,
    service: &'a Service,
    region: &'a RegionName,
) -> Vec<Gateway<'a>> {
    if !service.locations.get(region).is_some_and(|location| location.gateway_enabled) {
        return Vec::new();
    }
    let ready = || state.units_of(&service.name, region).filter(|unit| unit.is_ready());
    let mut newest = newest_by_agent(ready().filter(|unit| loss_of(state, unit).is_none()));
    if newest.is_empty() {
        newest = newest_by_agent(ready());
    }
    if newest.is_empty() {
        let hosts = state.hosts_in(region);
        return hosts.map(|agent| Gateway { agent, port: service.port }).collect();
    }
    let gateway = |(name, (_, port))| Some(Gateway { agent: state.agents.get(name)?, port });
    newest.into_iter().filter_map(gateway).collect()
}

/// Returns the newest unit of each agent, and its port.
fn newest_by_agent<'a>(
    units: impl Iterator<Item = &'a Unit>,
) -> BTreeMap<&'a AgentName, (Incarnation, u16)> {
    let mut newest = BTreeMap::new();
    for unit in units {
        let known = newest.entry(&unit.agent).or_insert((unit.incarnation, unit.port));
        *known = (*known).max((unit.incarnation, unit.port));
    }
    newest
}
