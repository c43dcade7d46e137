//! The edits of a change set.

use meridian_domain::{Edit, RoutingPolicy, limits};

use super::{Checks, api, field};
use crate::v1;

/// Converts all edits, or records the violations of each.
pub fn edits(checks: &mut Checks, path: &str, given: &[v1::Edit]) -> Option<Vec<Edit>> {
    let max = limits::EDITS_PER_CHANGE_SET;
    if given.is_empty() || given.len() > max {
        let problem = format_args!("must have 1 to {max} edits, not {}", given.len());
        checks.refuse(path, problem);
        return None;
    }
    let each = given.iter().enumerate();
    let each = each.map(|(index, given)| edit(checks, &format!("{path}[{index}]"), given));
    // Collected in full first, so that the edits after an invalid one are checked as well.
    each.collect::<Vec<_>>().into_iter().collect()
}

fn edit(checks: &mut Checks, path: &str, given: &v1::Edit) -> Option<Edit> {
    use v1::edit::Edit as Given;
    let Some(given) = &given.edit else {
        checks.refuse(path, "is empty, or of a kind unknown to this version");
        return None;
    };
    let at = |name: &str| format!("{path}.{name}");
    match given {
        Given::Add(add) => added(checks, &at("add"), add),
        Given::Scale(scale) => scaled(checks, &at("scale"), scale),
        Given::Set(set) => {
            let region = field::region(checks, &at("set.region"), &set.region);
            let units = field::units(checks, &at("set.units"), set.units);
            Some(Edit::Set { region: region?, units: units? })
        }
        Given::Remove(region) => {
            Some(Edit::Remove { region: field::region(checks, &at("remove"), region)? })
        }
        Given::Promote(region) => {
            Some(Edit::Promote { region: field::region(checks, &at("promote"), region)? })
        }
        Given::Enable(region) => {
            Some(Edit::Enable { region: field::region(checks, &at("enable"), region)? })
        }
        Given::Disable(region) => {
            Some(Edit::Disable { region: field::region(checks, &at("disable"), region)? })
        }
        Given::Tier(tier) => Some(Edit::Tier(field::tier(checks, &at("tier"), tier)?)),
        Given::PublishApi(given) => {
            Some(Edit::PublishApi(api::api(checks, &at("publish_api"), given)?))
        }
        Given::RemoveApi(name) => {
            Some(Edit::RemoveApi { api: field::api(checks, &at("remove_api"), name)? })
        }
        Given::Port(port) => Some(Edit::Port(field::port(checks, &at("port"), *port)?)),
        Given::Prefer(prefer) => preferred(checks, &at("prefer"), prefer),
        Given::Routing(policy) => {
            Some(Edit::Routing(checks.take(at("routing"), policy.parse::<RoutingPolicy>())?))
        }
        Given::WhenDisabled(text) => {
            Some(Edit::WhenDisabled(field::when_disabled(checks, &at("when_disabled"), text)?))
        }
    }
}

fn added(checks: &mut Checks, path: &str, given: &v1::AddRegion) -> Option<Edit> {
    let region = field::region(checks, &format!("{path}.region"), &given.region);
    let units = field::units(checks, &format!("{path}.units"), given.units);
    let zones = field::zones(checks, &format!("{path}.zones"), &given.zones);
    Some(Edit::Add { region: region?, units: units?, zones: zones? })
}

fn scaled(checks: &mut Checks, path: &str, given: &v1::ScaleRegion) -> Option<Edit> {
    if given.units.is_none() && given.zones.is_none() {
        checks.refuse(path, "must have units, zones, or both");
        return None;
    }
    let region = field::region(checks, &format!("{path}.region"), &given.region);
    let units = given.units.map(|units| field::units(checks, &format!("{path}.units"), units));
    let zones = given.zones.as_ref();
    let zones =
        zones.map(|zones| field::zones(checks, &format!("{path}.zones.zones"), &zones.zones));
    Some(Edit::Scale { region: region?, units: optional(units)?, zones: optional(zones)? })
}

fn preferred(checks: &mut Checks, path: &str, given: &v1::PreferRegion) -> Option<Edit> {
    if given.priority.is_none() && given.weight.is_none() {
        checks.refuse(path, "must have a priority, a weight, or both");
        return None;
    }
    let region = field::region(checks, &format!("{path}.region"), &given.region);
    let mut number = |name: &str, min: u16, max: u16, given: Option<u32>| {
        let path = format!("{path}.{name}");
        optional(given.map(|given| field::number(checks, &path, min..=max, given)))
    };
    let priority = number("priority", 1, limits::MAX_PRIORITY, given.priority);
    let weight = number("weight", 0, limits::MAX_WEIGHT, given.weight);
    Some(Edit::Prefer { region: region?, priority: priority?, weight: weight? })
}

/// Turns an optional field inside out: absent is valid, present and invalid is not.
pub(super) fn optional<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(None) => None,
        Some(checked) => Some(checked),
    }
}
