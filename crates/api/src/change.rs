//! Every change goes this way: checked, decided, answered with its events.

use meridian_domain::event::Subject;
use meridian_domain::{Command, Event, Rejection, Revision, ServiceName, Verdict, decide};
use meridian_ports::{Consistency, HistoryError, Proposal, Receipt, Requester};
use meridian_proto::convert::{Aim, Asked, ChangeRequest, event};
use meridian_proto::v1;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};
use tracing::Span;

use crate::error::Error;
use crate::{Ports, deadline};

/// Events read at once.
const PAGE: usize = 256;
/// Events attached to a conflict: enough to see who was busy with what.
const CONFLICT_EVENTS: usize = 20;
/// Revisions searched for them, from the newest back: the events of one service lie between those of
/// all units.
const CONFLICT_SEARCH: u64 = 4_096;

/// Answers a request for a change.
pub(crate) async fn answer<R: ChangeRequest>(
    ports: &Ports,
    request: Request<R>,
) -> Result<Response<v1::ChangeResponse>, Status> {
    let deadline = deadline::of(request.metadata());
    let asked = request.get_ref().asked().map_err(Error::from)?;
    match asked.aim {
        Aim::DryRun => Ok(Response::new(forecast(ports, &asked, deadline).await?)),
        Aim::Change { request } => {
            Span::current().record("request_id", tracing::field::display(request));
            let requester =
                Requester::Operator { request, actor: asked.actor, reason: asked.reason };
            let changed = perform(ports, asked.command, requester, deadline).await;
            changed.map(Response::new).map_err(|error| error.status(Some(request)))
        }
    }
}

async fn perform(
    ports: &Ports,
    command: Command,
    requester: Requester,
    deadline: Instant,
) -> Result<v1::ChangeResponse, Error> {
    let receipt = propose(ports, command, requester, deadline).await?;
    Ok(v1::ChangeResponse {
        revision: receipt.revision.0,
        base: receipt.base.0,
        events: own_events(ports, &receipt, deadline).await,
        waits: Vec::new(),
    })
}

/// Proposes a command and returns the receipt of its acceptance.
pub(crate) async fn propose(
    ports: &Ports,
    command: Command,
    requester: Requester,
    deadline: Instant,
) -> Result<Receipt, Error> {
    let receipt = ports.propose.propose(Proposal { command, requester, deadline }).await?;
    match receipt.verdict {
        Verdict::Accepted => Ok(receipt),
        Verdict::Rejected(rejections) => Err(refused(ports, rejections, deadline).await),
    }
}

/// What a change would do, decided against the present state.
async fn forecast(
    ports: &Ports,
    asked: &Asked,
    deadline: Instant,
) -> Result<v1::ChangeResponse, Error> {
    ports.read.read(Consistency::Linearizable, deadline).await?;
    let (base, decided) = {
        let state = ports.read.state();
        (state.header.revision, decide(&state, &asked.command))
    };
    match decided {
        Ok(events) => {
            let revision = base.0 + events.len() as u64;
            let numbered = events.iter().zip(base.0 + 1..);
            let forecast = |(event, revision)| foreseen(asked, base, revision, event);
            let events = numbered.map(forecast).collect();
            Ok(v1::ChangeResponse { revision, base: base.0, events, waits: Vec::new() })
        }
        Err(rejections) => Err(refused(ports, rejections, deadline).await),
    }
}

/// An event that would happen. It has no time and no request, for it did not.
fn foreseen(asked: &Asked, base: Revision, revision: u64, happens: &Event) -> v1::Event {
    v1::Event {
        revision,
        time: None,
        actor: asked.actor.to_string(),
        actor_verified: false,
        reason: asked.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
        request_id: String::new(),
        change_id: base.0 + 1,
        r#type: happens.type_name().to_owned(),
        data: Some(event::data(happens)),
    }
}

/// The events of a change. The change has happened, so whatever keeps them away is no error of it:
/// then there are none in the answer.
async fn own_events(ports: &Ports, receipt: &Receipt, deadline: Instant) -> Vec<v1::Event> {
    let mut events = Vec::new();
    if receipt.revision == receipt.base || !has(ports, receipt.revision, deadline).await {
        return events;
    }
    let mut next = receipt.base.next();
    while next <= receipt.revision {
        let left = usize::try_from(receipt.revision.0 - next.0 + 1).unwrap_or(PAGE);
        match ports.history.events(next, left.min(PAGE)) {
            Ok(page) if !page.is_empty() => {
                next = Revision(next.0 + page.len() as u64);
                events.extend(page.iter().map(v1::Event::from));
            }
            Ok(_) => return Vec::new(),
            Err(error) => {
                tracing::debug!(%error, "the events of a change cannot be read");
                return Vec::new();
            }
        }
    }
    events
}

/// Whether this node has the event of that revision, or receives it before the deadline: the leader
/// answers once it has applied a change itself.
async fn has(ports: &Ports, revision: Revision, deadline: Instant) -> bool {
    let mut latest = ports.history.latest();
    let arrival = latest.wait_for(|latest| *latest >= revision);
    timeout_at(deadline, arrival).await.is_ok_and(|arrived| arrived.is_ok())
}

/// The error of a refusal, with what happened in between where a revision is out of date.
async fn refused(ports: &Ports, rejections: Vec<Rejection>, deadline: Instant) -> Error {
    let stale = rejections.iter().find_map(|rejection| match rejection {
        Rejection::Conflict { service, expected, current } => Some((service, *expected, *current)),
        _ => None,
    });
    let conflict = match stale {
        Some((service, expected, current)) => {
            has(ports, current, deadline).await;
            Some(Box::new(conflict(ports, service, expected, current)))
        }
        None => None,
    };
    Error::Refused { rejections, conflict }
}

fn conflict(
    ports: &Ports,
    service: &ServiceName,
    expected: Revision,
    current: Revision,
) -> v1::Conflict {
    let searched = current.0.saturating_sub(CONFLICT_SEARCH);
    let mut next = Revision(expected.0.max(searched).saturating_add(1));
    let mut more = searched > expected.0;
    let mut events = Vec::new();
    while next <= current {
        let page = match ports.history.events(next, PAGE) {
            Ok(page) if !page.is_empty() => page,
            Err(HistoryError::Trimmed { oldest, .. }) if oldest > next => {
                more = true;
                next = oldest;
                continue;
            }
            // Not here yet, or unreadable: the conflict is one all the same.
            Ok(_) | Err(_) => {
                more = true;
                break;
            }
        };
        next = Revision(next.0 + page.len() as u64);
        let own = page.iter().filter(|record| {
            record.revision <= current && record.event.subject() == Subject::Service(service)
        });
        events.extend(own.map(v1::Event::from));
    }
    let surplus = events.len().saturating_sub(CONFLICT_EVENTS);
    events.drain(..surplus);
    v1::Conflict {
        service: service.to_string(),
        expected_revision: expected.0,
        current_revision: current.0,
        events,
        more: more || surplus > 0,
    }
}
