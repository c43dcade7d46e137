//! Invariants of every reachable state.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::limits;
use meridian_domain::*;

/// Checks all invariants.
///
/// # Panics
/// If an invariant is violated; the message names it.
pub fn check(state: &State) {
    let ports: BTreeSet<u16> = state.services.values().map(|service| service.port).collect();
    assert_eq!(ports.len(), state.services.len(), "gateway ports are unique");
    for service in state.services.values() {
        check_service(state, service);
        for (region, location) in &service.locations {
            check_location(state, service, region, location);
        }
    }
    for ((id, incarnation), unit) in &state.units {
        assert_eq!(
            (id, incarnation),
            (&unit.id, &unit.incarnation),
            "the key of a unit matches the unit"
        );
        assert!(incarnation.0 <= state.header.revision.0, "an incarnation is a past revision");
        let agent = state.agents.get(&unit.agent).expect("every unit belongs to an agent");
        assert_eq!(agent.description.region, id.region, "a unit runs in its region");
        if unit.is_wanted() {
            let service = state.services.get(&id.service).expect("an active unit has a service");
            assert!(service.locations.contains_key(&id.region), "an active unit has a location");
        }
    }
    for (service, _) in state.apis.keys() {
        assert!(state.services.contains_key(service), "every API has a service");
    }
    let undrained = state.agents.values().filter(|agent| !agent.drained).count();
    assert!(undrained > 0 || state.agents.is_empty(), "some agent can vote");
}

fn check_service(state: &State, service: &Service) {
    assert!(service.locations.contains_key(&service.primary), "the primary is a location");
    assert!(
        service.locations.len() == 1 || service.tier == Tier::Premium,
        "only premium has several regions"
    );
    assert!(service.port >= limits::MIN_GATEWAY_PORT, "a gateway port is not reserved");
    assert!(service.revision <= state.header.revision, "the revision of a service is a past one");
    assert!(service.configuration <= service.revision, "the configuration of a service was saved");
    let paths: BTreeSet<&ApiPath> = state.apis_of(&service.name).map(|api| &api.path).collect();
    assert_eq!(
        paths.len(),
        state.apis_of(&service.name).count(),
        "the paths of a service are unique"
    );
}

fn check_location(state: &State, service: &Service, region: &RegionName, location: &Location) {
    let max = state.header.limits.units(service.tier);
    assert!((1..=max).contains(&location.units), "units are within the limit of the tier");
    assert!(state.region(region).is_some(), "a location's region is known");
    let wanted: Vec<&Unit> = state.current_units(&service.name, region).collect();
    for unit in &wanted {
        assert_eq!(unit.port, service.port, "a current unit listens on its service's port");
    }
    let slots: BTreeSet<u16> = wanted.iter().map(|unit| unit.id.slot).collect();
    let active = state.units_of(&service.name, region).filter(|unit| unit.is_wanted());
    for unit in active.filter(|unit| !wanted.contains(unit)) {
        assert!(
            slots.contains(&unit.id.slot),
            "an older unit serves only until a newer one is ready"
        );
        let newest = wanted.iter().find(|newest| newest.id == unit.id).expect("has a newer one");
        assert!(!newest.is_ready(), "an older unit is released once a newer one is ready");
    }
    let mut placed = 0;
    for (share, agents) in pools(state, region, location) {
        let mut held: BTreeMap<&AgentName, u16> =
            agents.into_iter().map(|name| (name, 0)).collect();
        for unit in &wanted {
            held.entry(&unit.agent).and_modify(|units| *units += 1);
        }
        let sum: u16 = held.values().sum();
        assert_eq!(sum, if held.is_empty() { 0 } else { share }, "the share of a pool is placed");
        let (min, max) = (held.values().min(), held.values().max());
        assert!(max.unwrap_or(&0) - min.unwrap_or(&0) <= 1, "the share of a pool is balanced");
        placed += usize::from(sum);
    }
    assert_eq!(placed, wanted.len(), "every current unit is on an agent that can run it");
    assert!(placed <= usize::from(location.units), "no surplus unit is placed");
}

fn pools<'a>(
    state: &'a State,
    region: &RegionName,
    location: &Location,
) -> Vec<(u16, BTreeSet<&'a AgentName>)> {
    let of = |wanted: Option<Zone>| {
        let can_run = |agent: &&'a Agent| {
            agent.takes_units()
                && agent.description.region == *region
                && (wanted.is_none() || agent.description.zone == wanted)
        };
        state.agents.values().filter(can_run).map(|agent| &agent.description.name).collect()
    };
    if location.zones.is_empty() {
        return vec![(location.units, of(None))];
    }
    let units_of_each = location.units / location.zones.len() as u16;
    location.zones.iter().map(|zone| (units_of_each, of(Some(*zone)))).collect()
}
