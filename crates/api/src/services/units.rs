//! How the units are.

use meridian_domain::{ServiceName, State, Unit, UnitPhase};
use meridian_ports::UnitLoads;
use meridian_proto::v1;

use crate::error::Error;
use crate::reading;

/// The units of the service of that name, or of all where it is empty. A service that was deleted has
/// units until they are drained.
pub(super) fn of(state: &State, loads: &UnitLoads, service: &str) -> Result<Vec<v1::Unit>, Error> {
    if service.is_empty() {
        return Ok(list(state, loads, None));
    }
    let name = reading::service_name(service)?;
    let units = list(state, loads, Some(&name));
    if units.is_empty() && !state.services.contains_key(&name) {
        return Err(reading::unknown_service(state, name));
    }
    Ok(units)
}

fn list(state: &State, loads: &UnitLoads, service: Option<&ServiceName>) -> Vec<v1::Unit> {
    let wanted = |unit: &&Unit| service.is_none_or(|service| unit.id.service == *service);
    state.units.values().filter(wanted).map(|unit| row(state, loads, unit)).collect()
}

fn row(state: &State, loads: &UnitLoads, unit: &Unit) -> v1::Unit {
    let agent = state.agents.get(&unit.agent);
    let host = agent.map(|agent| &agent.description.gateway_host);
    let told = Told::of(&unit.phase);
    let load = loads.get(&unit.incarnation);
    v1::Unit {
        unit: unit.id.to_string(),
        incarnation: unit.incarnation.0,
        service: unit.id.service.to_string(),
        region: unit.id.region.to_string(),
        agent: unit.agent.to_string(),
        state: told.state.to_owned(),
        pid: told.pid,
        address: host.map(|host| format!("{host}:{}", unit.port)).unwrap_or_default(),
        cause: told.cause.to_owned(),
        restarts: told.restarts,
        configuration: unit.configuration().map_or(0, |revision| revision.0),
        in_flight: load.map(|load| load.in_flight),
        utilisation_permille: load.map(|load| load.utilisation_permille),
    }
}

/// What a phase says, in the contract's words.
struct Told<'a> {
    state: &'static str,
    pid: Option<u32>,
    cause: &'a str,
    restarts: u32,
}

impl<'a> Told<'a> {
    fn of(phase: &'a UnitPhase) -> Self {
        let plain = |state| Self { state, pid: None, cause: "", restarts: 0 };
        match phase {
            UnitPhase::Starting => plain("starting"),
            UnitPhase::Ready { pid, .. } => Self { pid: *pid, ..plain("ready") },
            UnitPhase::Failed { restarts, cause, .. } => {
                Self { cause, restarts: *restarts, ..plain("failed") }
            }
            UnitPhase::Draining => plain("draining"),
        }
    }
}
