//! The list of services, and creating and deleting one.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use meridian_domain::State as Cluster;
use meridian_domain::status::{self, LocationCondition, Observations};
use meridian_domain::{Command, RegionName, Service, ServiceName, Tier, WhenDisabled};

use crate::form::Form;
use crate::page::{Browser, Page, message};
use crate::save::{self, Outcome};
use crate::{Portal, snapshot};

/// Maximum number of services on the page; a search finds the others.
const LISTED: usize = 200;

/// The list of services.
pub(crate) async fn page(
    State(portal): State<Portal>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let filter = Form::of_query(request.uri().query());
    let (freshness, observations) = snapshot::take(&portal.ports).await;
    let browser = Browser::of(&headers);
    let page = {
        let state = portal.ports.read.state();
        Page {
            title: "Services".to_owned(),
            revision: state.header.revision,
            freshness,
            path: Vec::new(),
            live: "/live".to_owned(),
            content: list(&state, &observations, filter.get("q"), &browser),
        }
    };
    browser.respond(&portal, StatusCode::OK, page)
}

/// Creates a service.
pub(crate) async fn create(
    State(portal): State<Portal>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let form = match Form::of_body(request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response(),
    };
    let command = match creation(&form) {
        Ok(command) => command,
        Err(cause) => {
            return message(
                &portal,
                Browser::of(&headers),
                StatusCode::UNPROCESSABLE_ENTITY,
                &format!("The service was not created: {cause}"),
                "Go back, correct it and send it again.",
            );
        }
    };
    let address = format!("/services/{}", form.get("name"));
    respond(&portal, &headers, &form, command, "The service was not created", &address).await
}

/// Deletes a service, whose name the person repeats.
pub(crate) async fn delete(
    State(portal): State<Portal>,
    Path(service): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let form = match Form::of_body(request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response(),
    };
    let named = ServiceName::new(service).ok().filter(|name| name.as_str() == form.get("confirm"));
    let Some(service) = named else {
        return message(
            &portal,
            Browser::of(&headers),
            StatusCode::UNPROCESSABLE_ENTITY,
            "The service was not deleted: the name does not match",
            "Go back and type the name of the service to confirm.",
        );
    };
    let command = Command::DeleteService { service, expected: None };
    respond(&portal, &headers, &form, command, "The service was not deleted", "/").await
}

fn creation(form: &Form) -> Result<Command, String> {
    let service = ServiceName::new(form.get("name")).map_err(|error| error.to_string())?;
    let tier = form.get("tier").parse::<Tier>().map_err(|error| error.to_string())?;
    let primary = RegionName::parse(form.get("primary")).map_err(|error| error.to_string())?;
    let when_disabled = WhenDisabled::default();
    Ok(Command::CreateService { service, tier, primary, port: None, when_disabled })
}

