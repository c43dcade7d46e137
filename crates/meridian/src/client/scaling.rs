//! Relative numbers of units: `+1` and `-1` are made absolute with a linearizable read, and sent
//! with the revision of that read, so that a concurrent change conflicts.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;
use meridian_wording as wording;

use crate::cli::UnitCount;

use super::command_line::quote;
use super::failure::Failure;
use super::lookup;
use super::session::Session;
use super::view::{LocationView, StatusWord};

/// An edit whose number of units may be relative.
#[derive(Debug, Clone)]
pub enum Planned {
    /// An edit that can be sent as it is.
    Edit(EditKind),
    /// A new number of units for a region.
    Units {
        /// Region, as it was typed.
        region: String,
        /// New number.
        count: UnitCount,
        /// New zones; unchanged if none.
        zones: Option<v1::Zones>,
        /// Set to add the region if the service does not have it; only for an absolute number.
        or_add: bool,
    },
}

impl Planned {
    fn relative(&self) -> Option<(&str, UnitCount)> {
        match self {
            Self::Units { region, count: count @ UnitCount::Relative(_), .. } => {
                Some((region, *count))
            }
            Self::Units { count: UnitCount::Exact(_), .. } | Self::Edit(_) => None,
        }
    }

    fn into_edit(self, absolute: impl FnOnce(&str, UnitCount) -> u32) -> EditKind {
        match self {
            Self::Edit(edit) => edit,
            Self::Units { region, count, or_add: true, .. } => {
                let units = absolute(&region, count);
                EditKind::Set(v1::SetRegion { region, units })
            }
            Self::Units { region, count, zones, or_add: false } => {
                let units = Some(absolute(&region, count));
                EditKind::Scale(v1::ScaleRegion { region, units, zones })
            }
        }
    }
}

/// True if some number is relative.
pub fn is_relative(planned: &[Planned]) -> bool {
    planned.iter().any(|planned| planned.relative().is_some())
}

/// Refuses a request id with a relative number: a retry has to send the same request, and the
/// number may have changed since.
///
/// # Errors
/// If both are given.
pub fn check_request_id(session: &Session, planned: &[Planned]) -> Result<(), Failure> {
    match planned.iter().find_map(Planned::relative) {
        Some((_, count)) if session.options.request_id.is_some() => Err(Failure::Usage {
            cause: format!("--request-id cannot be combined with the relative number {count}"),
            next: "use the absolute number that the first attempt printed, or omit --request-id"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Makes all numbers absolute. If any was relative, the session expects the revision of the read
/// from now on, unless the user gave one, and its command line becomes absolute too.
///
/// # Errors
/// If the service does not have a region, a number would be below 1, or no agent responded.
pub async fn resolve(
    session: &mut Session,
    service: &str,
    planned: Vec<Planned>,
) -> Result<Vec<EditKind>, Failure> {
    let mut resolved = Vec::new();
    if is_relative(&planned) {
        let (revision, locations) = lookup::locations_at(session, service).await?;
        for (region, count) in planned.iter().filter_map(Planned::relative) {
            let units = absolute(service, &locations, region, count)?;
            resolved.push((region.to_owned(), units));
        }
        let expected = session.options.expect_revision.is_none().then_some(revision);
        session.options.expect_revision = session.options.expect_revision.or(expected);
        session.command_line.make_absolute(|name| units_of(&resolved, name), expected);
    }
    let edit = |planned: Planned| {
        planned.into_edit(|region, count| match count {
            UnitCount::Exact(units) => units,
            UnitCount::Relative(_) => units_of(&resolved, region).unwrap_or_default(),
        })
    };
    Ok(planned.into_iter().map(edit).collect())
}

/// Returns the absolute number of units of a region as typed. The name `--units` means the only
/// region of its command.
fn units_of(resolved: &[(String, u32)], name: &str) -> Option<u32> {
    let named = resolved.iter().find(|(region, _)| region == name);
    named.or(resolved.first().filter(|_| name == "--units")).map(|(_, units)| *units)
}

/// Returns the absolute number of units for a relative one.
fn absolute(
    service: &str,
    locations: &[LocationView],
    region: &str,
    count: UnitCount,
) -> Result<u32, Failure> {
    let location = locations
        .iter()
        .find(|location| lookup::is_in(location, region))
        .filter(|location| location.status != StatusWord::Removing)
        .ok_or_else(|| Failure::Refused {
            cause: format!("{service} is not in {region}: {count} needs a current number of units"),
            next: format!("add it: `meridian region add {} --service {service}`", quote(region)),
        })?;
    let (region, current) = (&location.region, location.units);
    count.applied_to(current).ok_or_else(|| Failure::Refused {
        cause: format!("{region} has {}: {count} leaves none", wording::count(current, "unit")),
        next: format!("remove the region: `meridian region remove {region} --service {service}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(region: &str, units: u32) -> LocationView {
        let (region, display_name) = (region.to_owned(), "East US".to_owned());
        v1::Location { region, display_name, units, ..Default::default() }.into()
    }

    #[test]
    fn a_relative_number_starts_from_the_current_one() {
        let locations = [location("eastus", 2)];
        let resolved =
            |region, delta| absolute("contoso", &locations, region, UnitCount::Relative(delta));
        assert_eq!(resolved("eastus", 1).expect("is possible"), 3);
        assert_eq!(resolved("East US", -1).expect("is possible"), 1);
        let refused = |region, delta| resolved(region, delta).expect_err("is refused").to_string();
        assert_eq!(refused("eastus", -2), "eastus has 2 units: -2 leaves none");
        assert!(refused("westus", 1).starts_with("contoso is not in westus"));
    }
}
