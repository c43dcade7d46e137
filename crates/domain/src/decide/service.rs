//! Creates services, applies change sets to them, and deletes them.

use std::collections::BTreeMap;

use super::assignment::{self, Capacity};
use super::decision::Decision;
use super::draft::Draft;
use super::{apis, edits, port};
use crate::command::Edit;
use crate::dns;
use crate::event::Event;
use crate::id::{Revision, Zones};
use crate::limits;
use crate::name::{RegionName, ServiceName};
use crate::rejection::Rejection;
use crate::routing_policy::{Preference, RoutingPolicy};
use crate::service::{Location, Service};
use crate::tier::Tier;
use crate::unknown;
use crate::when_disabled::WhenDisabled;

pub(super) fn create(
    decision: &mut Decision<'_>,
    name: &ServiceName,
    tier: Tier,
    primary: &RegionName,
    port: Option<u16>,
    when_disabled: WhenDisabled,
) {
    let state = decision.state;
    if dns::RESERVED_NAMES.contains(&name.as_str()) {
        decision.reject(Rejection::ServiceNameReserved { service: name.clone() });
    } else if state.services.contains_key(name) {
        decision.reject(Rejection::ServiceExists { service: name.clone() });
    } else if state.services.len() >= limits::SERVICES {
        let resource = "services".to_owned();
        decision.reject(Rejection::TooMany { resource, max: limits::SERVICES as u32 });
    }
    if state.region(primary).is_none() {
        decision.reject(unknown::region(state, primary));
    }
    let Some(port) = port.or_else(|| port::lowest_free(state, name)) else {
        return decision.reject(Rejection::NoFreePort);
    };
    port::check(decision, name, port);
    if decision.is_rejected() {
        return;
    }
    let location = Location::new(1, Zones::new());
    let service = Service {
        name: name.clone(),
        tier,
        primary: primary.clone(),
        port,
        routing: RoutingPolicy::default(),
        when_disabled,
        locations: BTreeMap::from([(primary.clone(), location)]),
        revision: decision.next_revision(),
        configuration: decision.next_revision(),
    };
    let (primary, name) = (primary.clone(), name.clone());
    decision.emit(Event::ServiceCreated { service: name, tier, primary: primary.clone(), port });
    add_region(decision, &service, &primary);
    change_when_disabled(decision, &service.name, WhenDisabled::default(), when_disabled);
    assignment::place(decision, &service, std::iter::once((&primary, Capacity::Unlimited)));
    assignment::check_agents(decision);
}

pub(super) fn change(
    decision: &mut Decision<'_>,
    name: &ServiceName,
    expected: Option<Revision>,
    edits: &[Edit],
) {
    let Some(service) = find(decision, name, expected) else {
        return;
    };
    let apis = decision.state.apis_of(name).map(|api| (api.name.clone(), api.clone())).collect();
    let before = Draft { service: service.clone(), apis };
    let Some(after) = edits::draft(decision, &before, edits) else {
        return;
    };
    emit_changes(decision, service, &after.service);
    apis::emit_changes(decision, &before, &after);
    place_changed(decision, service, &after.service);
    assignment::check_agents(decision);
}

pub(super) fn delete(decision: &mut Decision<'_>, name: &ServiceName, expected: Option<Revision>) {
    if find(decision, name, expected).is_some() {
        decision.emit(Event::ServiceDeleted { service: name.clone() });
    }
}

/// Returns the service, or rejects the command if the service is unknown or not at the expected
/// revision. The rest of the command is not validated then: it was meant for another state.
pub(super) fn find<'a>(
    decision: &mut Decision<'a>,
    name: &ServiceName,
    expected: Option<Revision>,
) -> Option<&'a Service> {
    let state = decision.state;
    let Some(service) = state.services.get(name) else {
        decision.reject(unknown::service(state, name));
        return None;
    };
    let current = service.revision;
    match expected {
        Some(expected) if expected != current => {
            decision.reject(Rejection::Conflict { service: name.clone(), expected, current });
            None
        }
        Some(_) | None => Some(service),
    }
}