/// Submits a command and shows `next` if it was applied.
async fn respond(
    portal: &Portal,
    headers: &HeaderMap,
    form: &Form,
    command: Command,
    refused: &str,
    next: &str,
) -> Response {
    match save::submit(portal, headers, form, command).await {
        Ok(Outcome::Applied { .. }) => Redirect::to(next).into_response(),
        Ok(Outcome::Rejected(rejections)) => {
            let causes: Vec<_> = rejections.iter().map(ToString::to_string).collect();
            let what = format!("{refused}: {}", causes.join("; "));
            let next = "Go back, correct it and send it again.";
            message(portal, Browser::of(headers), StatusCode::CONFLICT, &what, next)
        }
        Ok(Outcome::NotSubmitted(cause)) => {
            let what = format!("{refused}: {cause}");
            let next = "Go back and send it again, here or on another agent.";
            message(portal, Browser::of(headers), StatusCode::SERVICE_UNAVAILABLE, &what, next)
        }
        Ok(Outcome::Unknown(cause)) => {
            let next = "Go back and send the same form again: it is applied at most once.";
            message(portal, Browser::of(headers), StatusCode::GATEWAY_TIMEOUT, &cause, next)
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn list(state: &Cluster, observations: &Observations, filter: &str, browser: &Browser) -> Markup {
    let matching = state.services.values().filter(|it| it.name.as_str().contains(filter));
    let count = matching.clone().count();
    html! {
        div.title {
            h1 { "Services" }
            button.primary popovertarget="create" { "+ Create service" }
        }
        @if state.services.is_empty() {
            div.empty {
                p { strong { "There are no services yet." } }
                p { "A service starts with one unit of gateway capacity in its primary region. Create one, \
                     then add regions to it." }
            }
        } @else {
            form.search role="search" {
                label for="q" { "Search" }
                input #q type="search" name="q" value=(filter) placeholder="Name of a service" data-jump;
            }
            @if count > LISTED {
                p { (LISTED) " of " (count) " services; search for the others." }
            }
            div.scroll {
                table data-live-part="services" {
                    thead { tr { th { "Service" } th { "Status" } th { "Tier" } th { "Primary" } th.number { "Units ready" } th { "Regions" } } }
                    tbody {
                        @for service in matching.take(LISTED) { (row(state, observations, service)) }
                        @if count == 0 { tr { td colspan="6" { "No service has " q { (filter) } " in its name." } } }
                    }
                }
            }
        }
        (creation_form(state, browser))
    }
}

fn row(state: &Cluster, observations: &Observations, service: &Service) -> Markup {
    let statuses = service
        .locations
        .iter()
        .map(|(region, location)| status::location(state, observations, service, region, location));
    let statuses: Vec<_> = statuses.collect();
    let ready: u32 = statuses.iter().map(|status| status.ready_units).sum();
    let worst = statuses.iter().map(|status| status.condition).max_by_key(|it| severity(*it));
    let worst = worst.unwrap_or(LocationCondition::Ready);
    let converged =
        statuses.iter().filter(|it| matches!(it.condition, LocationCondition::Ready)).count();
    html! {
        tr {
            th scope="row" { a href={ "/services/" (service.name) } { (service.name) } }
            td {
                span.status.(tone(worst)) { (meridian_wording::location_word(worst)) }
                @if converged < statuses.len() && statuses.len() > 1 {
                    " " span.quiet { (converged) " of " (statuses.len()) " regions ready" }
                }
            }
            td { (service.tier) }
            td { (service.primary) }
            td.number { (ready) " / " (service.units()) }
            td { (service.locations.len()) }
        }
    }
}

fn severity(condition: LocationCondition) -> u8 {
    match tone(condition) {
        "good" => 0,
        "off" => 1,
        "busy" => 2,
        "warn" => 3,
        _ => 4,
    }
}

/// Returns the class of a condition's color. The words say the same.
pub(crate) fn tone(condition: LocationCondition) -> &'static str {
    match condition {
        LocationCondition::Ready => "good",
        LocationCondition::Disabled | LocationCondition::DrainingClients => "off",
        LocationCondition::UnitsMissing | LocationCondition::RollingOut => "busy",
        LocationCondition::Degraded | LocationCondition::Unmanaged | LocationCondition::NoAgent => {
            "warn"
        }
        LocationCondition::Offline { .. } | LocationCondition::AgentUnreachable => "bad",
    }
}

fn creation_form(state: &Cluster, browser: &Browser) -> Markup {
    let with_agent = |region: &RegionName| state.hosts_in(region).next().is_some();
    let (near, far): (Vec<_>, Vec<_>) =
        state.all_regions().partition(|region| with_agent(&region.name));
    html! {
        div.panel popover id="create" aria-labelledby="create-title" {
            form method="post" action="/services" {
                h2 id="create-title" { "Create service" }
                (browser.field())
                (save::request_field())
                label for="name" { "Name" }
                input #name name="name" required maxlength="50" pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?" autocomplete="off";
                p.hint { "Lowercase letters, digits and hyphens." }
                fieldset {
                    legend { "Tier" }
                    @for tier in Tier::ALL.iter().rev() {
                        label.choice {
                            input type="radio" name="tier" value=(tier) checked[*tier == Tier::Premium];
                            (tier) span.quiet { " up to " (meridian_wording::count(state.header.limits.units(*tier), "unit")) " per region" @if tier.allows_several_regions() { ", several regions" } }
                        }
                    }
                }
                label for="primary" { "Primary region" }
                select #primary name="primary" required {
                    optgroup label="With an agent" { @for region in near { option value=(region.name) { (region.display_name) } } }
                    optgroup label="No agent yet: units start once one joins" { @for region in far { option value=(region.name) { (region.display_name) } } }
                }
                div.actions {
                    button.primary type="submit" { "Create" }
                    button type="button" popovertarget="create" popovertargetaction="hide" { "Cancel" }
                }
            }
        }
    }
}
