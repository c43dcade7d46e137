//! The path of every change: validate, propose, respond with its events.

use meridian_domain::event::Subject;
use meridian_domain::{Command, Event, Rejection, Revision, ServiceName, Verdict, decide};
use meridian_ports::{Consistency, HistoryError, Proposal, Receipt, Requester};
use meridian_proto::convert::{ChangeRequest, CheckedChange, Mode, event};
use meridian_proto::v1;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status};
use tracing::Span;

use crate::error::Error;
use crate::{Ports, deadline};

/// Events read per page.
const PAGE: usize = 256;
/// Maximum number of events attached to a conflict: enough to see who changed what.
const CONFLICT_EVENTS: usize = 20;
/// Revisions searched for them, from the newest backward: the events of one service are interleaved
/// with those of all units.
const CONFLICT_SEARCH: u64 = 4_096;

/// Handles a change request.
pub(crate) async fn handle<R: ChangeRequest>(
    ports: &Ports,
    request: Request<R>,
) -> Result<Response<v1::ChangeResponse>, Status> {
    let deadline = deadline::of(request.metadata());
    let change = request.get_ref().checked().map_err(Error::from)?;
    match change.mode {
        Mode::DryRun => Ok(Response::new(forecast(ports, &change, deadline).await?)),
        Mode::Apply { request } => {
            Span::current().record("request_id", tracing::field::display(request));
            let requester =
                Requester::Operator { request, actor: change.actor, reason: change.reason };
            let applied = apply(ports, change.command, requester, deadline).await;
            applied.map(Response::new).map_err(|error| error.status(Some(request)))
        }
    }
}

async fn apply(
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

/// Proposes a command and returns its receipt if it was accepted.
pub(crate) async fn propose(
    ports: &Ports,
    command: Command,
    requester: Requester,
    deadline: Instant,
) -> Result<Receipt, Error> {
    let receipt = ports.propose.propose(Proposal { command, requester, deadline }).await?;
    match receipt.verdict {
        Verdict::Accepted => Ok(receipt),
        Verdict::Rejected(rejections) => Err(rejected(ports, rejections, deadline).await),
    }
}

/// Decides a change against the current state and returns the events that would happen.
async fn forecast(
    ports: &Ports,
    change: &CheckedChange,
    deadline: Instant,
) -> Result<v1::ChangeResponse, Error> {
    ports.read.read(Consistency::Linearizable, deadline).await?;
    let (base, decided) = {
        let state = ports.read.state();
        (state.header.revision, decide(&state, &change.command))
    };
    match decided {
        Ok(events) => {
            let revision = base.0 + events.len() as u64;
            let numbered = events.iter().zip(base.0 + 1..);
            let forecast = |(event, revision)| forecast_event(change, base, revision, event);
            let events = numbered.map(forecast).collect();
            Ok(v1::ChangeResponse { revision, base: base.0, events, waits: Vec::new() })
        }
        Err(rejections) => Err(rejected(ports, rejections, deadline).await),
    }
}

/// Converts an event that would happen. It has no time and no request id, because it has not
/// happened.
fn forecast_event(
    change: &CheckedChange,
    base: Revision,
    revision: u64,
    happens: &Event,
) -> v1::Event {
    v1::Event {
        revision,
        time: None,
        actor: change.actor.to_string(),
        actor_verified: false,
        reason: change.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
        request_id: String::new(),
        change_id: base.0 + 1,
        r#type: happens.type_name().to_owned(),
        data: Some(event::data(happens)),
    }
}

/// Returns the events of a change. The change was applied, so an error in reading them does not
/// fail it: the response then has no events.
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
                tracing::debug!(%error, "cannot read the events of a change");
                return Vec::new();
            }
        }
    }
    events
}

/// Waits until this node has the event of that revision, and returns false at the deadline. The
/// leader responds once it has applied a change itself, so this node may lag.
async fn has(ports: &Ports, revision: Revision, deadline: Instant) -> bool {
    let mut latest = ports.history.latest();
    let arrival = latest.wait_for(|latest| *latest >= revision);
    timeout_at(deadline, arrival).await.is_ok_and(|arrived| arrived.is_ok())
}

/// Creates the error for rejections, with the changes since the expected revision if that is out of
/// date.
async fn rejected(ports: &Ports, rejections: Vec<Rejection>, deadline: Instant) -> Error {
    let is_conflict = |rejection: &&Rejection| matches!(rejection, Rejection::Conflict { .. });
    let conflict = match rejections.iter().find(is_conflict) {
        Some(Rejection::Conflict { service, expected, current }) => {
            let (expected, current) = (*expected, *current);
            has(ports, current, deadline).await;
            Some(Box::new(conflict(ports, service, expected, current)))
        }
        Some(_) | None => None,
    };
    Error::Rejected { rejections, conflict }
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
            // Not here yet, or unreadable: the conflict is reported without them.
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
