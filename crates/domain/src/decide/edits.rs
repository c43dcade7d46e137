//! Applies a change set: its edits are applied to a draft of the service and validated by their
//! combined result, independent of their order. So one change set can add a region, promote it and
//! remove the old primary region.

use std::collections::BTreeSet;

use super::decision::Decision;
use super::draft::Draft;
use super::{apis, port};
use crate::api::Api;
use crate::command::Edit;
use crate::id::{Zone, Zones};
use crate::limits;
use crate::name::{ApiName, RegionName};
use crate::rejection::Rejection;
use crate::routing_policy::Preference;
use crate::service::{Location, Service};
use crate::unknown;

/// Returns the service after the edits, or `None` if they are rejected.
pub(super) fn draft(decision: &mut Decision<'_>, before: &Draft, edits: &[Edit]) -> Option<Draft> {
    check_length(decision, edits);
    if decision.is_rejected() {
        return None;
    }
    let mut draft = before.clone();
    let mut edits = first_per_target(decision, edits);
    edits.sort_by_key(|edit| step(edit));
    for edit in &edits {
        apply(decision, &mut draft, edit);
    }
    check(decision, &before.service, &draft.service);
    apis::check(decision, &draft, &published(&edits));
    (!decision.is_rejected()).then_some(draft)
}

/// Returns the APIs that the edits publish. Violations by other APIs do not block the change.
fn published<'a>(edits: &[&'a Edit]) -> Vec<&'a Api> {
    let publishes = |edit: &&'a Edit| match edit {
        Edit::PublishApi(api) => Some(api),
        Edit::Add { .. }
        | Edit::Scale { .. }
        | Edit::Set { .. }
        | Edit::Remove { .. }
        | Edit::Promote { .. }
        | Edit::Enable { .. }
        | Edit::Disable { .. }
        | Edit::Prefer { .. }
        | Edit::Routing(_)
        | Edit::WhenDisabled(_)
        | Edit::Tier(_)
        | Edit::Port(_)
        | Edit::RemoveApi { .. } => None,
    };
    edits.iter().filter_map(publishes).collect()
}

fn check_length(decision: &mut Decision<'_>, edits: &[Edit]) {
    if edits.is_empty() {
        decision.reject(Rejection::NoEdits);
    }
    if edits.len() > limits::EDITS_PER_CHANGE_SET {
        let actual = u32::try_from(edits.len()).unwrap_or(u32::MAX);
        let max = limits::EDITS_PER_CHANGE_SET as u32;
        decision.reject(Rejection::TooManyEdits { actual, max });
    }
}

