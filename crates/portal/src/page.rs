//! The frame of every page.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use meridian_domain::{Revision, Timestamp};

use crate::asset::{ICON_PATH, SCRIPT_PATH, STYLE_PATH};
use crate::snapshot::Freshness;
use crate::{Portal, guard};

/// A page without its frame.
pub(crate) struct Page {
    /// Title, without the name of the product.
    pub(crate) title: String,
    /// Revision that it shows.
    pub(crate) revision: Revision,
    /// How current that is.
    pub(crate) freshness: Freshness,
    /// Names of what the page is a part of, with their addresses.
    pub(crate) path: Vec<(String, String)>,
    /// Parameters of the live updates that concern the page.
    pub(crate) live: String,
    /// Content.
    pub(crate) content: Markup,
}

/// Facts about a request that every page needs.
pub(crate) struct Browser {
    /// Token that forms repeat.
    pub(crate) token: String,
    /// Cookie to set, if the token is new.
    set: Option<HeaderValue>,
}

impl Browser {
    /// Returns the browser that sent a request.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (token, set) = guard::token(headers);
        Self { token, set }
    }

    /// Returns the hidden field with the token.
    pub(crate) fn field(&self) -> Markup {
        html! { input type="hidden" name=(guard::TOKEN) value=(self.token); }
    }

    /// Responds with a page in its frame.
    pub(crate) fn respond(self, portal: &Portal, status: StatusCode, page: Page) -> Response {
        let markup = frame(portal, &page);
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (status, headers, markup.into_string()).into_response();
        if let Some(cookie) = self.set {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

fn frame(portal: &Portal, page: &Page) -> Markup {
    let region = agent_region(portal);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (page.title) " · Meridian" }
                link rel="icon" href=(*ICON_PATH);
                link rel="stylesheet" href=(*STYLE_PATH);
                script type="module" src=(*SCRIPT_PATH) {}
            }
            body data-live=(page.live) data-revision=(page.revision) {
                a.skip href="#content" { "Skip to content" }
                header.top {
                    nav aria-label="Breadcrumb" {
                        ol {
                            li { a.brand href="/" { "Meridian" } }
                            @for (name, address) in &page.path {
                                li { a href=(address) { (name) } }
                            }
                        }
                    }
                    p.agent { "served by " strong { (portal.agent) } @if let Some(region) = region { " in " (region) } }
                }
                main id="content" tabindex="-1" {
                    (freshness(page.freshness))
                    (page.content)
                }
                footer { p { "revision " span id="revision" { (page.revision) } } p #connection role="status" {} }
            }
        }
    }
}

fn agent_region(portal: &Portal) -> Option<String> {
    let state = portal.ports.read.state();
    state.agents.get(&portal.agent).map(|agent| agent.description.region.to_string())
}

/// Says so if no leader confirmed what the page shows.
fn freshness(freshness: Freshness) -> Markup {
    html! {
        div data-live-part="freshness" {
            @match freshness {
                Freshness::Current => {}
                Freshness::Unconfirmed => {
                    div.notice role="status" {
                        p { "No leader confirmed this page in time: it may be a moment old." }
                    }
                }
                Freshness::Stale { leader_contact } => {
                    div.notice.bad role="alert" {
                        p { strong { "No majority of the agents is reachable." } " Changes are refused. " }
                        p { "This page shows what this agent knows. " (last_contact(leader_contact)) " Gateways keep serving clients." }
                    }
                }
            }
        }
    }
}

fn last_contact(age: Option<Duration>) -> String {
    match age {
        Some(age) => format!("It heard from a leader {} ago.", seconds(age)),
        None => "It has not heard from a leader since it started.".to_owned(),
    }
}

fn seconds(age: Duration) -> String {
    match age.as_secs() {
        0 => "less than a second".to_owned(),
        seconds => meridian_wording::count(seconds, "second"),
    }
}

/// Returns a point in time, which the script shows in the zone of the browser.
pub(crate) fn moment(time: Timestamp) -> Markup {
    let seconds = i64::try_from(time.0 / 1_000).unwrap_or(i64::MAX);
    let text = time::OffsetDateTime::from_unix_timestamp(seconds).map(|at| {
        let (date, clock) = (at.date(), at.time());
        format!("{date} {:02}:{:02}:{:02} UTC", clock.hour(), clock.minute(), clock.second())
    });
    let text = text.unwrap_or_else(|_| time.0.to_string());
    html! { time datetime=(text.replacen(' ', "T", 1).replace(" UTC", "Z")) title=(text) { (text) } }
}

/// Responds that something does not exist.
pub(crate) fn not_found(
    portal: &Portal,
    browser: Browser,
    what: &str,
    next_step: &str,
) -> Response {
    message(portal, browser, StatusCode::NOT_FOUND, what, next_step)
}

/// Responds with a sentence and a next step.
pub(crate) fn message(
    portal: &Portal,
    browser: Browser,
    status: StatusCode,
    what: &str,
    next_step: &str,
) -> Response {
    let page = Page {
        title: what.to_owned(),
        revision: portal.ports.read.state().header.revision,
        freshness: Freshness::Current,
        path: Vec::new(),
        live: String::new(),
        content: html! {
            div.notice.bad role="alert" { p { strong { (what) } } p { (next_step) } }
            p { a href="/" { "Back to the services" } }
        },
    };
    browser.respond(portal, status, page)
}
