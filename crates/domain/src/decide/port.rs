//! The gateway ports of services.

use std::collections::BTreeSet;

use super::decision::Decision;
use crate::limits;
use crate::name::ServiceName;
use crate::rejection::Rejection;
use crate::state::State;

/// Whether `port` can be the gateway port of the service `name`.
pub(super) fn check(decision: &mut Decision<'_>, name: &ServiceName, port: u16) {
    if port < limits::LOWEST_GATEWAY_PORT {
        decision.refuse(Rejection::PortReserved { port });
    }
    let mut others = decision.state.services.values().filter(|other| other.name != *name);
    if let Some(other) = others.find(|other| other.port == port) {
        let service = other.name.clone();
        decision.refuse(Rejection::PortTaken { port, service });
    }
}

/// A port is free for the service `name` if no other service has it, nor units of another service
/// that still drain: as long as those live, it is open on their agents.
pub(super) fn lowest_free(state: &State, name: &ServiceName) -> Option<u16> {
    let of_units = state.units.values().filter(|unit| unit.id.service != *name);
    let taken: BTreeSet<u16> = state
        .services
        .values()
        .map(|service| service.port)
        .chain(of_units.map(|unit| unit.port))
        .collect();
    (limits::FIRST_GATEWAY_PORT..=u16::MAX).find(|port| !taken.contains(port))
}
