//! Gateway ports of services.

use std::collections::BTreeSet;

use super::decision::Decision;
use crate::agent::AgentDescription;
use crate::limits;
use crate::name::ServiceName;
use crate::rejection::Rejection;
use crate::state::State;

/// Checks that `port` can be the gateway port of the service `name`.
pub(super) fn check(decision: &mut Decision<'_>, name: &ServiceName, port: u16) {
    if port < limits::MIN_GATEWAY_PORT {
        decision.reject(Rejection::PortReserved { port });
    }
    let mut others = decision.state.services.values().filter(|other| other.name != *name);
    if let Some(other) = others.find(|other| other.port == port) {
        let service = other.name.clone();
        return decision.reject(Rejection::PortTaken { port, service });
    }
    let mut units = decision.state.units.values().filter(|unit| unit.id.service != *name);
    if let Some(unit) = units.find(|unit| unit.port == port) {
        let (service, agent) = (unit.id.service.clone(), unit.agent.clone());
        decision.reject(Rejection::PortStillUsed { port, service, agent });
    }
    let mut agents = decision.state.agents.values().map(|agent| &agent.description);
    if let Some(agent) = agents.find(|agent| ports_of(agent).contains(&port)) {
        let agent = agent.name.clone();
        decision.reject(Rejection::PortOfAgent { port, agent });
    }
}

/// Returns the ports that an agent listens on itself.
fn ports_of(agent: &AgentDescription) -> [u16; 2] {
    [agent.client_address.port(), agent.peer_address.port()]
}

/// Returns the lowest free port for the service `name`: one that [`check`] accepts.
pub(super) fn lowest_free(state: &State, name: &ServiceName) -> Option<u16> {
    let units = state.units.values().filter(|unit| unit.id.service != *name);
    let taken: BTreeSet<u16> = state
        .services
        .values()
        .map(|service| service.port)
        .chain(units.map(|unit| unit.port))
        .chain(state.agents.values().flat_map(|agent| ports_of(&agent.description)))
        .collect();
    (limits::FIRST_GATEWAY_PORT..=u16::MAX).find(|port| !taken.contains(port))
}
