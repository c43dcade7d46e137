//! The bar with what a save would change, and what became of the last one.

use maud::{Markup, html};
use meridian_domain::status::impact;
use meridian_domain::{Command, Edit, EventRecord, Origin, Rejection, Revision, Zones, decide};
use meridian_wording::count;

use super::row::display_name;
use super::{Content, address};
use crate::draft::{self, Draft};
use crate::page::moment;
use crate::save::{self, Outcome};

/// Returns the bar; nothing without edits.
pub(super) fn bar(content: &Content<'_>) -> Markup {
    let Content { state, service, draft, .. } = content;
    if draft.is_empty() {
        return html! {};
    }
    let edits = draft.edits();
    let regions = edits.iter().filter_map(declares_units).cloned().collect();
    let waits = impact::of_edits(state, &regions);
    html! {
        section.bar aria-label="Unsaved changes" {
            form method="post" action={ "/services/" (service.name) "/save" } {
                (content.browser.field())
                (request(content))
                (save::draft_fields(draft))
                div.changes {
                    h2 { (count(edits.len(), "unsaved change")) }
                    ul { @for edit in &edits { li { (sentence(content, edit)) } } }
                    @for rejection in foreseen(content, &edits) { p.fault role="alert" { (rejection) } }
                    @for wait in &waits { p.cause { (meridian_wording::impact(state, wait).message) } }
                    details {
                        summary { "As commands" }
                        @if edits.len() > 1 { p.hint { "One after another; Save applies all of them or none." } }
                        pre { code { @for edit in &edits { (command(service.name.as_str(), edit)) "\n" } } }
                    }
                }
                div.person { (save::person_fields(content.client, &content.feedback.form)) }
                div.actions {
                    button.primary type="submit" { "Save" }
                    a.button href={ "/services/" (service.name) } { "Discard" }
                }
            }
        }
    }
}

/// The id of the request: the same as before if its outcome is unknown.
fn request(content: &Content<'_>) -> Markup {
    match &content.feedback.outcome {
        Some(Outcome::Unknown(_)) => save::same_request_field(&content.feedback.form),
        Some(Outcome::Applied { .. } | Outcome::Rejected(_) | Outcome::NotSubmitted(_)) | None => {
            save::request_field()
        }
    }
}

/// Returns the rules that reject the edits, unless the last save was rejected by them.
fn foreseen(content: &Content<'_>, edits: &[Edit]) -> Vec<Rejection> {
    if content.feedback.outcome.is_some() {
        return Vec::new();
    }
    let (service, expected) = (content.service.name.clone(), content.draft.base);
    let command = Command::ChangeService { service, expected, edits: edits.to_vec() };
    decide(content.state, &command).err().unwrap_or_default()
}

fn declares_units(edit: &Edit) -> Option<&meridian_domain::RegionName> {
    match edit {
        Edit::Add { region, .. } | Edit::Scale { region, units: Some(_), .. } => Some(region),
        Edit::Scale { units: None, .. }
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
        | Edit::PublishApi(_)
        | Edit::RemoveApi { .. } => None,
    }
}

/// Describes an edit of a location in the imperative.
fn sentence(content: &Content<'_>, edit: &Edit) -> String {
    let name = |region| display_name(content, region);
    let in_zones = |zones: &Zones| match zones.is_empty() {
        true => String::new(),
        false => format!(" in zones {}", draft::list(zones)),
    };
    match edit {
        Edit::Add { region, units, zones } => {
            format!("add {} with {}{}", name(region), count(*units, "unit"), in_zones(zones))
        }
        Edit::Scale { region, units, zones } => {
            let before = content.service.locations.get(region).map_or(0, |location| location.units);
            let units = units.map(|units| format!(" from {before} to {}", count(units, "unit")));
            let zones = zones.as_ref().map(|zones| match zones.is_empty() {
                true => " without zones".to_owned(),
                false => in_zones(zones),
            });
            let verb = if units.is_some() { "scale" } else { "spread the units of" };
            format!(
                "{verb} {}{}{}",
                name(region),
                units.unwrap_or_default(),
                zones.unwrap_or_default()
            )
        }
        Edit::Remove { region } => format!("remove {}", name(region)),
        Edit::Promote { region } => format!("make {} the primary region", name(region)),
        Edit::Enable { region } => format!("enable the gateway in {}", name(region)),
        Edit::Disable { region } => format!("disable the gateway in {}", name(region)),
        Edit::Prefer { region, priority, weight } => {
            let priority = priority.map(|priority| format!("priority {priority}"));
            let weight = weight.map(|weight| format!("weight {weight}"));
            let both: Vec<_> = priority.into_iter().chain(weight).collect();
            format!("set {} to {}", name(region), both.join(" and "))
        }
        Edit::Set { .. }
        | Edit::Routing(_)
        | Edit::WhenDisabled(_)
        | Edit::Tier(_)
        | Edit::Port(_)
        | Edit::PublishApi(_)
        | Edit::RemoveApi { .. } => unreachable!("a draft edits locations"),
    }
}

