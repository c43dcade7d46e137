//! One save of an operator: edits, applied to a draft of the service and judged by what they lead to
//! together, whatever order they are written in. So a new region can be added, promoted and the old
//! primary one removed in one save.

use std::collections::BTreeSet;

use super::agent::unknown_region;
use super::decision::Decision;
use super::draft::Draft;
use super::{apis, port};
use crate::api::Api;
use crate::command::Edit;
use crate::id::{Zone, Zones};
use crate::limits;
use crate::name::{ApiName, RegionName};
use crate::rejection::Rejection;
use crate::service::{Location, Service};

/// The service as the edits leave it, if they break no rule.
pub(super) fn draft(decision: &mut Decision<'_>, before: &Draft, edits: &[Edit]) -> Option<Draft> {
    check_length(decision, edits);
    if decision.is_refused() {
        return None;
    }
    let mut draft = before.clone();
    let mut edits = once_each(decision, edits);
    edits.sort_by_key(|edit| step(edit));
    for edit in &edits {
        apply(decision, &mut draft, edit);
    }
    check(decision, &before.service, &draft.service);
    apis::check(decision, &draft, &published(&edits));
    (!decision.is_refused()).then_some(draft)
}

/// The APIs that the edits are about: what others break is not theirs to answer for.
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
        | Edit::Tier(_)
        | Edit::Port(_)
        | Edit::RemoveApi { .. } => None,
    };
    edits.iter().filter_map(publishes).collect()
}

fn check_length(decision: &mut Decision<'_>, edits: &[Edit]) {
    if edits.is_empty() {
        decision.refuse(Rejection::NoEdits);
    }
    if edits.len() > limits::EDITS_PER_CHANGE_SET {
        let given = u32::try_from(edits.len()).unwrap_or(u32::MAX);
        let most = limits::EDITS_PER_CHANGE_SET as u32;
        decision.refuse(Rejection::TooManyEdits { given, most });
    }
}

