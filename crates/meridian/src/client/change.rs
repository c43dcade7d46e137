//! Asking for a change, and seeing it through.

use meridian_proto::v1;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::call::{CallError, Kind};
use super::conflict;
use super::explain::{self, Asked, explain};
use super::failure::Failure;
use super::output::{self, table};
use super::session::Session;
use super::view::{ChangeView, EventView, WaitView};
use super::wait::{self, Goal};
use crate::exit;

/// Asks for the change that `message` makes of its context, prints what became of it, and waits for
/// `goal` where `--wait` was given.
///
/// # Errors
/// The refusal, that nobody took it, that the outcome is unknown, or that the goal was not reached.
pub async fn change<M: Clone>(
    session: &Session,
    goal: Option<Goal>,
    message: impl FnOnce(v1::ChangeContext) -> M,
    rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<v1::ChangeResponse>, Status>,
) -> Result<(), Failure> {
    let context = session.context();
    let kind = if context.dry_run { Kind::Read } else { Kind::Change };
    let id = (!context.dry_run).then_some(context.request_id.as_str());
    let asked = Asked { kind, request_id: id, command_line: &session.command_line };

    let calling = session.caller.call(kind, message(context.clone()), rpc);
    let answer = tokio::select! {
        answer = calling => answer,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(&asked)),
    };
    match answer {
        Ok(answer) => show(session, ChangeView::new(answer, context.clone()))?,
        Err(error) => {
            show_conflict(session, &error)?;
            return Err(explain(error, &asked));
        }
    }
    match goal {
        Some(goal) if session.global.wait && !context.dry_run => {
            wait::until(session, &goal, id).await
        }
        _ => Ok(()),
    }
}

/// Asks for the change that `message` makes of its context as a dry run, for the sake of its refusal.
///
/// # Errors
/// The refusal, or that nobody answered.
pub async fn rehearse<M: Clone>(
    session: &Session,
    message: impl FnOnce(v1::ChangeContext) -> M,
    rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<v1::ChangeResponse>, Status>,
) -> Result<(), Failure> {
    let dry = v1::ChangeContext { request_id: String::new(), dry_run: true, ..session.context() };
    match session.caller.call(Kind::Read, message(dry), rpc).await {
        Ok(_) => Ok(()),
        Err(error) => {
            show_conflict(session, &error)?;
            let command_line = &session.command_line;
            Err(explain(error, &Asked { kind: Kind::Change, request_id: None, command_line }))
        }
    }
}

fn interrupted(asked: &Asked<'_>) -> Failure {
    match asked.kind {
        Kind::Read => Failure::Interrupted,
        Kind::Change | Kind::Once => explain::unknown("interrupted before the answer came", asked),
    }
}

fn show(session: &Session, view: ChangeView) -> Result<(), Failure> {
    if !session.output.is_json() {
        anstream::eprintln!("{}", summary(&view));
        if view.events.is_empty() {
            note(session, &view.waits);
            return Ok(());
        }
    }
    session.output.one(&view, |view| table(&view.events))?;
    note(session, &view.waits);
    Ok(())
}

/// Says what is still to come; programs read that in the data.
pub fn note<'a>(session: &Session, waits: impl IntoIterator<Item = &'a WaitView>) {
    if !session.output.is_json() {
        for wait in waits {
            exit::note(&wait.cause, &wait.next_step);
        }
    }
}

/// What a person wants to know beside the events.
fn summary(view: &ChangeView) -> String {
    match (view.dry_run, view.request_id.as_deref()) {
        _ if view.revision == view.base => {
            format!("everything was so already, at revision {}", view.base)
        }
        (true, _) => {
            format!("this would happen after revision {}; nothing was changed:", view.base)
        }
        (false, id) => {
            let id = id.unwrap_or("?");
            // A roll goes on long after it was accepted.
            let word = match view.events.iter().any(|event| event.kind == "RollStarted") {
                true => "begun",
                false => "done",
            };
            format!("{word} at revision {}, request {id}", view.revision)
        }
    }
}

/// Prints what happened since the expected revision: data, so it goes where data goes.
fn show_conflict(session: &Session, error: &CallError) -> Result<(), Failure> {
    let CallError::Refused(status) = error else {
        return Ok(());
    };
    let Some(conflict) = conflict::attached(status).filter(|_| status.code() == Code::Aborted)
    else {
        return Ok(());
    };
    if conflict.more {
        anstream::eprintln!(
            "there were earlier changes, too: `meridian events --from {}`",
            conflict.expected_revision.saturating_add(1)
        );
    }
    let events: Vec<EventView> = conflict.events.into_iter().map(EventView::from).collect();
    match session.output.is_json() {
        true => session.output.list(&events),
        false if events.is_empty() => Ok(()),
        false => output::write(&table(&events)),
    }
}
