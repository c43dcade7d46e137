//! Turns placement plans into events.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::Decision;
use crate::agent::Agent;
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

/// Agents that a placement may assign units to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capacity {
    /// All agents: the units lose their own agent, or [`check_agents`] follows.
    Unlimited,
    /// Agents below [`limits::UNITS_PER_AGENT`]. The other units wait.
    Limited,
}

/// Places the units of locations of one service. `service` is the service after the command.
pub(super) fn place<'r>(
    decision: &mut Decision<'_>,
    service: &Service,
    regions: impl Iterator<Item = (&'r RegionName, Capacity)>,
) {
    let state = decision.state;
    let (mut unlimited, mut limited) = (Vec::new(), Vec::new());
    for (region, capacity) in regions {
        let due = steps(state, service, region, &hosts(state, region), None);
        match capacity {
            Capacity::Unlimited => unlimited.extend(due),
            Capacity::Limited => limited.extend(due),
        }
    }
    take(decision, unlimited, Capacity::Unlimited);
    take(decision, limited, Capacity::Limited);
}

/// Places every location in `region` on `hosts`. Units of the agent `removed` are not released,
/// because the removal of the agent removes them.
pub(super) fn place_region(
    decision: &mut Decision<'_>,
    region: &RegionName,
    hosts: &Hosts,
    removed: Option<&AgentName>,
    capacity: Capacity,
) {
    let state = decision.state;
    let located = state.services.values().filter(|row| row.locations.contains_key(region));
    let due = located.flat_map(|service| steps(state, service, region, hosts, removed));
    let due = due.collect();
    take(decision, due, capacity);
}

/// Continues the placement of a region where an earlier change was full, or where an agent has
/// capacity again. Emits nothing once the units are placed.
pub(super) fn resume(decision: &mut Decision<'_>, region: &RegionName) {
    let hosts = hosts(decision.state, region);
    place_region(decision, region, &hosts, None, Capacity::Limited);
}

/// Step of a placement.
enum Step<'a> {
    /// Releases the assignments of a slot.
    End(&'a Unit),
    /// Assigns the slot of a unit again: see [`replace`].
    Replace(&'a Unit, AgentName),
    /// Assigns an empty slot.
    Fill(UnitId, AgentName),
}

impl Step<'_> {
    /// Rank in the order in which steps are taken. Every location gets its first unit before any
    /// gets another one.
    fn rank(&self) -> u16 {
        match self {
            Self::End(_) | Self::Replace(..) => 0,
            Self::Fill(unit, _) => unit.slot,
        }
    }

    /// Returns the agent that gets one more unit, once the replaced one is released.
    fn added_to(&self) -> Option<&AgentName> {
        match self {
            Self::Replace(unit, agent) => (unit.agent != *agent).then_some(agent),
            Self::Fill(_, agent) => Some(agent),
            Self::End(_) => None,
        }
    }
}

/// Returns the steps that lead to the plan of a location. Units that move to another agent, and
/// units that listen on the previous port of the service, are replaced.
fn steps<'a>(
    state: &'a State,
    service: &'a Service,
    region: &'a RegionName,
    hosts: &Hosts,
    removed: Option<&AgentName>,
) -> Vec<Step<'a>> {
    let plan = plan(state, service, region, hosts, removed);
    let moves = |unit: &&Unit| plan.assigned.iter().any(|new| new.slot == unit.id.slot);
    let (moved, ended): (Vec<&Unit>, Vec<&Unit>) = plan.released.into_iter().partition(moves);
    let outdated = plan.kept.into_iter().filter(|unit| unit.port != service.port);
    let mut steps: Vec<Step<'_>> = ended.into_iter().map(Step::End).collect();
    steps.extend(outdated.map(|unit| Step::Replace(unit, unit.agent.clone())));
    steps.extend(plan.assigned.into_iter().map(|Assignment { slot, agent }| {
        match moved.iter().find(|unit| unit.id.slot == slot) {
            Some(unit) => Step::Replace(unit, agent),
            None => {
                let unit = UnitId { service: service.name.clone(), region: region.clone(), slot };
                Step::Fill(unit, agent)
            }
        }
    }));
    steps
}

