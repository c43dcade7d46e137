//! The locations of a service: a table with what is, what is wanted, and what a save would change.

mod add;
mod bar;
mod row;
mod table;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use meridian_domain::State as Cluster;
use meridian_domain::status::Observations;
use meridian_domain::{EventRecord, Rejection, Service, ServiceName};

use crate::client::Client;
use crate::draft::{Draft, InvalidDraft};
use crate::form::Form;
use crate::page::{Browser, Page, message, not_found};
use crate::save::{self, Outcome};
use crate::{Portal, snapshot};

/// What the page says about the last save.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feedback {
    /// Outcome, unless it was applied.
    pub(crate) outcome: Option<Outcome>,
    /// The form that was sent.
    pub(crate) form: Form,
    /// Revision of an applied save.
    pub(crate) saved: Option<u64>,
    /// Newest events, in which those that a rejected save conflicts with are found.
    pub(crate) meanwhile: Vec<EventRecord>,
}

/// Everything that the parts of the page are functions of.
pub(super) struct Content<'a> {
    state: &'a Cluster,
    observations: &'a Observations,
    service: &'a Service,
    draft: &'a Draft,
    feedback: &'a Feedback,
    browser: &'a Browser,
    client: &'a Client,
}

impl Content<'_> {
    /// Returns the address of the page with one more edit.
    fn address(&self, edit: &str) -> String {
        address(&self.service.name, &self.draft.with(edit).on(self.service))
    }

    /// Returns the rejections of the last save.
    fn rejections(&self) -> &[Rejection] {
        match &self.feedback.outcome {
            Some(Outcome::Rejected(rejections)) => rejections,
            Some(Outcome::Applied { .. } | Outcome::NotSubmitted(_) | Outcome::Unknown(_))
            | None => &[],
        }
    }
}

fn address(service: &ServiceName, draft: &Draft) -> String {
    match draft.is_empty() {
        true => format!("/services/{service}"),
        false => format!("/services/{service}?{}", draft.query()),
    }
}

/// The page of a service's locations with the edits in its address.
pub(crate) async fn page(
    State(portal): State<Portal>,
    Path(service): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let form = Form::of_query(request.uri().query());
    let browser = Browser::of(&headers);
    let Ok(name) = ServiceName::new(service.as_str()) else {
        return not_found(&portal, browser, &format!("There is no service {service}"), "");
    };
    let draft = match Draft::parse(form.pairs()).and_then(|draft| add::added(draft, &form)) {
        Ok(draft) => draft,
        Err(error) => return invalid(&portal, browser, &error),
    };
    if !form.get(add::REGION).is_empty() {
        // Reloading the page must not add the region again.
        let draft = portal.ports.read.state().services.get(&name).map(|it| rebased(&draft, it));
        let address = draft.map_or_else(|| "/".to_owned(), |draft| address(&name, &draft));
        return Redirect::to(&address).into_response();
    }
    let feedback = Feedback { saved: form.get("saved").parse().ok(), ..Feedback::default() };
    respond(&portal, &headers, &name, &draft, feedback).await
}

/// Returns the draft without edits that change nothing, if it is based on the service as it is.
fn rebased(draft: &Draft, service: &Service) -> Draft {
    let is_based_on_this = draft.base.is_none_or(|base| base == service.revision);
    if is_based_on_this { draft.on(service) } else { draft.clone() }
}

fn invalid(portal: &Portal, browser: Browser, error: &InvalidDraft) -> Response {
    let next = "Go back, correct it and send it again.";
    message(portal, browser, StatusCode::BAD_REQUEST, &error.to_string(), next)
}

/// Responds with the page.
pub(crate) async fn respond(
    portal: &Portal,
    headers: &HeaderMap,
    name: &ServiceName,
    draft: &Draft,
    feedback: Feedback,
) -> Response {
    let (freshness, observations) = snapshot::take(&portal.ports).await;
    let (browser, client) = (Browser::of(headers), Client::of(headers));
    let page = {
        let state = portal.ports.read.state();
        state.services.get(name).map(|service| {
            let draft = &rebased(draft, service);
            let content = Content {
                state: &state,
                observations: &observations,
                service,
                draft,
                feedback: &feedback,
                browser: &browser,
                client: &client,
            };
            Page {
                title: format!("{name} locations"),
                revision: state.header.revision,
                freshness,
                path: vec![(name.to_string(), format!("/services/{name}"))],
                live: format!("/live?service={name}"),
                content: content_of(&content),
            }
        })
    };
    let status = match &feedback.outcome {
        None | Some(Outcome::Applied { .. }) => StatusCode::OK,
        Some(Outcome::Rejected(_)) => StatusCode::CONFLICT,
        Some(Outcome::NotSubmitted(_)) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Outcome::Unknown(_)) => StatusCode::GATEWAY_TIMEOUT,
    };
    match page {
        Some(page) => browser.respond(portal, status, page),
        None => not_found(
            portal,
            browser,
            &format!("There is no service {name}"),
            "It may have been deleted.",
        ),
    }
}

fn content_of(content: &Content<'_>) -> Markup {
    let service = content.service;
    html! {
        div.title {
            h1 { (service.name) }
            p.facts {
                "tier " strong { (service.tier) } " · port " strong { (service.port) }
                " · routing " strong { (service.routing) }
            }
            button popovertarget="delete-service" { "Delete service…" }
        }
        div.subtitle {
            h2 #locations { "Locations" }
            button.primary popovertarget="add" { "+ Add region" }
        }
        (bar::outcome(content))
        (table::table(content))
        (add::panel(content))
        (bar::bar(content))
        (delete_panel(content))
    }
}

fn delete_panel(content: &Content<'_>) -> Markup {
    let name = &content.service.name;
    html! {
        div.panel popover id="delete-service" aria-labelledby="delete-title" {
            form method="post" action={ "/services/" (name) "/delete" } {
                h2 id="delete-title" { "Delete " (name) "?" }
                p { "All of its units drain and stop, in every region. Its clients get no response anymore." }
                (content.browser.field())
                (save::request_field())
                label for="confirm" { "Type " code { (name) } " to confirm" }
                input #confirm name="confirm" required autocomplete="off" pattern=(name);
                div.actions {
                    button.danger type="submit" { "Delete service" }
                    button type="button" popovertarget="delete-service" popovertargetaction="hide" { "Cancel" }
                }
            }
        }
    }
}
