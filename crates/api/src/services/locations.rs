//! How the locations of a service are, from the state and the leader's contacts alone.

use std::collections::BTreeSet;

use meridian_domain::{Agent, Location, NodeId, RegionName, Service, State, Unit};
use meridian_proto::convert::value;
use meridian_proto::v1;
use meridian_proto::v1::LocationStatus;

/// The table of a service's locations, the primary first, and behind it those that were removed and
/// still drain.
pub(super) fn of(state: &State, service: &Service, silent: &BTreeSet<NodeId>) -> Vec<v1::Location> {
    let present = value::locations(service);
    let present = present.map(|(region, location)| row(state, service, region, location, silent));
    let removed = removed(state, service).into_iter();
    present.chain(removed.map(|region| removing(state, region))).collect()
}

fn row(
    state: &State,
    service: &Service,
    region: &RegionName,
    location: &Location,
    silent: &BTreeSet<NodeId>,
) -> v1::Location {
    let view = View::of(state, service, region);
    v1::Location {
        region: region.to_string(),
        display_name: display_name(state, region),
        primary: *region == service.primary,
        units: location.units.into(),
        ready_units: view.ready(),
        zones: location.zones.iter().map(|zone| u8::from(*zone).into()).collect(),
        gateway_enabled: location.gateway_enabled,
        status: view.status(location, silent).into(),
        gateway_url: view.gateway_url(service),
    }
}

/// A region that is no location any more. It has no address: nobody new is to call there.
fn removing(state: &State, region: &RegionName) -> v1::Location {
    v1::Location {
        region: region.to_string(),
        display_name: display_name(state, region),
        status: LocationStatus::Removing.into(),
        ..v1::Location::default()
    }
}

/// The regions of units whose location is gone.
fn removed<'a>(state: &'a State, service: &Service) -> BTreeSet<&'a RegionName> {
    let units = state.units.values().filter(|unit| unit.id.service == service.name);
    let regions = units.map(|unit| &unit.id.region);
    regions.filter(|region| !service.locations.contains_key(*region)).collect()
}

fn display_name(state: &State, region: &RegionName) -> String {
    state.region(region).map_or_else(|| region.to_string(), |region| region.display_name.clone())
}

/// What is in the region of a location.
struct View<'a> {
    /// Its units, without those on their way out.
    units: Vec<&'a Unit>,
    /// The agents that could run units, by name.
    agents: Vec<&'a Agent>,
}

impl<'a> View<'a> {
    fn of(state: &'a State, service: &'a Service, region: &'a RegionName) -> Self {
        let lives_there = |agent: &&Agent| agent.description.region == *region;
        let units = state.units_of(&service.name, region).filter(|unit| unit.is_wanted());
        let agents = state.agents.values().filter(lives_there);
        Self {
            units: units.collect(),
            agents: agents.filter(|agent| agent.takes_units()).collect(),
        }
    }

    fn ready(&self) -> u32 {
        self.units.iter().map(|unit| u32::from(unit.is_ready())).sum()
    }

    fn status(&self, location: &Location, silent: &BTreeSet<NodeId>) -> LocationStatus {
        if !location.gateway_enabled {
            LocationStatus::Disabled
        } else if self.agents.is_empty() {
            LocationStatus::NoAgent
        } else if self.is_out_of_reach(silent) {
            LocationStatus::AgentUnreachable
        } else if self.ready() == u32::from(location.units) {
            LocationStatus::Ready
        } else {
            LocationStatus::Converging
        }
    }

    /// Whether an agent is silent that matters here: one with units of the location, or, while it has
    /// none, every agent that could take them.
    fn is_out_of_reach(&self, silent: &BTreeSet<NodeId>) -> bool {
        let is_silent = |agent: &&&Agent| silent.contains(&agent.description.node);
        let mut silent = self.agents.iter().filter(is_silent);
        if self.units.is_empty() {
            silent.count() == self.agents.len()
        } else {
            silent.any(|agent| self.rank(agent) > 0)
        }
    }

    /// The address of the agent that serves: one with a ready unit before one with any, and before
    /// one with none.
    fn gateway_url(&self, service: &Service) -> String {
        // Of several with the same rank, the last of a reversed list is the first by name.
        let serving = self.agents.iter().rev().max_by_key(|agent| self.rank(agent));
        let url =
            |agent: &&Agent| format!("http://{}:{}", agent.description.gateway_host, service.port);
        serving.map(url).unwrap_or_default()
    }

    fn rank(&self, agent: &Agent) -> u8 {
        let own = self.units.iter().filter(|unit| unit.agent == agent.description.name);
        own.map(|unit| if unit.is_ready() { 2 } else { 1 }).max().unwrap_or_default()
    }
}

/// Locations that are not as they are wanted, a sentence each.
pub(super) fn unready(state: &State, silent: &BTreeSet<NodeId>) -> Vec<String> {
    let mut sentences = Vec::new();
    for service in state.services.values() {
        for (region, location) in &service.locations {
            let location = row(state, service, region, location, silent);
            let place = format!("{} in {}", service.name, location.region);
            let (ready, units) = (location.ready_units, location.units);
            match location.status() {
                LocationStatus::NoAgent => {
                    sentences.push(format!("{place} has no agent that could run its units"));
                }
                LocationStatus::AgentUnreachable => {
                    sentences.push(format!("{place}: its agent cannot be reached"));
                }
                LocationStatus::Converging => {
                    sentences.push(format!("{place}: {ready} of {units} units are ready"));
                }
                LocationStatus::Unspecified
                | LocationStatus::Ready
                | LocationStatus::Disabled
                | LocationStatus::Removing => {}
            }
        }
    }
    sentences
}
