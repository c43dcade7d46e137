//! How the locations of a service are, from the state and the leader's contacts alone.

use std::collections::BTreeSet;

use meridian_domain::{
    Agent, Location, NodeId, RegionName, Revision, Service, ServiceName, State, Unit, UnitPhase,
    Zone,
};
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
    let view = View::of(state, service, region, location);
    v1::Location {
        region: region.to_string(),
        display_name: display_name(state, region),
        primary: *region == service.primary,
        units: location.units.into(),
        ready_units: view.ready,
        zones: location.zones.iter().map(|zone| u8::from(*zone).into()).collect(),
        gateway_enabled: location.gateway_enabled,
        status: view.status(silent).into(),
        gateway_url: view.gateway_url(),
        configuration: view.configuration().0,
        converged: view.has_converged(),
        blocked_reason: view.blocked_reasons().join("; "),
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
    service: &'a Service,
    location: &'a Location,
    /// Its units, without those on their way out.
    units: Vec<&'a Unit>,
    /// Of each slot the newest of them. The others serve until it is ready.
    current: Vec<&'a Unit>,
    /// How many slots have a unit that answers calls.
    ready: u32,
    /// The agents that could run units, by name.
    agents: Vec<&'a Agent>,
}

impl<'a> View<'a> {
    fn of(
        state: &'a State,
        service: &'a Service,
        region: &'a RegionName,
        location: &'a Location,
    ) -> Self {
        let lives_there = |agent: &&Agent| agent.description.region == *region;
        let units = state.units_of(&service.name, region).filter(|unit| unit.is_wanted());
        let agents = state.agents.values().filter(lives_there);
        Self {
            service,
            location,
            units: units.collect(),
            current: state.current_units(&service.name, region).collect(),
            ready: state.ready_units(&service.name, region),
            agents: agents.filter(|agent| agent.takes_units()).collect(),
        }
    }

    /// The oldest configuration that a ready unit serves; 0 where none is ready.
    fn configuration(&self) -> Revision {
        let served = self.current.iter().filter_map(|unit| unit.configuration());
        served.min().unwrap_or_default()
    }

    fn is_enough(&self) -> bool {
        self.ready >= u32::from(self.location.units)
    }

    /// Whether a unit is where it is to stay, and serves what its service says now.
    fn is_settled(&self, unit: &Unit) -> bool {
        let is_to_be_rolled = unit.incarnation.0 <= self.location.rolled.0;
        !is_to_be_rolled && unit.configuration() == Some(self.service.configuration)
    }

    fn has_converged(&self) -> bool {
        self.is_enough() && self.current.iter().all(|unit| self.is_settled(unit))
    }

    fn status(&self, silent: &BTreeSet<NodeId>) -> LocationStatus {
        if !self.location.gateway_enabled {
            LocationStatus::Disabled
        } else if self.agents.is_empty() {
            LocationStatus::NoAgent
        } else if self.is_out_of_reach(silent) {
            LocationStatus::AgentUnreachable
        } else if self.has_converged() {
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

    /// What keeps the location from converging by itself, as far as the state says it.
    fn blocked_reasons(&self) -> Vec<String> {
        let homes = || self.agents.iter().filter_map(|agent| agent.description.zone);
        let has_agent = |zone: &Zone| self.agents.is_empty() || homes().any(|home| home == *zone);
        let empty = self.location.zones.iter().filter(|zone| !has_agent(zone));
        let empty = empty.map(|zone| format!("no agent in zone {zone} takes units"));
        empty.chain(self.units.iter().find_map(|unit| failure(unit))).collect()
    }

    /// The address of the agent that serves: one with a ready unit before one with any, and before
    /// one with none.
    fn gateway_url(&self) -> String {
        // Of several with the same rank, the last of a reversed list is the first by name.
        let serving = self.agents.iter().rev().max_by_key(|agent| self.rank(agent));
        let port = self.service.port;
        let url = |agent: &&Agent| format!("http://{}:{port}", agent.description.gateway_host);
        serving.map(url).unwrap_or_default()
    }

    fn rank(&self, agent: &Agent) -> u8 {
        let own = self.units.iter().filter(|unit| unit.agent == agent.description.name);
        own.map(|unit| if unit.is_ready() { 2 } else { 1 }).max().unwrap_or_default()
    }
}

/// Why a unit failed, if it did.
fn failure(unit: &Unit) -> Option<String> {
    match &unit.phase {
        UnitPhase::Failed { cause, .. } => Some(format!("{} on {}: {cause}", unit.id, unit.agent)),
        UnitPhase::Starting | UnitPhase::Ready { .. } | UnitPhase::Draining => None,
    }
}

/// What the units of a service wait for in those of `regions` that have no agent for them.
pub(super) fn homeless(state: &State, service: &str, regions: &[String]) -> Vec<v1::Wait> {
    let service = ServiceName::new(service).ok().and_then(|name| state.services.get(&name));
    let is_located =
        |region: &RegionName| service.is_some_and(|service| service.locations.contains_key(region));
    waits_for_agents(state, regions, is_located)
}

/// As [`homeless`], for a change that was not made: all of the regions would be locations of the
/// service.
pub(super) fn would_be_homeless(state: &State, regions: &[String]) -> Vec<v1::Wait> {
    waits_for_agents(state, regions, |_| true)
}

fn waits_for_agents(
    state: &State,
    regions: &[String],
    is_located: impl Fn(&RegionName) -> bool,
) -> Vec<v1::Wait> {
    let regions: BTreeSet<_> = regions.iter().flat_map(|text| RegionName::parse(text)).collect();
    let has_agent = |region: &RegionName| {
        let mut agents = state.agents.values();
        agents.any(|agent| agent.description.region == *region && agent.takes_units())
    };
    let homeless = regions.iter().filter(|region| is_located(region) && !has_agent(region));
    let wait = |region: &RegionName| v1::Wait {
        cause: format!("no agent in {region} takes units: they start once one does"),
        next_step: format!("join an agent in {region}, or add the units in another region"),
    };
    homeless.map(wait).collect()
}

/// Locations that are not as they are wanted, a sentence each.
pub(super) fn unready(state: &State, silent: &BTreeSet<NodeId>) -> Vec<String> {
    let mut sentences = Vec::new();
    for service in state.services.values() {
        for (region, location) in &service.locations {
            let location = row(state, service, region, location, silent);
            let place = format!("{} in {}", service.name, location.region);
            let (ready, units) = (location.ready_units, location.units);
            let why = match location.blocked_reason.as_str() {
                "" => String::new(),
                blocked_reason => format!("; {blocked_reason}"),
            };
            match location.status() {
                LocationStatus::NoAgent => {
                    sentences.push(format!("{place} has no agent that could run its units"));
                }
                LocationStatus::AgentUnreachable => {
                    sentences.push(format!("{place}: its agent cannot be reached"));
                }
                LocationStatus::Converging if ready >= units => {
                    sentences.push(format!(
                        "{place}: its units are being replaced, or take over a configuration{why}"
                    ));
                }
                LocationStatus::Converging => {
                    sentences.push(format!("{place}: {ready} of {units} units are ready{why}"));
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
