//! Gateway ports of services.

use std::collections::BTreeSet;

use super::decision::Decision;
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
        decision.reject(Rejection::PortTaken { port, service });
    }
}

/// Returns the lowest free port for the service `name`. A port is free if no other service has it
/// and no unit of another service still drains on it: agents keep the port open for such a unit.
pub(super) fn lowest_free(state: &State, name: &ServiceName) -> Option<u16> {
    let units = state.units.values().filter(|unit| unit.id.service != *name);
    let taken: BTreeSet<u16> = state
        .services
        .values()
        .map(|service| service.port)
        .chain(units.map(|unit| unit.port))
        .collect();
    (limits::FIRST_GATEWAY_PORT..=u16::MAX).find(|port| !taken.contains(port))
}
