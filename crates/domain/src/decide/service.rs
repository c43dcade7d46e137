//! Services are created, changed by whole change sets, and deleted.

use std::collections::BTreeMap;

use super::agent::unknown_region;
use super::decision::Decision;
use super::draft::Draft;
use super::{apis, edits, placing, port};
use crate::command::Edit;
use crate::event::Event;
use crate::id::{Revision, Zones};
use crate::limits;
use crate::name::{RegionName, ServiceName};
use crate::nearest::nearest;
use crate::rejection::Rejection;
use crate::service::{Location, Service};
use crate::tier::Tier;

pub(super) fn create(
    decision: &mut Decision<'_>,
    name: &ServiceName,
    tier: Tier,
    primary: &RegionName,
    port: Option<u16>,
) {
    let state = decision.state;
    if state.services.contains_key(name) {
        decision.refuse(Rejection::ServiceExists { service: name.clone() });
    } else if state.services.len() >= limits::SERVICES {
        let what = "services".to_owned();
        decision.refuse(Rejection::TooMany { what, most: limits::SERVICES as u32 });
    }
    if state.region(primary).is_none() {
        decision.refuse(unknown_region(state, primary));
    }
    let Some(port) = port.or_else(|| port::lowest_free(state, name)) else {
        return decision.refuse(Rejection::NoFreePort);
    };
    port::check(decision, name, port);
    if decision.is_refused() {
        return;
    }
    let location = Location::new(1, Zones::new());
    let service = Service {
        name: name.clone(),
        tier,
        primary: primary.clone(),
        port,
        locations: BTreeMap::from([(primary.clone(), location)]),
        revision: decision.next_revision(),
        configuration: decision.next_revision(),
    };
    let (primary, name) = (primary.clone(), name.clone());
    decision.happens(Event::ServiceCreated { service: name, tier, primary: primary.clone(), port });
    add_region(decision, &service, &primary);
    placing::place(decision, &service, &primary);
    placing::check_agents(decision);
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
    record(decision, service, &after.service);
    apis::record(decision, &before, &after);
    place_changed(decision, service, &after.service);
    placing::check_agents(decision);
}

pub(super) fn delete(decision: &mut Decision<'_>, name: &ServiceName, expected: Option<Revision>) {
    let Some(service) = find(decision, name, expected) else {
        return;
    };
    for region in service.locations.keys() {
        placing::release_all(decision, service, region);
    }
    decision.happens(Event::ServiceDeleted { service: name.clone() });
}

/// The service, unless it is unknown or is not as the operator saw it: then what they ask for was
/// meant for something else, and is not looked at.
pub(super) fn find<'a>(
    decision: &mut Decision<'a>,
    name: &ServiceName,
    expected: Option<Revision>,
) -> Option<&'a Service> {
    let state = decision.state;
    let Some(service) = state.services.get(name) else {
        let nearest = nearest(name.as_str(), state.services.keys().map(ServiceName::as_str));
        decision.refuse(Rejection::ServiceUnknown { service: name.clone(), nearest });
        return None;
    };
    let current = service.revision;
    match expected {
        Some(expected) if expected != current => {
            decision.refuse(Rejection::Conflict { service: name.clone(), expected, current });
            None
        }
        Some(_) | None => Some(service),
    }
}

/// The events that lead from one to the other. Locations are added before one of them can become the
/// primary, and removed after another one has.
fn record(decision: &mut Decision<'_>, before: &Service, after: &Service) {
    let service = &after.name;
    if after.tier != before.tier {
        decision.happens(Event::TierChanged { service: service.clone(), tier: after.tier });
    }
    if after.port != before.port {
        decision.happens(Event::PortChanged { service: service.clone(), port: after.port });
    }
    for (region, location) in &after.locations {
        match before.locations.get(region) {
            Some(was) => change_location(decision, service, region, was, location),
            None => {
                add_region(decision, after, region);
                change_gateway(decision, service, region, true, location.gateway_enabled);
            }
        }
    }
    if after.primary != before.primary {
        let region = after.primary.clone();
        decision.happens(Event::PrimaryPromoted { service: service.clone(), region });
    }
    for region in before.locations.keys().filter(|region| !after.locations.contains_key(*region)) {
        let (service, region) = (service.clone(), region.clone());
        decision.happens(Event::RegionRemoved { service, region });
    }
}

fn add_region(decision: &mut Decision<'_>, service: &Service, region: &RegionName) {
    let Location { units, zones, gateway_enabled: _, rolled: _ } = &service.locations[region];
    decision.happens(Event::RegionAdded {
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
    was: &Location,
    is: &Location,
) {
    if is.units != was.units {
        let (service, region) = (service.clone(), region.clone());
        decision.happens(Event::UnitsScaled { service, region, units: is.units });
    }
    if is.zones != was.zones {
        let (service, region) = (service.clone(), region.clone());
        decision.happens(Event::ZonesChanged { service, region, zones: is.zones.clone() });
    }
    change_gateway(decision, service, region, was.gateway_enabled, is.gateway_enabled);
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
        (false, true) => decision.happens(Event::GatewayEnabled { service, region }),
        (true, false) => decision.happens(Event::GatewayDisabled { service, region }),
        (true, true) | (false, false) => {}
    }
}

/// Places the locations whose capacity changed, and all of them if the port did: a unit listens on
/// the port that its service had when it was assigned.
fn place_changed(decision: &mut Decision<'_>, before: &Service, after: &Service) {
    for region in before.locations.keys().filter(|region| !after.locations.contains_key(*region)) {
        placing::release_all(decision, before, region);
    }
    for (region, is) in &after.locations {
        let was = before.locations.get(region);
        let moved = was.is_none_or(|was| was.units != is.units || was.zones != is.zones);
        if moved || after.port != before.port {
            placing::place(decision, after, region);
        }
    }
}
