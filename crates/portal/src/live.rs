//! Live updates: server-sent events (WHATWG HTML, section 9.2) for pages that are open.
//!
//! An update says that the page has changed, and why; the script then requests it again. Its id is the
//! revision, from which a page that lost its connection resumes, on this agent or on another one. Changes
//! of what agents observe have no event: one task observes for all pages, while any is open.

use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream::unfold;
use meridian_domain::event::Subject;
use meridian_domain::status::{self, Observations};
use meridian_domain::{EventRecord, Revision, ServiceName, State as Cluster};
use meridian_ports::{HistoryError, Ports, observe};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::Portal;
use crate::form::Form;

/// Interval between observations.
const OBSERVE: Duration = Duration::from_secs(2);
/// Time in which events are collected into one update.
const COLLECT: Duration = Duration::from_millis(150);
/// Events read at once.
const PAGE: usize = 256;
/// Interval of lines that show that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Open pages.
pub(crate) struct Live {
    places: Arc<Semaphore>,
    /// Digest of the latest observations; its task ends with the last page.
    observed: Mutex<Option<watch::Receiver<u64>>>,
}

impl Live {
    /// Allows this many open pages.
    pub(crate) fn new(pages: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(pages)), observed: Mutex::default() }
    }

    /// Returns the digest of the observations, and starts to observe if nobody does.
    fn observed(&self, ports: &Ports) -> watch::Receiver<u64> {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*observed {
            Some(running) if running.has_changed().is_ok() => running.clone(),
            Some(_) | None => {
                let (sender, receiver) = watch::channel(0);
                tokio::spawn(observe_for_pages(ports.clone(), sender));
                // The task ends once only this receiver is left.
                *observed = Some(receiver.clone());
                receiver
            }
        }
    }
}

/// Publishes a digest of what the agents observe, until no page is open.
async fn observe_for_pages(ports: Ports, digest: watch::Sender<u64>) {
    while digest.receiver_count() > 1 {
        let observations = observe::contacts(&ports, Instant::now() + OBSERVE).await;
        let latest = digest_of(&ports.read.state(), &observations);
        digest.send_if_modified(|known| std::mem::replace(known, latest) != latest);
        sleep(OBSERVE).await;
    }
}

/// Returns a digest of the conditions of agents and of the leader. Ages are left out: they change always.
fn digest_of(state: &Cluster, observations: &Observations) -> u64 {
    let mut digest = DefaultHasher::new();
    observations.leader.hash(&mut digest);
    for agent in state.agents.values() {
        std::mem::discriminant(&status::agent(observations, agent)).hash(&mut digest);
    }
    digest.finish()
}

/// Streams the updates of a page.
pub(crate) async fn stream(
    State(portal): State<Portal>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let Ok(place) = portal.live.places.clone().try_acquire_owned() else {
        let retry = [(header::RETRY_AFTER, "10")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "too many open pages\n").into_response();
    };
    let form = Form::of_query(request.uri().query());
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let from = resumed.or_else(|| form.get("from").parse().ok());
    let observed = portal.live.observed(&portal.ports);
    let mut latest = portal.ports.history.latest();
    let cursor = from.map_or_else(|| *latest.borrow_and_update(), Revision);
    let service = ServiceName::new(form.get("service")).ok();
    let feed = Feed { portal, service, cursor, latest, observed, _place: place };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Sse::new(feed.updates()).keep_alive(keep_alive).into_response()
}

/// The updates of one page.
struct Feed {
    portal: Portal,
    /// The service that the page is about; all if `None`.
    service: Option<ServiceName>,
    /// Revision up to which the page is informed.
    cursor: Revision,
    latest: watch::Receiver<Revision>,
    observed: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    fn updates(self) -> impl Stream<Item = Result<Event, Infallible>> {
        unfold(self, async |mut feed| {
            let update = feed.next().await?;
            Some((Ok(update), feed))
        })
    }

    /// Returns the next update; `None` if the agent stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(cause) = self.read() {
                return Some(self.update("change", &cause));
            }
            let cursor = self.cursor;
            let is_observed = tokio::select! {
                newer = self.latest.wait_for(|latest| *latest > cursor) => newer.map(|_| false).ok()?,
                observed = self.observed.changed() => observed.map(|()| true).ok()?,
            };
            if is_observed {
                return Some(self.update("observation", ""));
            }
            sleep(COLLECT).await;
        }
    }

    /// Reads the events after the cursor, and returns the sentence of the last one that concerns the page.
    fn read(&mut self) -> Option<String> {
        let mut concerning = None;
        loop {
            match self.portal.ports.history.events(self.cursor.next(), PAGE) {
                Ok(page) if page.is_empty() => return concerning,
                Ok(page) => {
                    let last = page.iter().rev().find(|record| self.concerns(record));
                    let sentence =
                        last.map(|record| meridian_wording::event::sentence(&record.event));
                    concerning = sentence.or(concerning);
                    self.cursor = page.last().map_or(self.cursor, |record| record.revision);
                }
                // The page was closed for so long that the events are gone: it is requested again.
                Err(HistoryError::Trimmed { oldest, .. }) => {
                    self.cursor = Revision(oldest.0.saturating_sub(1));
                    concerning = Some(String::new());
                }
                Err(HistoryError::Storage { .. }) => return concerning,
            }
        }
    }

    fn concerns(&self, record: &EventRecord) -> bool {
        match (&self.service, record.event.subject()) {
            (None, _) => true,
            (Some(own), Subject::Service(service)) => own == service,
            (Some(_), _) => true,
        }
    }

    fn update(&self, kind: &str, cause: &str) -> Event {
        Event::default().id(self.cursor.to_string()).event(kind).data(cause)
    }
}
