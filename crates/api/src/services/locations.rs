//! The list of a service's locations.

use meridian_domain::status::{self, Blocked, LocationCondition, LocationStatus, Observations};
use meridian_domain::{Location, RegionName, Service, State};
use meridian_proto::convert::{time, value};
use meridian_proto::v1;
use meridian_wording as wording;

use crate::convert;

/// Returns the locations of a service, the primary first, followed by removed ones that still
/// drain.
pub(super) fn list(
    state: &State,
    observations: &Observations,
    service: &Service,
) -> Vec<v1::Location> {
    let present = value::locations(service);
    let present = present.map(|(region, location)| {
        let status = status::location(state, observations, service, region, location);
        row(state, service, region, location, &status)
    });
    let removed = status::removed_regions(state, service).into_iter();
    present.chain(removed.map(|region| removing(state, region))).collect()
}

fn row(
    state: &State,
    service: &Service,
    region: &RegionName,
    location: &Location,
    status: &LocationStatus,
) -> v1::Location {
    let gateway = status.gateway.as_ref();
    v1::Location {
        region: region.to_string(),
        display_name: display_name(state, region),
        primary: *region == service.primary,
        units: location.units.into(),
        ready_units: status.ready_units,
        zones: location.zones.iter().map(|zone| u8::from(*zone).into()).collect(),
        gateway_enabled: location.gateway_enabled,
        status: word(status.condition).into(),
        gateway_url: gateway
            .map(|gateway| format!("http://{}:{}", gateway.host, gateway.port))
            .unwrap_or_default(),
        configuration: status.configuration.unwrap_or_default().0,
        converged: status.converged,
        blocked_reason: wording::blocked(status),
        unknown_units: status.unknown_units,
        unreachable_agents: status.blocked.iter().filter_map(unreachable_agent).collect(),
        priority: location.preference.priority.into(),
        weight: location.preference.weight.into(),
        offline_since: status.condition.offline_since().map(time::timestamp),
    }
}

fn word(condition: LocationCondition) -> v1::LocationStatus {
    match condition {
        LocationCondition::Disabled => v1::LocationStatus::Disabled,
        LocationCondition::DrainingClients => v1::LocationStatus::DrainingClients,
        LocationCondition::NoAgent => v1::LocationStatus::NoAgent,
        LocationCondition::Offline { .. } => v1::LocationStatus::Offline,
        LocationCondition::Unmanaged => v1::LocationStatus::Unmanaged,
        LocationCondition::AgentUnreachable => v1::LocationStatus::AgentUnreachable,
        LocationCondition::Degraded => v1::LocationStatus::Degraded,
        LocationCondition::UnitsMissing | LocationCondition::RollingOut => {
            v1::LocationStatus::Converging
        }
        LocationCondition::Ready => v1::LocationStatus::Ready,
    }
}

fn unreachable_agent(blocked: &Blocked) -> Option<v1::UnreachableAgent> {
    match blocked {
        Blocked::AgentUnreachable { agent, silence } => Some(v1::UnreachableAgent {
            agent: agent.to_string(),
            silence: Some(convert::silence(*silence)),
        }),
        Blocked::ZoneWithoutAgent { .. }
        | Blocked::GatewaysLost { .. }
        | Blocked::AgentFull { .. }
        | Blocked::UnitFailed { .. }
        | Blocked::ConfigurationRefused { .. } => None,
    }
}

/// Row of a removed location. It has no URL, because new clients must not use it.
fn removing(state: &State, region: &RegionName) -> v1::Location {
    v1::Location {
        region: region.to_string(),
        display_name: display_name(state, region),
        status: v1::LocationStatus::Removing.into(),
        ..v1::Location::default()
    }
}

fn display_name(state: &State, region: &RegionName) -> String {
    state.region(region).map_or_else(|| region.to_string(), |region| region.display_name.clone())
}
