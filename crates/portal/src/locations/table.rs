//! The table of locations.

use std::time::Duration;

use maud::{Markup, html};
use meridian_domain::Location;
use meridian_domain::status::{LocationCondition, LocationStatus};

use super::Content;
use super::row::{Edited, Row, rows};
use crate::draft;
use crate::page::moment;
use crate::services::tone;

/// Returns the table.
pub(super) fn table(content: &Content<'_>) -> Markup {
    html! {
        div.scroll {
            table.locations data-live-part="locations" aria-labelledby="locations" {
                thead {
                    tr {
                        th { "Region" } th { "Status" } th.number { "Units ready" } th { "Zones" } th { "Gateway" }
                        th { "If it fails" } th.number { "Utilization" } th { span.hidden { "Actions" } }
                    }
                }
                tbody { @for row in rows(content) { (table_row(content, &row)) } }
            }
        }
    }
}

fn table_row(content: &Content<'_>, row: &Row<'_>) -> Markup {
    let class = match row.edited {
        Edited::No => "",
        Edited::Added => "added",
        Edited::Changed => "changed",
        Edited::Removed => "removed",
    };
    html! {
        tr class=(class) id={ "region-" (row.region) } {
            th scope="row" {
                span.name { (row.display_name) }
                @if row.primary { " " span.badge { "Primary" } }
                @if row.becomes_primary { " " span.badge.pending { "Primary after save" } }
                @match row.edited {
                    Edited::Added => { " " span.badge.pending { "Pending" } }
                    Edited::Removed => { " " span.badge.pending { "Removed by save" } }
                    Edited::Changed | Edited::No => {}
                }
                br; code.quiet { (row.region) }
            }
            td { (condition(row)) (faults(content, row)) }
            td.number { (units(row)) }
            td { (edit(row, zones)) }
            td { (gateway(row)) }
            td { (neighbor(row)) }
            td.number { @match row.utilization_permille { Some(share) => { (share / 10) " %" } None => { span.quiet { "–" } } } }
            td.menu { (menu(content, row)) }
        }
    }
}

/// Status in words, with its cause.
fn condition(row: &Row<'_>) -> Markup {
    let Some(status) = &row.status else {
        return match row.edited {
            Edited::Added => {
                html! { span.status.busy { "pending" } " " span.quiet { "not saved" } }
            }
            Edited::No | Edited::Changed | Edited::Removed => {
                html! { span.status.off { "removing" } }
            }
        };
    };
    let callers = row.neighbor.as_ref().map(|(name, _)| name);
    html! {
        span.status.(tone(status.condition)) {
            (meridian_wording::location_word(status.condition))
            @if let Some(since) = status.condition.offline_since() { " since " (moment(since)) }
        }
        @if status.condition.offline_since().is_some() {
            @match callers { Some(name) => { ", clients go to " (name) } None => { ", no other region serves" } }
        }
        (cause(status))
    }
}

fn cause(status: &LocationStatus) -> Markup {
    let cause = meridian_wording::blocked(status);
    html! { @if !cause.is_empty() { p.cause { (cause) } } }
}

/// Faults of the last save in this region.
fn faults(content: &Content<'_>, row: &Row<'_>) -> Markup {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let concerns =
        |text: &String| text.split(|c| !is_name(c)).any(|word| word == row.region.as_str());
    let faults: Vec<_> =
        content.rejections().iter().map(ToString::to_string).filter(concerns).collect();
    html! { @for fault in faults { p.fault role="alert" { (fault) } } }
}

fn units(row: &Row<'_>) -> Markup {
    let ready = row.status.as_ref().map(|status| status.ready_units);
    let unknown = row.status.as_ref().map_or(0, |status| status.unknown_units);
    let is_settling = row.status.as_ref().is_some_and(|status| {
        matches!(status.condition, LocationCondition::UnitsMissing | LocationCondition::RollingOut)
    });
    let declared = row.present.map(|present| present.units);
    html! {
        @match (ready, declared) {
            (Some(ready), Some(declared)) => {
                (ready) " / " (declared)
                @if unknown > 0 { br; span.quiet { (unknown) " unknown" } }
                @if is_settling { br; progress max=(declared) value=(ready) aria-label="Units ready" {} }
            }
            _ => { @if let Some(wanted) = &row.wanted { "0 / " (wanted.units) } }
        }
        @if let (Some(declared), Some(wanted)) = (declared, &row.wanted) {
            @if wanted.units != declared { br; span.new { "→ " (wanted.units) } }
        }
    }
}

