//! The effects of the pages: changes that are submitted as those of any client.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use meridian_domain::{
    Actor, Command, EventRecord, Reason, Rejection, RequestId, Revision, ServiceName, Verdict,
};
use meridian_ports::{Proposal, ProposeError, Requester};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use crate::Portal;
use crate::client::Client;
use crate::draft::Draft;
use crate::form::Form;
use crate::locations::{self, Feedback};
use crate::page::{Browser, message, not_found};

/// Names of form fields.
const REQUEST: &str = "request";
const REASON: &str = "reason";
const NAME: &str = "name_of_person";

/// Time that a save waits for its outcome.
const WAIT: Duration = Duration::from_secs(8);

/// Events among which those of a conflict are searched.
const EVENTS_SEARCHED: usize = 1_024;

/// Outcome of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Applied, durable on a majority, at this revision.
    Applied { revision: Revision },
    /// Rejected by rules; nothing was changed.
    Rejected(Vec<Rejection>),
    /// Not submitted, and it will not be.
    NotSubmitted(String),
    /// It may have been applied, or may yet be: the same request is safe to send again.
    Unknown(String),
}

/// Returns the hidden field with the id of a new request. A form that is sent twice is one request.
pub(crate) fn request_field() -> Markup {
    html! { input type="hidden" name=(REQUEST) value=(Uuid::now_v7()); }
}

/// Returns the hidden field with the id of the request that a form was.
pub(crate) fn same_request_field(form: &Form) -> Markup {
    html! { input type="hidden" name=(REQUEST) value=(form.get(REQUEST)); }
}

/// Returns the fields for the person's name and reason.
pub(crate) fn person_fields(client: &Client, form: &Form) -> Markup {
    let name = client.name.as_ref().map(Actor::as_str).unwrap_or_default();
    html! {
        label { "Reason" input name=(REASON) maxlength="256" value=(form.get(REASON)) placeholder="Recorded with the change"; }
        label { "Your name" input name=(NAME) maxlength="128" value=(name) autocomplete="name" placeholder="portal"; }
    }
}

/// Submits a change with the request id, the reason and the name in the form.
///
/// # Errors
/// A status and a message, if one of them is invalid; nothing was submitted.
pub(crate) async fn submit(
    portal: &Portal,
    headers: &HeaderMap,
    form: &Form,
    command: Command,
) -> Result<Outcome, (StatusCode, String)> {
    let invalid = |cause: String| {
        (StatusCode::UNPROCESSABLE_ENTITY, format!("{cause}; go back and correct it\n"))
    };
    let request: RequestId =
        form.get(REQUEST).parse().map_err(|error| invalid(format!("{error}")))?;
    let actor = person(headers, form).map_err(|error| invalid(error.to_string()))?.actor();
    let reason = match form.get(REASON) {
        "" => None,
        reason => Some(Reason::new(reason).map_err(|error| invalid(error.to_string()))?),
    };
    let requester = Requester::Operator { request, actor, reason };
    let proposal = Proposal { command, requester, deadline: Instant::now() + WAIT };
    Ok(match portal.ports.propose.propose(proposal).await {
        Ok(receipt) => match receipt.verdict {
            Verdict::Accepted => Outcome::Applied { revision: receipt.revision },
            Verdict::Rejected(rejections) => Outcome::Rejected(rejections),
        },
        Err(error @ ProposeError::RequestExpired { .. }) => {
            Outcome::Unknown(format!("{error}: it may have been applied"))
        }
        Err(error) if error.is_definite() => Outcome::NotSubmitted(error.to_string()),
        Err(error) => Outcome::Unknown(error.to_string()),
    })
}

fn person(headers: &HeaderMap, form: &Form) -> Result<Client, meridian_domain::NameError> {
    match form.get(NAME) {
        "" => Ok(Client::of(headers)),
        name => Ok(Client { name: Some(Actor::new(name)?) }),
    }
}

/// Saves the edits of a service's locations.
pub(crate) async fn save(
    State(portal): State<Portal>,
    Path(service): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let form = match Form::of_body(request).await {
        Ok(form) => form,
        Err(refusal) => return refusal.into_response(),
    };
    let browser = Browser::of(&headers);
    let draft = match Draft::parse(form.pairs()) {
        Ok(draft) => draft,
        Err(error) => {
            let next = "Go back and discard the edits.";
            return message(&portal, browser, StatusCode::BAD_REQUEST, &error.to_string(), next);
        }
    };
    let known = |name: &ServiceName| portal.ports.read.state().services.contains_key(name);
    let Some(name) = ServiceName::new(service.as_str()).ok().filter(known) else {
        return not_found(&portal, browser, &format!("There is no service {service}"), "");
    };
    let (service, expected, edits) = (name.clone(), draft.base, draft.edits());
    let command = Command::ChangeService { service, expected, edits };
    let outcome = match submit(&portal, &headers, &form, command).await {
        Ok(outcome) => outcome,
        Err(refusal) => return refusal.into_response(),
    };
    if let Outcome::Applied { revision } = outcome {
        let mut response =
            Redirect::to(&format!("/services/{name}?saved={revision}")).into_response();
        if let Some(cookie) = person(&headers, &form).ok().and_then(|person| person.cookie()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        return response;
    }
    let meanwhile = newest_events(&portal);
    let feedback = Feedback { outcome: Some(outcome), form, saved: None, meanwhile };
    locations::respond(&portal, &headers, &name, &draft, feedback).await
}

/// Returns the newest events, among which a conflict is explained; none if they cannot be read.
fn newest_events(portal: &Portal) -> Vec<EventRecord> {
    let newest = *portal.ports.history.latest().borrow();
    let from = Revision(newest.0.saturating_sub(EVENTS_SEARCHED as u64).saturating_add(1));
    portal.ports.history.events(from, EVENTS_SEARCHED).unwrap_or_default()
}

/// Returns the hidden fields with the edits of a page.
pub(crate) fn draft_fields(draft: &Draft) -> Markup {
    html! {
        @for (name, value) in draft.parameters() { input type="hidden" name=(name) value=(value); }
    }
}