/// What an edit decides about its service. Two edits about the same would contradict or repeat each
/// other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Subject<'a> {
    Tier,
    Port,
    Primary,
    Capacity(&'a RegionName),
    Gateway(&'a RegionName),
    Api(&'a ApiName),
}

fn subject(edit: &Edit) -> Subject<'_> {
    match edit {
        Edit::Tier(_) => Subject::Tier,
        Edit::Port(_) => Subject::Port,
        Edit::Promote { .. } => Subject::Primary,
        Edit::Add { region, .. }
        | Edit::Scale { region, .. }
        | Edit::Set { region, .. }
        | Edit::Remove { region } => Subject::Capacity(region),
        Edit::Enable { region } | Edit::Disable { region } => Subject::Gateway(region),
        Edit::PublishApi(Api { name, .. }) | Edit::RemoveApi { api: name } => Subject::Api(name),
    }
}

/// The first edit about each subject. Any further one is a rejection, and is not applied: what it would
/// break beside is not known.
fn once_each<'a>(decision: &mut Decision<'_>, edits: &'a [Edit]) -> Vec<&'a Edit> {
    let mut seen = BTreeSet::new();
    let (first, further): (Vec<&Edit>, Vec<&Edit>) =
        edits.iter().partition(|edit| seen.insert(subject(edit)));
    for edit in further {
        let given_twice = |what: &str| Rejection::GivenTwice { what: what.to_owned() };
        decision.refuse(match subject(edit) {
            Subject::Tier => given_twice("tier"),
            Subject::Port => given_twice("port"),
            Subject::Primary => given_twice("primary region"),
            Subject::Capacity(region) | Subject::Gateway(region) => {
                Rejection::EditedTwice { region: region.clone() }
            }
            Subject::Api(api) => Rejection::ApiEditedTwice { api: api.clone() },
        });
    }
    first
}

/// When an edit is applied: what others need comes before them.
fn step(edit: &Edit) -> u8 {
    match edit {
        Edit::Tier(_) | Edit::Port(_) => 0,
        Edit::Add { .. } | Edit::Scale { .. } | Edit::Set { .. } => 1,
        Edit::Promote { .. } => 2,
        Edit::Enable { .. } | Edit::Disable { .. } => 3,
        Edit::Remove { .. } => 4,
        Edit::RemoveApi { .. } | Edit::PublishApi(_) => 5,
    }
}

/// Applies an edit, also one with a rejection, as far as that goes: so the edits that rely on it do not
/// seem faulty too.
fn apply(decision: &mut Decision<'_>, Draft { service: draft, apis }: &mut Draft, edit: &Edit) {
    match edit {
        Edit::Tier(tier) => draft.tier = *tier,
        Edit::Port(port) => draft.port = *port,
        Edit::Add { region, units, zones } => {
            if draft.locations.contains_key(region) {
                let (service, region) = (draft.name.clone(), region.clone());
                return decision.refuse(Rejection::RegionExists { service, region });
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
        Edit::Enable { region } => serve(decision, draft, region, true),
        Edit::Disable { region } => serve(decision, draft, region, false),
        Edit::Remove { region } => {
            if locate(decision, draft, region).is_some() && draft.primary == *region {
                let (service, region) = (draft.name.clone(), region.clone());
                decision.refuse(Rejection::PrimaryRemoved { service, region });
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
        decision.refuse(unknown_region(decision.state, region));
    }
    draft.locations.insert(region.clone(), Location::new(units, zones.clone()));
}

fn serve(decision: &mut Decision<'_>, draft: &mut Service, region: &RegionName, enabled: bool) {
    if let Some(location) = locate(decision, draft, region) {
        location.gateway_enabled = enabled;
    }
}

/// The location that an edit is about. Where there is none, a region that does not exist at all is
/// told apart from one that the service is not in.
fn locate<'a>(
    decision: &mut Decision<'_>,
    draft: &'a mut Service,
    region: &RegionName,
) -> Option<&'a mut Location> {
    if !draft.locations.contains_key(region) {
        let (service, absent) = (draft.name.clone(), region.clone());
        decision.refuse(match decision.state.region(region) {
            Some(_) => Rejection::RegionAbsent { service, region: absent },
            None => unknown_region(decision.state, region),
        });
    }
    draft.locations.get_mut(region)
}

/// What has to hold once all edits are applied.
fn check(decision: &mut Decision<'_>, before: &Service, draft: &Service) {
    if draft.port != before.port {
        port::check(decision, &draft.name, draft.port);
    }
    let most = decision.state.header.limits.units(draft.tier);
    for (region, location) in &draft.locations {
        check_location(decision, draft, region, location, most);
        let was = before.locations.get(region);
        if was.is_none_or(|was| was.zones != location.zones) {
            check_zones(decision, region, &location.zones);
        }
    }
    if draft.locations.len() > limits::LOCATIONS {
        decision.refuse(Rejection::TooManyLocations {
            service: draft.name.clone(),
            given: u32::try_from(draft.locations.len()).unwrap_or(u32::MAX),
            most: limits::LOCATIONS as u32,
        });
    }
    if draft.locations.len() > 1 && !draft.tier.allows_several_regions() {
        decision.refuse(Rejection::SeveralRegions {
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
    most: u16,
) {
    let (units, zones, region) = (location.units, location.zones.len() as u16, region.clone());
    if units == 0 {
        return decision.refuse(Rejection::NoUnits { region });
    }
    if units > most {
        let region = region.clone();
        decision.refuse(Rejection::TooManyUnits { region, units, most, tier: draft.tier });
    }
    if zones > 0 && !units.is_multiple_of(zones) {
        decision.refuse(Rejection::UnevenZones { region, units, zones });
    }
}

/// Units of a zone in which no agent takes units would stop, or never start. A region in which none
/// does at all may be declared ahead of its agents.
fn check_zones(decision: &mut Decision<'_>, region: &RegionName, zones: &Zones) {
    let agents = decision.state.agents.values().filter(|agent| agent.takes_units());
    let hosts = agents.map(|agent| &agent.description).filter(|agent| agent.region == *region);
    let homes: Vec<Option<Zone>> = hosts.map(|agent| agent.zone).collect();
    let agents_in: Zones = homes.iter().copied().flatten().collect();
    let empty: Zones = zones.difference(&agents_in).copied().collect();
    if !homes.is_empty() && !empty.is_empty() {
        decision.refuse(Rejection::ZoneWithoutAgent { region: region.clone(), empty, agents_in });
    }
}
