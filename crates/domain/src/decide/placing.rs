//! Turns what placement finds into events.

use super::decision::Decision;
use crate::event::Event;
use crate::id::{Incarnation, UnitId};
use crate::name::{AgentName, RegionName};
use crate::placement::{self, Assignment, Hosts, Plan};
use crate::service::Service;
use crate::state::State;
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

/// Like [`place`]; but every unit is assigned anew, so that those that stay where they are take over
/// what changed for all.
pub(super) fn place_anew(decision: &mut Decision<'_>, service: &Service, region: &RegionName) {
    let hosts = hosts(decision.state, region);
    let mut plan = plan(decision.state, service, region, &hosts, None);
    for unit in std::mem::take(&mut plan.kept) {
        plan.assigned.push(Assignment { slot: unit.id.slot, agent: unit.agent.clone() });
        plan.released.push(unit);
    }
    plan.released.sort_by_key(|unit| unit.id.slot);
    plan.assigned.sort_by_key(|assignment| assignment.slot);
    follow(decision, service, region, plan);
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
    placement::plan(&service.name, &service.locations[region], hosts, wanted)
}

fn follow(decision: &mut Decision<'_>, service: &Service, region: &RegionName, plan: Plan<'_>) {
    for unit in plan.released {
        release(decision, unit);
    }
    for Assignment { slot, agent } in plan.assigned {
        let unit = UnitId { service: service.name.clone(), region: region.clone(), slot };
        let incarnation = Incarnation(decision.next_revision().0);
        decision.happens(Event::UnitAssigned { unit, incarnation, agent });
    }
}

fn release(decision: &mut Decision<'_>, unit: &Unit) {
    let incarnation = unit.incarnation;
    decision.happens(Event::UnitReleased { unit: unit.id.clone(), incarnation });
}