/// Shows a property of the location, and what it becomes.
fn edit(row: &Row<'_>, shown: impl Fn(&Location) -> String) -> Markup {
    let (present, wanted) = (row.present.map(&shown), row.wanted.as_ref().map(&shown));
    html! {
        @match (present, wanted) {
            (Some(present), Some(wanted)) if present != wanted => { (present) " " span.new { "→ " (wanted) } }
            (Some(shown), _) | (None, Some(shown)) => (shown),
            (None, None) => {}
        }
    }
}

fn zones(location: &Location) -> String {
    if location.zones.is_empty() { "–".to_owned() } else { draft::list(&location.zones) }
}

fn gateway(row: &Row<'_>) -> Markup {
    let address = row.status.as_ref().and_then(|status| status.gateway.as_ref());
    let url = address.map(|gateway| format!("http://{}:{}", gateway.host, gateway.port));
    let enabled = |it: &Location| if it.gateway_enabled { "on" } else { "off" }.to_owned();
    html! {
        (edit(row, enabled))
        @if let Some(url) = url { br; code.url { (url) } " " button.copy type="button" data-copy=(url) hidden { "Copy" } }
    }
}

fn neighbor(row: &Row<'_>) -> Markup {
    html! {
        @match &row.neighbor {
            Some((name, added)) => { (name) " " span.quiet.whole { "+" (milliseconds(*added)) } }
            None if row.present.is_some() => { span.warn { "nobody takes over" } }
            None => {}
        }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// Menu of a row. Its items are addresses of this page with one more edit.
fn menu(content: &Content<'_>, row: &Row<'_>) -> Markup {
    let region = row.region;
    let item = |edit: &str| content.address(&format!("{region} {edit}"));
    let id = format!("menu-{region}");
    let enabled = row.wanted.as_ref().is_some_and(|it| it.gateway_enabled);
    let is_edited = row.edited != Edited::No || row.becomes_primary;
    let stays = row.primary && content.draft.primary.is_none();
    let is_deletable = row.present.is_some() && row.wanted.is_some() && !stays;
    html! {
        @if row.wanted.is_some() || is_edited {
            button.dots popovertarget=(id) aria-label={ "Actions for " (row.display_name) } { "…" }
            div.panel.menu popover id=(id) {
                h2 { (row.display_name) }
                @if row.wanted.is_some() {
                    (scale(content, row))
                    ul {
                        @if row.present.is_some() && !row.primary && !row.becomes_primary { li { a href=(item("primary")) { "Make primary" } } }
                        @if enabled { li { a href=(item("gateway=off")) { "Disable gateway" } } }
                        @else { li { a href=(item("gateway=on")) { "Enable gateway" } } }
                        @if stays {
                            li { span.disabled { "Delete" } p.hint { "The primary region cannot be deleted: make another region the primary one first." } }
                        } @else if is_deletable {
                            li { button.danger popovertarget={ "delete-" (region) } { "Delete…" } }
                        }
                        @if is_edited { li { a href=(item("undo")) { "Undo the edits" } } }
                    }
                } @else {
                    ul { li { a href=(item("undo")) { "Keep " (row.display_name) } } }
                }
            }
            @if is_deletable { (confirm(row, &item("remove"))) }
        }
    }
}

fn confirm(row: &Row<'_>, address: &str) -> Markup {
    let id = format!("delete-{}", row.region);
    let units = row.present.map_or(0, |present| present.units);
    html! {
        div.panel popover id=(id) aria-label={ "Delete " (row.display_name) } {
            p { strong { "Delete " (row.display_name) "?" } }
            p { "After Save, its " (meridian_wording::count(units, "unit")) " drain and stop. "
                @match &row.neighbor {
                    Some((name, added)) => { "Clients near it go to " (name) ", " (milliseconds(*added)) " away." }
                    None => { "No other region serves its clients." }
                }
            }
            div.actions {
                a.button.danger href=(address) { "Delete" }
                button type="button" popovertarget=(id) popovertargetaction="hide" { "Cancel" }
            }
        }
    }
}

/// Form that scales a location.
fn scale(content: &Content<'_>, row: &Row<'_>) -> Markup {
    let Some(wanted) = &row.wanted else { return html! {} };
    html! {
        form.scale method="get" action={ "/services/" (content.service.name) } {
            (crate::save::draft_fields(content.draft))
            input type="hidden" name=(super::add::REGION) value=(row.region);
            (super::add::fields(content, &format!("scale-{}", row.region), wanted))
            div.actions { button type="submit" { "Apply" } }
        }
    }
}
