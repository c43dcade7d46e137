//! The list of units.

use meridian_domain::status::{self, Observations, UnitCondition};
use meridian_domain::{ServiceName, State, Unit, UnitPhase};
use meridian_proto::convert::time;
use meridian_proto::v1;
use meridian_wording as wording;

use crate::error::Error;
use crate::{convert, read};

/// Returns the units of the service of that name, or of all if it is empty. A deleted service has
/// units until they are drained.
pub(super) fn list(
    state: &State,
    observations: &Observations,
    service: &str,
) -> Result<Vec<v1::Unit>, Error> {
    if service.is_empty() {
        return Ok(units(state, observations, None));
    }
    let name = read::service_name(service)?;
    let units = units(state, observations, Some(&name));
    if units.is_empty() && !state.services.contains_key(&name) {
        return Err(read::unknown_service(state, &name));
    }
    Ok(units)
}

fn units(
    state: &State,
    observations: &Observations,
    service: Option<&ServiceName>,
) -> Vec<v1::Unit> {
    let matches = |unit: &&Unit| service.is_none_or(|service| unit.id.service == *service);
    let units = state.units.values().filter(matches);
    units.map(|unit| row(state, observations, unit)).collect()
}

fn row(state: &State, observations: &Observations, unit: &Unit) -> v1::Unit {
    let agent = state.agents.get(&unit.agent);
    let host = agent.map(|agent| &agent.description.gateway_host);
    let load = observations.loads.get(&unit.incarnation);
    let row = v1::Unit {
        unit: unit.id.to_string(),
        incarnation: unit.incarnation.0,
        service: unit.id.service.to_string(),
        region: unit.id.region.to_string(),
        agent: unit.agent.to_string(),
        reported_state: word(&unit.phase).to_owned(),
        state: word(&unit.phase).to_owned(),
        address: host.map(|host| format!("{host}:{}", unit.port)).unwrap_or_default(),
        in_flight: load.map(|load| load.in_flight),
        utilization_permille: load.map(|load| load.utilization_permille),
        ..v1::Unit::default()
    };
    match status::unit(state, observations, unit) {
        UnitCondition::Reported(UnitPhase::Starting | UnitPhase::Draining) => row,
        UnitCondition::Reported(UnitPhase::Ready { pid, configuration, refused }) => {
            let cause = refused.as_ref().map(wording::refused).unwrap_or_default();
            v1::Unit { pid: *pid, configuration: configuration.0, cause, ..row }
        }
        UnitCondition::Reported(UnitPhase::Failed { restarts, next_try: _, cause }) => {
            v1::Unit { cause: cause.clone(), restarts: *restarts, ..row }
        }
        UnitCondition::Unknown { silence } => v1::Unit {
            state: "unknown".to_owned(),
            unknown_for: Some(convert::silence(silence)),
            ..row
        },
        UnitCondition::Lost { since } => {
            v1::Unit { state: "lost".to_owned(), lost_since: Some(time::timestamp(since)), ..row }
        }
    }
}

fn word(phase: &UnitPhase) -> &'static str {
    match phase {
        UnitPhase::Starting => "starting",
        UnitPhase::Ready { .. } => "ready",
        UnitPhase::Failed { .. } => "failed",
        UnitPhase::Draining => "draining",
    }
}
