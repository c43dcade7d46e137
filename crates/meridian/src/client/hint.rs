//! Next steps for rejected edits of a service, computed from the edits and the state of the
//! service.

use meridian_domain::Tier;
use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;
use tonic::Status;

use super::command_line::quote;
use super::lookup;
use super::rule::Rule;
use super::session::Session;
use super::view::{LocationView, StatusWord};

/// Next step for a rejection of `edits` of a service. `None` if the rule alone determines it, or
/// the state cannot be read.
pub async fn for_edits(
    session: &Session,
    service: &str,
    edits: &[EditKind],
    status: &Status,
) -> Option<String> {
    let rules = Rule::all_of(status);
    let shrinks =
        [Rule::SeveralRegions, Rule::TooManyUnits].iter().any(|rule| rules.contains(rule));
    if let Some(tier) = new_tier(edits).filter(|_| shrinks) {
        let locations = lookup::locations(session, service).await.ok()?;
        let limits = lookup::limits(session).await.ok()?;
        return shrink(service, &tier, &limits, &locations);
    }
    match rules.first()? {
        Rule::SeveralRegions => Some(format!(
            "use the premium tier: `meridian service update {service} --tier premium`"
        )),
        Rule::PrimaryRemoved => {
            let locations = lookup::locations(session, service).await.ok()?;
            Some(promote_other(service, edits, &locations))
        }
        Rule::TooManyUnits => {
            let services = lookup::services(session).await.ok()?;
            let service = services.into_iter().find(|known| known.name == service)?;
            Some(allow_units(&service.name, &service.tier))
        }
        Rule::RegionExists => {
            let region = region_of(edits)?;
            Some(format!(
                "change its units with `meridian region scale {region} --units N --service \
                 {service}`"
            ))
        }
        Rule::RegionAbsent => match edits {
            [EditKind::Remove(_)] => None,
            _ => {
                let region = region_of(edits)?;
                Some(format!("add it: `meridian region add {region} --service {service}`"))
            }
        },
        Rule::NoUnits => {
            let region = region_of(edits)?;
            Some(format!("remove it: `meridian region remove {region} --service {service}`"))
        }
        _ => None,
    }
}

/// The tier that the edits give the service; `None` if they do not change it.
fn new_tier(edits: &[EditKind]) -> Option<Tier> {
    edits.iter().find_map(|edit| match edit {
        EditKind::Tier(tier) => tier.parse().ok(),
        EditKind::Add(_)
        | EditKind::Scale(_)
        | EditKind::Set(_)
        | EditKind::Remove(_)
        | EditKind::Promote(_)
        | EditKind::Enable(_)
        | EditKind::Disable(_)
        | EditKind::Prefer(_)
        | EditKind::Routing(_)
        | EditKind::WhenDisabled(_)
        | EditKind::Port(_)
        | EditKind::PublishApi(_)
        | EditKind::RemoveApi(_) => None,
    })
}

/// The command that makes a service small enough for a tier.
fn shrink(
    service: &str,
    tier: &Tier,
    limits: &v1::Limits,
    locations: &[LocationView],
) -> Option<String> {
    let max_units = match tier {
        Tier::Developer => limits.developer_units,
        Tier::Basic => limits.basic_units,
        Tier::Standard => limits.standard_units,
        Tier::Premium => limits.premium_units,
    };
    let allows_regions = tier.allows_several_regions();
    let present = locations.iter().filter(|location| location.status != StatusWord::Removing);
    let edits: Vec<String> = present
        .filter_map(|location| match (&location.region, location.primary || allows_regions) {
            (region, false) => Some(format!("-{region}")),
            (region, true) if location.units > max_units => Some(format!("{region}={max_units}")),
            (_, true) => None,
        })
        .collect();
    (!edits.is_empty()).then(|| {
        let edits = edits.join(" ");
        format!("make it smaller first: `meridian region set {edits} --service {service}`")
    })
}