/// Returns the command line that makes an edit.
fn command(service: &str, edit: &Edit) -> String {
    let zones = |zones: &Zones| match zones.is_empty() {
        true => "none".to_owned(),
        false => draft::list(zones),
    };
    let command = match edit {
        Edit::Add { region, units, zones: spread } if spread.is_empty() => {
            format!("add {region} --units {units}")
        }
        Edit::Add { region, units, zones: spread } => {
            format!("add {region} --units {units} --zones {}", zones(spread))
        }
        Edit::Scale { region, units, zones: spread } => {
            let units = units.map(|units| format!(" --units {units}")).unwrap_or_default();
            let spread = spread.as_ref().map(|it| format!(" --zones {}", zones(it)));
            format!("scale {region}{units}{}", spread.unwrap_or_default())
        }
        Edit::Remove { region } => format!("remove {region}"),
        Edit::Promote { region } => format!("promote {region}"),
        Edit::Enable { region } => format!("enable {region}"),
        Edit::Disable { region } => format!("disable {region}"),
        Edit::Prefer { region, priority, weight } => {
            let priority = priority.map(|it| format!(" --priority {it}")).unwrap_or_default();
            let weight = weight.map(|it| format!(" --weight {it}")).unwrap_or_default();
            format!("scale {region}{priority}{weight}")
        }
        Edit::Set { .. }
        | Edit::Routing(_)
        | Edit::WhenDisabled(_)
        | Edit::Tier(_)
        | Edit::Port(_)
        | Edit::PublishApi(_)
        | Edit::RemoveApi { .. } => unreachable!("a draft edits locations"),
    };
    format!("meridian region {command} --service {service}")
}

/// Says what became of the last save.
pub(super) fn outcome(content: &Content<'_>) -> Markup {
    let feedback = content.feedback;
    html! {
        @if let Some(revision) = feedback.saved {
            div.notice.good role="status" { p { strong { "Saved." } " The change is durable on a majority of the agents, as revision " (revision) "." } }
        }
        @match &feedback.outcome {
            Some(Outcome::Rejected(rejections)) => (rejected(content, rejections)),
            Some(Outcome::NotSubmitted(cause)) => {
                div.notice.bad role="alert" {
                    p { strong { "Not saved: " } (cause) "." }
                    p { "Nothing was submitted. Save again, here or on another agent." }
                }
            }
            Some(Outcome::Unknown(cause)) => {
                div.notice.bad role="alert" {
                    p { strong { "It is not known whether this was saved: " } (cause) "." }
                    p { "Save again: it is the same request, which is applied at most once." }
                }
            }
            Some(Outcome::Applied { .. }) | None => {}
        }
    }
}

fn rejected(content: &Content<'_>, rejections: &[Rejection]) -> Markup {
    let conflict = rejections.iter().find_map(|rejection| match rejection {
        Rejection::Conflict { expected, .. } => Some(*expected),
        _ => None,
    });
    let Some(expected) = conflict else {
        return html! {
            div.notice.bad role="alert" {
                p { strong { "Not saved." } " Nothing was changed:" }
                ul { @for rejection in rejections { li { (rejection) } } }
            }
        };
    };
    let draft = Draft { base: None, ..content.draft.clone() }.on(content.service);
    html! {
        div.notice.bad role="alert" {
            p { strong { "Not saved: " (content.service.name) " was changed meanwhile." } " Nothing of yours was applied." }
            @if draft.is_empty() {
                p { "It already is as you want it. " a href={ "/services/" (content.service.name) } { "Show it" } }
            } @else {
                p { "The table shows it as it is now. " a.button href=(address(&content.service.name, &draft)) { "Apply your edits on top" } }
            }
            (meanwhile(content, expected))
        }
    }
}

/// Lists who changed the service after `expected`.
fn meanwhile(content: &Content<'_>, expected: Revision) -> Markup {
    let own = |record: &&EventRecord| {
        record.revision > expected
            && record.event.subject()
                == meridian_domain::event::Subject::Service(&content.service.name)
    };
    html! {
        ul { @for record in content.feedback.meanwhile.iter().filter(own) {
            li { (moment(record.time)) " " strong { (actor(record)) } " " (meridian_wording::event::sentence(&record.event)) (reason(record)) }
        } }
    }
}

fn actor(record: &EventRecord) -> String {
    match &record.origin {
        Origin::Operator { actor, .. } => actor.to_string(),
        Origin::Report { agent, .. } => format!("agent {agent}"),
        Origin::System => "Meridian".to_owned(),
    }
}

fn reason(record: &EventRecord) -> String {
    match &record.origin {
        Origin::Operator { reason: Some(reason), .. } => format!(": “{reason}”"),
        Origin::Operator { reason: None, .. } | Origin::Report { .. } | Origin::System => {
            String::new()
        }
    }
}