fn change_when_disabled(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    before: WhenDisabled,
    after: WhenDisabled,
) {
    if after != before {
        let (service, when_disabled) = (service.clone(), after);
        decision.emit(Event::WhenDisabledChanged { service, when_disabled });
    }
}

/// Emits the events that lead from `before` to `after`. Locations are added before one of them
/// becomes the primary and removed after another one did.
fn emit_changes(decision: &mut Decision<'_>, before: &Service, after: &Service) {
    let service = &after.name;
    if after.tier != before.tier {
        decision.emit(Event::TierChanged { service: service.clone(), tier: after.tier });
    }
    if after.port != before.port {
        decision.emit(Event::PortChanged { service: service.clone(), port: after.port });
    }
    if after.routing != before.routing {
        decision.emit(Event::RoutingChanged { service: service.clone(), routing: after.routing });
    }
    change_when_disabled(decision, service, before.when_disabled, after.when_disabled);
    for (region, location) in &after.locations {
        match before.locations.get(region) {
            Some(before) => change_location(decision, service, region, before, location),
            None => {
                add_region(decision, after, region);
                change_gateway(decision, service, region, true, location.gateway_enabled);
                change_preference(decision, service, region, Preference::default(), location);
            }
        }
    }
    if after.primary != before.primary {
        let region = after.primary.clone();
        decision.emit(Event::PrimaryPromoted { service: service.clone(), region });
    }
    for region in before.locations.keys().filter(|region| !after.locations.contains_key(*region)) {
        let (service, region) = (service.clone(), region.clone());
        decision.emit(Event::RegionRemoved { service, region });
    }
}

fn add_region(decision: &mut Decision<'_>, service: &Service, region: &RegionName) {
    let Location { units, zones, gateway_enabled: _, rolled: _, preference: _ } =
        &service.locations[region];
    decision.emit(Event::RegionAdded {
        service: service.name.clone(),
        region: region.clone(),
        units: *units,
        zones: zones.clone(),
    });
}

fn change_location(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    region: &RegionName,
    before: &Location,
    after: &Location,
) {
    if after.units != before.units {
        let (service, region) = (service.clone(), region.clone());
        decision.emit(Event::UnitsScaled { service, region, units: after.units });
    }
    if after.zones != before.zones {
        let (service, region) = (service.clone(), region.clone());
        decision.emit(Event::ZonesChanged { service, region, zones: after.zones.clone() });
    }
    change_gateway(decision, service, region, before.gateway_enabled, after.gateway_enabled);
    change_preference(decision, service, region, before.preference, after);
}

fn change_preference(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    region: &RegionName,
    before: Preference,
    after: &Location,
) {
    if after.preference != before {
        let (service, region, preference) = (service.clone(), region.clone(), after.preference);
        decision.emit(Event::PreferenceChanged { service, region, preference });
    }
}

fn change_gateway(
    decision: &mut Decision<'_>,
    service: &ServiceName,
    region: &RegionName,
    was_enabled: bool,
    is_enabled: bool,
) {
    let (service, region) = (service.clone(), region.clone());
    match (was_enabled, is_enabled) {
        (false, true) => decision.emit(Event::GatewayEnabled { service, region }),
        (true, false) => decision.emit(Event::GatewayDisabled { service, region }),
        (true, true) | (false, false) => {}
    }
}

/// Places the locations whose capacity changed, or all of them if the port changed: a unit listens
/// on the port that its service had when it was assigned. Only a location that gets more units, or
/// other zones, may exceed the capacity of agents and be rejected: the units of another one may wait
/// for an agent since before this change.
fn place_changed(decision: &mut Decision<'_>, before: &Service, after: &Service) {
    let changed = after.locations.iter().filter_map(|(region, location)| {
        let old = before.locations.get(region);
        if old.is_none_or(|old| old.units < location.units || old.zones != location.zones) {
            return Some((region, Capacity::Unlimited));
        }
        let has_fewer_units = old.is_some_and(|old| old.units != location.units);
        let is_due = has_fewer_units || after.port != before.port;
        is_due.then_some((region, Capacity::Limited))
    });
    assignment::place(decision, after, changed);
}