/// Takes the steps for which there is capacity, until the change is full.
fn take(decision: &mut Decision<'_>, mut due: Vec<Step<'_>>, capacity: Capacity) {
    if due.is_empty() {
        return;
    }
    due.sort_by_key(Step::rank);
    let mut loads = match capacity {
        Capacity::Unlimited => None,
        Capacity::Limited => Some(loads(decision)),
    };
    for step in due {
        if let Some(loads) = &mut loads
            && !has_capacity(decision.state, loads, &step)
        {
            continue;
        }
        if let Some(agent) = step.added_to() {
            decision.count_assigned(agent);
        }
        if decision.is_full() {
            continue;
        }
        match step {
            Step::End(unit) => release_slot(decision, unit),
            Step::Replace(unit, agent) => replace(decision, unit, unit.is_ready(), agent),
            Step::Fill(unit, agent) => assign(decision, unit, agent),
        }
    }
}

/// Returns the number of units of every agent, without draining ones, and with those that the
/// command assigns to it.
fn loads(decision: &Decision<'_>) -> BTreeMap<AgentName, usize> {
    let mut loads = decision.assigned();
    for unit in decision.state.units.values().filter(|unit| unit.is_wanted()) {
        match loads.get_mut(&unit.agent) {
            Some(load) => *load += 1,
            None => drop(loads.insert(unit.agent.clone(), 1)),
        }
    }
    loads
}

/// True if the agent of a step has capacity for it; then counts the unit. A unit whose agent takes no
/// units anymore needs none.
fn has_capacity(state: &State, loads: &mut BTreeMap<AgentName, usize>, step: &Step<'_>) -> bool {
    let Some(agent) = step.added_to() else { return true };
    let is_limited = match step {
        Step::Replace(unit, _) => state.agents.get(&unit.agent).is_some_and(Agent::takes_units),
        Step::Fill(..) | Step::End(_) => true,
    };
    let load = loads.entry(agent.clone()).or_default();
    let has_capacity = !is_limited || *load < limits::UNITS_PER_AGENT;
    *load += usize::from(has_capacity);
    has_capacity
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

/// Assigns the slot of a unit again. A unit that `serves` continues until the new assignment is
/// ready and is released then (see [`release_older`]), so a move never lowers the serving capacity.
/// Any other unit is released immediately.
pub(super) fn replace(decision: &mut Decision<'_>, unit: &Unit, serves: bool, agent: AgentName) {
    if !serves {
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
    let state = decision.state;
    for (agent, more) in decision.assigned() {
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

/// Forgets the oldest draining units of the agents that are assigned units, above
/// [`limits::DRAINING_PER_AGENT`]. Every draining unit was assigned once, so their number is bounded
/// even if an agent never reports.
pub(super) fn forget_surplus_draining(decision: &mut Decision<'_>) {
    let mut draining: BTreeMap<&AgentName, Vec<&Unit>> = BTreeMap::new();
    let (mut assignees, mut stopped) = (BTreeSet::new(), BTreeSet::new());
    for event in decision.events() {
        if let Event::UnitAssigned { agent, .. } = event {
            assignees.insert(agent.clone());
        }
        if let Event::UnitStopped { incarnation, .. } = event {
            stopped.insert(*incarnation);
        }
    }
    if assignees.is_empty() {
        return;
    }
    let draining_units = decision.state.units.values().filter(|unit| !unit.is_wanted());
    for unit in draining_units.filter(|unit| assignees.contains(&unit.agent)) {
        if !stopped.contains(&unit.incarnation) {
            draining.entry(&unit.agent).or_default().push(unit);
        }
    }
    for mut units in draining.into_values() {
        units.sort_by_key(|unit| unit.incarnation);
        let surplus = units.len().saturating_sub(limits::DRAINING_PER_AGENT);
        for unit in &units[..surplus] {
            if decision.is_full() {
                return;
            }
            let (unit, incarnation) = (unit.id.clone(), unit.incarnation);
            decision.emit(Event::UnitStopped { unit, incarnation });
        }
    }
}