/// Target of an edit: the aspect of a service that it sets. Two edits of one target would
/// contradict or repeat each other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Target<'a> {
    Tier,
    Port,
    Routing,
    WhenDisabled,
    Primary,
    Capacity(&'a RegionName),
    Gateway(&'a RegionName),
    Preference(&'a RegionName),
    Api(&'a ApiName),
}

fn target(edit: &Edit) -> Target<'_> {
    match edit {
        Edit::Tier(_) => Target::Tier,
        Edit::Port(_) => Target::Port,
        Edit::Routing(_) => Target::Routing,
        Edit::WhenDisabled(_) => Target::WhenDisabled,
        Edit::Prefer { region, .. } => Target::Preference(region),
        Edit::Promote { .. } => Target::Primary,
        Edit::Add { region, .. }
        | Edit::Scale { region, .. }
        | Edit::Set { region, .. }
        | Edit::Remove { region } => Target::Capacity(region),
        Edit::Enable { region } | Edit::Disable { region } => Target::Gateway(region),
        Edit::PublishApi(Api { name, .. }) | Edit::RemoveApi { api: name } => Target::Api(name),
    }
}

/// Returns the first edit of each target. Further ones are rejected and not applied, because it is
/// unclear which of them is meant.
fn first_per_target<'a>(decision: &mut Decision<'_>, edits: &'a [Edit]) -> Vec<&'a Edit> {
    let mut seen = BTreeSet::new();
    let (first, further): (Vec<&Edit>, Vec<&Edit>) =
        edits.iter().partition(|edit| seen.insert(target(edit)));
    for edit in further {
        let duplicate = |field: &str| Rejection::DuplicateEdit { field: field.to_owned() };
        decision.reject(match target(edit) {
            Target::Tier => duplicate("tier"),
            Target::Port => duplicate("port"),
            Target::Routing => duplicate("routing policy"),
            Target::WhenDisabled => duplicate("response of disabled gateways"),
            Target::Primary => duplicate("primary region"),
            Target::Capacity(region) | Target::Gateway(region) | Target::Preference(region) => {
                Rejection::DuplicateRegionEdit { region: region.clone() }
            }
            Target::Api(api) => Rejection::DuplicateApiEdit { api: api.clone() },
        });
    }
    first
}

/// Returns the step in which an edit is applied, so that edits follow those that they depend on.
fn step(edit: &Edit) -> u8 {
    match edit {
        Edit::Tier(_) | Edit::Port(_) | Edit::Routing(_) | Edit::WhenDisabled(_) => 0,
        Edit::Add { .. } | Edit::Scale { .. } | Edit::Set { .. } => 1,
        Edit::Promote { .. } => 2,
        Edit::Enable { .. } | Edit::Disable { .. } | Edit::Prefer { .. } => 3,
        Edit::Remove { .. } => 4,
        Edit::RemoveApi { .. } | Edit::PublishApi(_) => 5,
    }
}

/// Applies an edit as far as possible even if it is rejected, so that no further rejections follow
/// for the edits that depend on it.
fn apply(decision: &mut Decision<'_>, Draft { service: draft, apis }: &mut Draft, edit: &Edit) {
    match edit {
        Edit::Tier(tier) => draft.tier = *tier,
        Edit::Port(port) => draft.port = *port,
        Edit::Routing(policy) => draft.routing = *policy,
        Edit::WhenDisabled(response) => draft.when_disabled = *response,
        Edit::Prefer { region, priority, weight } => {
            prefer(decision, draft, region, *priority, *weight);
        }
        Edit::Add { region, units, zones } => {
            if draft.locations.contains_key(region) {
                let (service, region) = (draft.name.clone(), region.clone());
                return decision.reject(Rejection::RegionExists { service, region });
            }
            add(decision, draft, region, *units, zones);
        }
        Edit::Set { region, units } => match draft.locations.get_mut(region) {
            Some(location) => location.units = *units,
            None => add(decision, draft, region, *units, &Zones::new()),
        },
        Edit::Scale { region, units, zones } => {
            let Some(location) = locate(decision, draft, region) else {
                return;
            };
            location.units = units.unwrap_or(location.units);
            if let Some(zones) = zones {
                location.zones.clone_from(zones);
            }
        }
        Edit::Promote { region } => {
            locate(decision, draft, region);
            draft.primary = region.clone();
        }
        Edit::Enable { region } => set_gateway_enabled(decision, draft, region, true),
        Edit::Disable { region } => set_gateway_enabled(decision, draft, region, false),
        Edit::Remove { region } => {
            if locate(decision, draft, region).is_some() && draft.primary == *region {
                let (service, region) = (draft.name.clone(), region.clone());
                decision.reject(Rejection::PrimaryRemoved { service, region });
            }
            draft.locations.remove(region);
        }
        Edit::PublishApi(api) => drop(apis.insert(api.name.clone(), api.clone())),
        Edit::RemoveApi { api } => apis::remove(decision, &draft.name, apis, api),
    }
}

fn add(
    decision: &mut Decision<'_>,
    draft: &mut Service,
    region: &RegionName,
    units: u16,
    zones: &Zones,
) {
    if decision.state.region(region).is_none() {
        decision.reject(unknown::region(decision.state, region));
    }
    draft.locations.insert(region.clone(), Location::new(units, zones.clone()));
}

fn set_gateway_enabled(
    decision: &mut Decision<'_>,
    draft: &mut Service,
    region: &RegionName,
    enabled: bool,
) {
    if let Some(location) = locate(decision, draft, region) {
        location.gateway_enabled = enabled;
    }
}

fn prefer(
    decision: &mut Decision<'_>,
    draft: &mut Service,
    region: &RegionName,
    priority: Option<u16>,
    weight: Option<u16>,
) {
    let mut check = |field: &str, requested: Option<u16>, min, max| {
        if let Some(requested) = requested.filter(|it| !(min..=max).contains(it)) {
            let (region, field) = (region.clone(), field.to_owned());
            decision.reject(Rejection::PreferenceOutOfRange { region, field, min, max, requested });
        }
    };
    check("priority", priority, 1, limits::MAX_PRIORITY);
    check("weight", weight, 0, limits::MAX_WEIGHT);
    if let Some(location) = locate(decision, draft, region) {
        let Preference { priority: old_priority, weight: old_weight } = location.preference;
        let (priority, weight) = (priority.unwrap_or(old_priority), weight.unwrap_or(old_weight));
        location.preference = Preference { priority, weight };
    }
}

/// Returns the location of an edit. If there is none, the rejection distinguishes a region that
/// does not exist from one that the service is not in.
fn locate<'a>(
    decision: &mut Decision<'_>,
    draft: &'a mut Service,
    region: &RegionName,
) -> Option<&'a mut Location> {
    if !draft.locations.contains_key(region) {
        let (service, absent) = (draft.name.clone(), region.clone());
        decision.reject(match decision.state.region(region) {
            Some(_) => Rejection::RegionAbsent { service, region: absent },
            None => unknown::region(decision.state, region),
        });
    }
    draft.locations.get_mut(region)
}

