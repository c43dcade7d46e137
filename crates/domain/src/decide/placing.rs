//! Turns what placement finds into events.

use std::collections::BTreeMap;

use super::decision::Decision;
use crate::event::Event;
use crate::id::{Incarnation, UnitId};
use crate::limits;
use crate::name::{AgentName, RegionName};
use crate::placement::{self, Assignment, Hosts, Plan};
use crate::rejection::Rejection;
use crate::service::Service;
use crate::state::{State, newest_of_each_slot};
use crate::unit::Unit;

/// The agents of a region that take units.
pub(super) fn hosts(state: &State, region: &RegionName) -> Hosts {
    let agents = state.agents.iter();
    agents
        .filter(|(_, agent)| agent.takes_units() && agent.description.region == *region)
        .map(|(name, agent)| (name.clone(), agent.description.zone))
        .collect()
}

/// Places the units of one location of `service`, as that is after the command.
pub(super) fn place(decision: &mut Decision<'_>, service: &Service, region: &RegionName) {
    let hosts = hosts(decision.state, region);
    place_on(decision, service, region, &hosts, None);
}

/// Places every location in `region` on `hosts`. The units of an agent that is `gone` with them are
/// not released: its removal ends them.
pub(super) fn place_region(
    decision: &mut Decision<'_>,
    region: &RegionName,
    hosts: &Hosts,
    gone: Option<&AgentName>,
) {
    for service in decision.state.services.values() {
        if service.locations.contains_key(region) {
            place_on(decision, service, region, hosts, gone);
        }
    }
}

/// Releases every unit of a location that is to go.
pub(super) fn release_all(decision: &mut Decision<'_>, service: &Service, region: &RegionName) {
    let units = decision.state.units_of(&service.name, region);
    for unit in units.filter(|unit| unit.is_wanted()) {
        release(decision, unit);
    }
}

fn place_on(
    decision: &mut Decision<'_>,
    service: &Service,
    region: &RegionName,
    hosts: &Hosts,
    gone: Option<&AgentName>,
) {
    let plan = plan(decision.state, service, region, hosts, gone);
    follow(decision, service, region, plan);
}

fn plan<'a>(
    state: &'a State,
    service: &'a Service,
    region: &'a RegionName,
    hosts: &Hosts,
    gone: Option<&AgentName>,
) -> Plan<'a> {
    let wanted = state
        .units_of(&service.name, region)
        .filter(|unit| unit.is_wanted() && Some(&unit.agent) != gone);
    let current = newest_of_each_slot(wanted);
    placement::plan(&service.name, &service.locations[region], hosts, current)
}

/// Makes a plan happen. A unit that moves, or that listens on a port which its service has given up, is
/// assigned anew before it is released: see [`replace`].
fn follow(decision: &mut Decision<'_>, service: &Service, region: &RegionName, plan: Plan<'_>) {
    let moves = |unit: &&Unit| plan.assigned.iter().any(|new| new.slot == unit.id.slot);
    let (moved, ended): (Vec<&Unit>, Vec<&Unit>) = plan.released.into_iter().partition(moves);
    for unit in ended {
        release_slot(decision, unit);
    }
    for unit in plan.kept.into_iter().filter(|unit| unit.port != service.port) {
        replace(decision, unit, unit.agent.clone());
    }
    for Assignment { slot, agent } in plan.assigned {
        match moved.iter().find(|unit| unit.id.slot == slot) {
            Some(unit) => replace(decision, unit, agent),
            None => {
                let unit = UnitId { service: service.name.clone(), region: region.clone(), slot };
                assign(decision, unit, agent);
            }
        }
    }
}

/// Assigns a unit's slot anew. The unit serves on until the new assignment is ready, and is released
/// then ([`supersede`]); so no move lowers the capacity that answers calls. One that is not ready
/// itself has nothing to serve, and is released at once.
pub(super) fn replace(decision: &mut Decision<'_>, unit: &Unit, agent: AgentName) {
    if !unit.is_ready() {
        release(decision, unit);
    }
    assign(decision, unit.id.clone(), agent);
}

/// Releases the older assignments of the slot of a unit that is ready now.
pub(super) fn supersede(decision: &mut Decision<'_>, ready: &Unit) {
    for unit in older(decision.state, ready) {
        release(decision, unit);
    }
}

/// The older assignments of the unit's slot that are wanted still.
fn older<'a>(state: &'a State, unit: &'a Unit) -> impl Iterator<Item = &'a Unit> {
    let of_the_location = state.units_of(&unit.id.service, &unit.id.region);
    of_the_location.filter(move |other| {
        other.id == unit.id && other.incarnation < unit.incarnation && other.is_wanted()
    })
}

/// Releases a unit and what bridges its start.
fn release_slot(decision: &mut Decision<'_>, unit: &Unit) {
    supersede(decision, unit);
    release(decision, unit);
}

fn assign(decision: &mut Decision<'_>, unit: UnitId, agent: AgentName) {
    let incarnation = Incarnation(decision.next_revision().0);
    decision.happens(Event::UnitAssigned { unit, incarnation, agent });
}

fn release(decision: &mut Decision<'_>, unit: &Unit) {
    let incarnation = unit.incarnation;
    decision.happens(Event::UnitReleased { unit: unit.id.clone(), incarnation });
}

/// Refuses a change by which an agent would have more units than a machine can run.
pub(super) fn check_agents(decision: &mut Decision<'_>) {
    let mut assigned: BTreeMap<AgentName, usize> = BTreeMap::new();
    for agent in decision.events().iter().filter_map(assignee) {
        *assigned.entry(agent.clone()).or_default() += 1;
    }
    let state = decision.state;
    for (agent, more) in assigned {
        let units = state.units_on(&agent).filter(|unit| unit.is_wanted()).count() + more;
        if units > limits::UNITS_PER_AGENT {
            decision.refuse(Rejection::AgentFull {
                agent,
                units: u32::try_from(units).unwrap_or(u32::MAX),
                most: limits::UNITS_PER_AGENT as u32,
            });
        }
    }
}

fn assignee(event: &Event) -> Option<&AgentName> {
    if let Event::UnitAssigned { agent, .. } = event { Some(agent) } else { None }
}
