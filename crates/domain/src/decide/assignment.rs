//! Turns placement plans into events.

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

/// Returns the agents of a region that can run units.
pub(super) fn hosts(state: &State, region: &RegionName) -> Hosts {
    let descriptions = state.hosts_in(region).map(|agent| &agent.description);
    descriptions.map(|agent| (agent.name.clone(), agent.zone)).collect()
}

/// Places the units of one location. `service` is the service after the command.
pub(super) fn place(decision: &mut Decision<'_>, service: &Service, region: &RegionName) {
    let hosts = hosts(decision.state, region);
    place_on(decision, service, region, &hosts, None);
}

/// Places every location in `region` on `hosts`. Units of the agent `removed` are not released,
/// because the removal of the agent removes them.
pub(super) fn place_region(
    decision: &mut Decision<'_>,
    region: &RegionName,
    hosts: &Hosts,
    removed: Option<&AgentName>,
) {
    for service in decision.state.services.values() {
        if service.locations.contains_key(region) {
            place_on(decision, service, region, hosts, removed);
        }
    }
}

/// Releases every unit of a location that is removed.
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
    removed: Option<&AgentName>,
) {
    let plan = plan(decision.state, service, region, hosts, removed);
    apply_plan(decision, service, region, plan);
}

fn plan<'a>(
    state: &'a State,
    service: &'a Service,
    region: &'a RegionName,
    hosts: &Hosts,
    removed: Option<&AgentName>,
) -> Plan<'a> {
    let wanted = state
        .units_of(&service.name, region)
        .filter(|unit| unit.is_wanted() && Some(&unit.agent) != removed);
    let current = newest_of_each_slot(wanted);
    placement::plan(&service.name, &service.locations[region], hosts, current)
}

/// Emits the events of a plan. Units that move to another agent, and units that listen on the
/// previous port of the service, are replaced: see [`replace`].
fn apply_plan(decision: &mut Decision<'_>, service: &Service, region: &RegionName, plan: Plan<'_>) {
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

/// Assigns the slot of a unit again. The unit keeps serving until the new assignment is ready and
/// is released then (see [`release_older`]), so a move never lowers the serving capacity. A unit
/// that is not ready is released immediately.
pub(super) fn replace(decision: &mut Decision<'_>, unit: &Unit, agent: AgentName) {
    if !unit.is_ready() {
        release(decision, unit);
    }
    assign(decision, unit.id.clone(), agent);
}

/// Releases the older assignments of the slot of a unit that became ready.
pub(super) fn release_older(decision: &mut Decision<'_>, ready: &Unit) {
    for unit in older(decision.state, ready) {
        release(decision, unit);
    }
}

/// Returns the older assignments of the unit's slot that are not draining.
fn older<'a>(state: &'a State, unit: &'a Unit) -> impl Iterator<Item = &'a Unit> {
    let units = state.units_of(&unit.id.service, &unit.id.region);
    units.filter(move |other| {
        other.id == unit.id && other.incarnation < unit.incarnation && other.is_wanted()
    })
}

/// Releases a unit and the older assignments that serve until it is ready.
fn release_slot(decision: &mut Decision<'_>, unit: &Unit) {
    release_older(decision, unit);
    release(decision, unit);
}

fn assign(decision: &mut Decision<'_>, unit: UnitId, agent: AgentName) {
    let incarnation = Incarnation(decision.next_revision().0);
    decision.emit(Event::UnitAssigned { unit, incarnation, agent });
}

fn release(decision: &mut Decision<'_>, unit: &Unit) {
    let incarnation = unit.incarnation;
    decision.emit(Event::UnitReleased { unit: unit.id.clone(), incarnation });
}

/// Rejects a change that would assign an agent more than [`limits::UNITS_PER_AGENT`] units.
pub(super) fn check_agents(decision: &mut Decision<'_>) {
    let mut assigned: BTreeMap<AgentName, usize> = BTreeMap::new();
    for agent in decision.events().iter().filter_map(assignee) {
        *assigned.entry(agent.clone()).or_default() += 1;
    }
    let state = decision.state;
    for (agent, more) in assigned {
        let units = state.units_on(&agent).filter(|unit| unit.is_wanted()).count() + more;
        if units > limits::UNITS_PER_AGENT {
            decision.reject(Rejection::AgentFull {
                agent,
                units: u32::try_from(units).unwrap_or(u32::MAX),
                max: limits::UNITS_PER_AGENT as u32,
            });
        }
    }
}

fn assignee(event: &Event) -> Option<&AgentName> {
    if let Event::UnitAssigned { agent, .. } = event { Some(agent) } else { None }
}