/// Checks the rules that must hold after all edits.
fn check(decision: &mut Decision<'_>, before: &Service, draft: &Service) {
    if draft.port != before.port {
        port::check(decision, &draft.name, draft.port);
    }
    let max = decision.state.header.limits.units(draft.tier);
    for (region, location) in &draft.locations {
        check_location(decision, draft, region, location, max);
        let old = before.locations.get(region);
        if old.is_none_or(|old| old.zones != location.zones) {
            check_zones(decision, region, &location.zones);
        }
    }
    if draft.locations.len() > limits::LOCATIONS {
        decision.reject(Rejection::TooManyLocations {
            service: draft.name.clone(),
            actual: u32::try_from(draft.locations.len()).unwrap_or(u32::MAX),
            max: limits::LOCATIONS as u32,
        });
    }
    if draft.locations.len() > 1 && !draft.tier.allows_several_regions() {
        decision.reject(Rejection::SeveralRegions {
            service: draft.name.clone(),
            regions: u32::try_from(draft.locations.len()).unwrap_or(u32::MAX),
            tier: draft.tier,
        });
    }
}

fn check_location(
    decision: &mut Decision<'_>,
    draft: &Service,
    region: &RegionName,
    location: &Location,
    max: u16,
) {
    let (units, zones, region) = (location.units, location.zones.len() as u16, region.clone());
    if units == 0 {
        return decision.reject(Rejection::NoUnits { region });
    }
    if units > max {
        let region = region.clone();
        decision.reject(Rejection::TooManyUnits { region, units, max, tier: draft.tier });
    }
    if zones > 0 && !units.is_multiple_of(zones) {
        decision.reject(Rejection::UnevenZones { region, units, zones });
    }
}

/// Rejects zones without an agent that can run units: new units of such a zone would never start,
/// and existing ones would stop. A region without any such agent is allowed, so that it can be
/// added before its agents join.
fn check_zones(decision: &mut Decision<'_>, region: &RegionName, zones: &Zones) {
    let hosts = decision.state.hosts_in(region);
    let host_zones: Vec<Option<Zone>> = hosts.map(|agent| agent.description.zone).collect();
    let agents_in: Zones = host_zones.iter().copied().flatten().collect();
    let empty: Zones = zones.difference(&agents_in).copied().collect();
    if !host_zones.is_empty() && !empty.is_empty() {
        decision.reject(Rejection::ZoneWithoutAgent { region: region.clone(), empty, agents_in });
    }
}
