//! Rows of the table: the locations that are, with what the edits make of them.

use std::collections::BTreeSet;
use std::time::Duration;

use meridian_domain::routing::{self, Client};
use meridian_domain::status::{self, LocationStatus};
use meridian_domain::{Location, RegionName};

use super::Content;

/// What a save does to a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edited {
    /// Nothing.
    No,
    /// Adds it.
    Added,
    /// Changes it.
    Changed,
    /// Removes it.
    Removed,
}

/// A location.
pub(super) struct Row<'a> {
    pub(super) region: &'a RegionName,
    pub(super) display_name: String,
    pub(super) edited: Edited,
    /// The location as it is; `None` if it is new, or was removed and still drains.
    pub(super) present: Option<&'a Location>,
    /// The location after a save; `None` if there is none.
    pub(super) wanted: Option<Location>,
    /// Status of the present location.
    pub(super) status: Option<LocationStatus>,
    /// It is the primary one now.
    pub(super) primary: bool,
    /// It is the primary one after a save.
    pub(super) becomes_primary: bool,
    /// The region that its clients go to if it fails, with the milliseconds that this adds.
    pub(super) neighbor: Option<(String, Duration)>,
    /// Highest utilization of its units in thousandths; `None` if it is not known.
    pub(super) utilization_permille: Option<u32>,
}

/// Returns the rows: the primary location first, then the others by name, then those that still drain.
pub(super) fn rows<'a>(content: &'a Content<'a>) -> Vec<Row<'a>> {
    let Content { state, service, draft, .. } = content;
    let regions: BTreeSet<_> = service.locations.keys().chain(draft.regions.keys()).collect();
    let mut rows: Vec<_> = regions.into_iter().map(|region| row(content, region)).collect();
    rows.sort_by_key(|row| !row.primary);
    let removed = status::removed_regions(state, service);
    rows.extend(removed.into_iter().filter(|it| !draft.regions.contains_key(*it)).map(|region| {
        let mut row = row(content, region);
        row.wanted = None;
        row
    }));
    rows
}

fn row<'a>(content: &'a Content<'a>, region: &'a RegionName) -> Row<'a> {
    let Content { state, observations, service, draft, .. } = content;
    let present = service.locations.get(region);
    let wanted = match draft.regions.get(region) {
        Some(wanted) => wanted.location(present),
        None => present.cloned(),
    };
    let edited = match (present, &wanted) {
        (None, Some(_)) => Edited::Added,
        (Some(_), None) => Edited::Removed,
        (Some(present), Some(wanted)) if present != wanted => Edited::Changed,
        (Some(_), Some(_)) | (None, None) => Edited::No,
    };
    let location = |present| status::location(state, observations, service, region, present);
    Row {
        region,
        display_name: display_name(content, region),
        edited,
        present,
        wanted,
        status: present.map(location),
        primary: service.primary == *region,
        becomes_primary: draft.primary.as_ref() == Some(region),
        neighbor: present.and_then(|_| neighbor(content, region)),
        utilization_permille: utilization(content, region),
    }
}

pub(super) fn display_name(content: &Content<'_>, region: &RegionName) -> String {
    let known = content.state.region(region);
    known.map_or_else(|| region.to_string(), |region| region.display_name.clone())
}

/// Returns where clients near a region go if it fails.
fn neighbor(content: &Content<'_>, region: &RegionName) -> Option<(String, Duration)> {
    let client = Client { region: region.clone(), network: None };
    let order = routing::order(content.state, content.service, &client);
    let next =
        order.candidates.iter().find(|it| it.region != *region && it.availability.serves())?;
    Some((display_name(content, &next.region), next.round_trip.time))
}

fn utilization(content: &Content<'_>, region: &RegionName) -> Option<u32> {
    let units = content.state.current_units(&content.service.name, region);
    let loads = units.filter_map(|unit| content.observations.loads.get(&unit.incarnation));
    loads.map(|load| load.utilization_permille).max()
}