/// The region to promote before the primary one is removed; without another region, the deletion of
/// the service.
fn promote_other(service: &str, edits: &[EditKind], locations: &[LocationView]) -> String {
    let removed = |location: &LocationView| {
        edits
            .iter()
            .any(|edit| matches!(edit, EditKind::Remove(name) if lookup::is_in(location, name)))
    };
    let mut others = locations.iter().filter(|location| {
        !location.primary && location.status != StatusWord::Removing && !removed(location)
    });
    match others.next() {
        Some(other) => format!(
            "promote another region first: `meridian region promote {} --service {service}`",
            other.region
        ),
        None => format!(
            "add and promote another region first, or delete the service: `meridian service delete \
             {service}`"
        ),
    }
}

fn allow_units(service: &str, tier: &str) -> String {
    match tier {
        _ if tier == Tier::Premium.as_str() => "use fewer units, or raise the limit: `meridian \
                                                cluster limits set --premium-units N`"
            .to_owned(),
        _ => format!(
            "use fewer units, or the premium tier: `meridian service update {service} --tier premium`"
        ),
    }
}

/// The region of the only edit, quoted. With several edits, the rejection itself names the region.
fn region_of(edits: &[EditKind]) -> Option<String> {
    let [edit] = edits else {
        return None;
    };
    let region = match edit {
        EditKind::Add(add) => &add.region,
        EditKind::Scale(scale) => &scale.region,
        EditKind::Set(set) => &set.region,
        EditKind::Prefer(prefer) => &prefer.region,
        EditKind::Remove(region)
        | EditKind::Promote(region)
        | EditKind::Enable(region)
        | EditKind::Disable(region) => region,
        EditKind::Tier(_)
        | EditKind::Port(_)
        | EditKind::Routing(_)
        | EditKind::WhenDisabled(_)
        | EditKind::PublishApi(_)
        | EditKind::RemoveApi(_) => return None,
    };
    Some(quote(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(region: &str, primary: bool) -> LocationView {
        let status = v1::LocationStatus::Ready.into();
        v1::Location { region: region.to_owned(), primary, status, ..Default::default() }.into()
    }

    #[test]
    fn a_smaller_tier_names_the_regions_to_remove_and_to_scale() {
        let mut locations = [location("westeurope", true), location("eastus", false)];
        let limits = v1::Limits { basic_units: 2, premium_units: 12, ..Default::default() };
        let hint = |tier, locations: &[LocationView]| shrink("contoso", &tier, &limits, locations);
        assert_eq!(
            hint(Tier::Basic, &locations).as_deref(),
            Some("make it smaller first: `meridian region set -eastus --service contoso`")
        );
        locations[0].units = 3;
        assert!(
            hint(Tier::Basic, &locations).expect("is too large").contains("westeurope=2 -eastus")
        );
        assert_eq!(hint(Tier::Premium, &locations), None);
    }

    #[test]
    fn removing_the_primary_region_names_a_region_that_stays() {
        let locations =
            [location("westeurope", true), location("eastus", false), location("uksouth", false)];
        let remove = |name: &str| EditKind::Remove(name.to_owned());
        let hint = promote_other("contoso", &[remove("westeurope")], &locations);
        assert!(hint.contains("region promote eastus"), "{hint}");
        let hint = promote_other("contoso", &[remove("westeurope"), remove("eastus")], &locations);
        assert!(hint.contains("region promote uksouth"), "{hint}");
        let hint = promote_other("contoso", &[remove("westeurope")], &locations[..1]);
        assert!(hint.contains("`meridian service delete contoso`"), "{hint}");
    }

    #[test]
    fn too_many_units_name_the_larger_tier_or_the_limit() {
        assert!(allow_units("contoso", "basic").contains("service update contoso --tier premium"));
        assert!(allow_units("contoso", "premium").contains("limits set --premium-units"));
    }
}
