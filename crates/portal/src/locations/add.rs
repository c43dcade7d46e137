//! The panel that adds a region.

use std::time::Duration;

use maud::{Markup, html};
use meridian_domain::{Location, Region, RegionName, Zones, limits, routing};

use super::Content;
use crate::draft::{self, Draft, InvalidDraft};
use crate::form::Form;
use crate::save;

/// Names of the form's fields.
pub(super) const REGION: &str = "region";
const UNITS: &str = "units";
const ZONES: &str = "zones";
const PRIORITY: &str = "priority";
const WEIGHT: &str = "weight";

/// Returns the edits with those of the form.
///
/// # Errors
/// If a field has no valid value.
pub(super) fn added(draft: Draft, form: &Form) -> Result<Draft, InvalidDraft> {
    let given = form.get(REGION);
    if given.is_empty() {
        return Ok(draft);
    }
    let region = RegionName::parse(given)
        .map_err(|cause| InvalidDraft::Region { edit: given.to_owned(), cause })?;
    let fields = [UNITS, ZONES, PRIORITY, WEIGHT].into_iter();
    let fields = fields.filter(|name| form.pairs().any(|(given, _)| given == *name));
    let parts = fields.map(|name| format!("{name}={}", form.get(name).replace(' ', "")));
    let edit = format!("{region} {}", parts.collect::<Vec<_>>().join(" "));
    let mut pairs = draft.parameters();
    pairs.push((draft::EDIT, edit));
    Draft::parse(pairs.iter().map(|(name, value)| (*name, value.as_str())))
}

/// Returns the panel.
pub(super) fn panel(content: &Content<'_>) -> Markup {
    let new = Location::new(1, Zones::new());
    html! {
        div.panel.wide popover id="add" aria-labelledby="add-title" {
            form method="get" action={ "/services/" (content.service.name) } {
                h2 id="add-title" { "Add region" }
                (save::draft_fields(content.draft))
                label for="find-region" data-script hidden { "Search" }
                input #find-region type="search" data-script hidden data-filter="regions" autocomplete="off" placeholder="Name, such as West Europe";
                fieldset.regions id="regions" {
                    legend { "Region, the closest to the present ones first" }
                    @for (region, distance) in candidates(content) { (choice(content, region, distance)) }
                }
                (fields(content, "add", &new))
                div.actions {
                    button.primary type="submit" { "Add" }
                    button type="button" popovertarget="add" popovertargetaction="hide" { "Cancel" }
                }
            }
        }
    }
}

/// Regions that the service does not have, by their round trip to the closest one that it has.
fn candidates<'a>(content: &'a Content<'a>) -> Vec<(&'a Region, Duration)> {
    let Content { state, service, draft, .. } = content;
    let is_new = |region: &&Region| {
        !service.locations.contains_key(&region.name) && !draft.regions.contains_key(&region.name)
    };
    let present = || service.locations.keys();
    let distance = |region: &Region| {
        let trips = present().map(|it| routing::round_trip(state, it, &region.name).time);
        trips.min().unwrap_or(Duration::MAX)
    };
    let mut candidates: Vec<_> =
        state.all_regions().filter(is_new).map(|region| (region, distance(region))).collect();
    candidates.sort_by(|one, other| (one.1, &one.0.name).cmp(&(other.1, &other.0.name)));
    candidates
}

fn choice(content: &Content<'_>, region: &Region, distance: Duration) -> Markup {
    let has_agent = content.state.hosts_in(&region.name).next().is_some();
    html! {
        label.choice data-words={ (region.name) " " (region.display_name) } {
            input type="radio" name=(REGION) value=(region.name) required;
            span.name { (region.display_name) }
            span.quiet { (distance.as_millis()) " ms" }
            @if !has_agent { span.quiet { "no agent yet" } }
        }
    }
}

/// Returns the fields of a location.
pub(super) fn fields(content: &Content<'_>, prefix: &str, location: &Location) -> Markup {
    let service = content.service;
    let most = content.state.header.limits.units(service.tier);
    let id = |name: &str| format!("{prefix}-{name}");
    html! {
        label for=(id(UNITS)) { "Units" }
        div.units {
            input type="range" min="1" max=(most) value=(location.units) data-script hidden data-twin=(id(UNITS)) aria-label="Units";
            input id=(id(UNITS)) type="number" name=(UNITS) min="1" max=(most) value=(location.units) required;
        }
        p.hint { "1 to " (most) " in the tier " (service.tier) }
        label for=(id(ZONES)) { "Zones" }
        input id=(id(ZONES)) name=(ZONES) value=(draft::list(&location.zones)) placeholder="none, or such as 1,2,3" pattern="[1-9]?( *, *[1-9])*" autocomplete="off";
        @match service.routing {
            meridian_domain::RoutingPolicy::Nearest => {}
            meridian_domain::RoutingPolicy::Priority => {
                label for=(id(PRIORITY)) { "Priority, 1 is the first" }
                input id=(id(PRIORITY)) type="number" name=(PRIORITY) min="1" max=(limits::MAX_PRIORITY) value=(location.preference.priority);
            }
            meridian_domain::RoutingPolicy::Weighted => {
                label for=(id(WEIGHT)) { "Weight" }
                input id=(id(WEIGHT)) type="number" name=(WEIGHT) min="0" max=(limits::MAX_WEIGHT) value=(location.preference.weight);
            }
        }
    }
}
