//! Sends a change, prints its result, and waits for its effect.

use meridian_proto::v1;
use meridian_proto::v1::edit::Edit as EditKind;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::diff;
use super::effect::Effect;
use super::explain::{self, RequestInfo, explain};
use super::failover::{RequestError, RequestKind};
use super::failure::Failure;
use super::hint;
use super::output;
use super::session::Session;
use super::view::{ChangeView, EventView, WaitView};
use super::wait::{self, Goal};
use crate::exit;

/// Purpose of a change, for waiting and for hints.
#[derive(Debug, Default)]
pub struct Intent {
    /// Goal of `--wait`.
    pub goal: Option<Goal>,
    /// The service and its edits, if the change edits one.
    pub edits: Option<(String, Vec<EditKind>)>,
    /// Reason why the change may have no effect, unless that is the state that it asks for.
    pub unchanged: Option<String>,
}

impl Intent {
    /// A change with a goal and no edits of a service.
    pub fn with_goal(goal: Goal) -> Self {
        Self { goal: Some(goal), ..Self::default() }
    }
}

/// Sends the change that `message` builds from its context, prints the result, and waits for the
/// goal if `--wait` was given.
///
/// Once the change is acknowledged, a standard output that cannot be written is not a failure.
///
/// # Errors
/// The rejection, that no agent accepted it, that the outcome is unknown, or that the goal was not
/// reached in time.
pub async fn change<M: Clone>(
    session: &Session,
    intent: Intent,
    message: impl FnOnce(v1::ChangeContext) -> M,
    rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<v1::ChangeResponse>, Status>,
) -> Result<(), Failure> {
    let context = session.context();
    let kind = if context.dry_run { RequestKind::Read } else { RequestKind::Change };
    let id = (!context.dry_run).then_some(context.request_id.as_str());
    let request = session.request_info(kind, id);

    let sending = session.client.send(kind, message(context.clone()), rpc);
    let response = tokio::select! {
        response = sending => response,
        _ = tokio::signal::ctrl_c() => return Err(interrupted(&request)),
    };
    let view = match response {
        Ok(response) => ChangeView::new(response, context.clone()),
        Err(error) => return Err(failed(session, &intent, error, &request).await),
    };
    if context.dry_run {
        return print_dry_run(session, &intent, &view).await;
    }
    acknowledged(print(session, &intent, &view));
    match intent.goal {
        Some(goal) if session.options.wait => wait::until(session, &goal, id, &view.waits).await,
        _ => Ok(()),
    }
}

/// Sends the change as a dry run, to find out whether it would be rejected.
///
/// # Errors
/// The rejection, or that no agent responded.
pub async fn rehearse<M: Clone>(
    session: &Session,
    intent: &Intent,
    message: impl FnOnce(v1::ChangeContext) -> M,
    rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<v1::ChangeResponse>, Status>,
) -> Result<(), Failure> {
    let dry = v1::ChangeContext { request_id: String::new(), dry_run: true, ..session.context() };
    match session.client.send(RequestKind::Read, message(dry), rpc).await {
        Ok(_) => Ok(()),
        Err(error) => {
            let request = session.request_info(RequestKind::Change, None);
            Err(failed(session, intent, error, &request).await)
        }
    }
}

/// The failure of a change, with advice for the edits of a service.
async fn failed(
    session: &Session,
    intent: &Intent,
    error: RequestError,
    request: &RequestInfo<'_>,
) -> Failure {
    let advice = match (&error, &intent.edits) {
        (RequestError::Rejected(status), Some((service, edits))) => {
            hint::for_edits(session, service, edits, status).await
        }
        _ => None,
    };
    explain(error, request).with_advice(advice)
}

fn interrupted(request: &RequestInfo<'_>) -> Failure {
    match request.kind {
        RequestKind::Read => Failure::Interrupted,
        RequestKind::Change | RequestKind::Once => {
            explain::unknown("interrupted before the response", request)
        }
    }
}

/// Reports that the result of an acknowledged operation could not be printed. The operation
/// succeeded, so its exit code does not change.
pub fn acknowledged(printed: Result<(), Failure>) {
    if let Err(failure @ Failure::Output(_)) = printed {
        exit::note(
            &format!("the change was accepted, but its result was not printed: {failure}"),
            "check where standard output goes; do not repeat the change",
        );
    }
}

fn print(session: &Session, intent: &Intent, view: &ChangeView) -> Result<(), Failure> {
    note(session, &view.waits);
    if session.output.is_json() {
        return session.output.one(view, |_| String::new());
    }
    exit::message(format_args!("{}", summary(intent, view)));
    output::write(&view.events.iter().map(EventView::short_line).collect::<String>())
}

async fn print_dry_run(
    session: &Session,
    intent: &Intent,
    view: &ChangeView,
) -> Result<(), Failure> {
    note(session, &view.waits);
    if session.output.is_json() {
        return session.output.one(view, |_| String::new());
    }
    exit::message(format_args!("{}", summary(intent, view)));
    output::write(&diff::lines(session, &view.events).await)
}

/// Prints what is missing for a full effect. JSON output contains it.
pub fn note<'a>(session: &Session, waits: impl IntoIterator<Item = &'a WaitView>) {
    if !session.output.is_json() {
        for wait in waits {
            exit::note(&wait.cause, &wait.next_step);
        }
    }
}

/// The result of a change in one line.
fn summary(intent: &Intent, view: &ChangeView) -> String {
    let base = view.base;
    if view.revision == base {
        let reason = intent.unchanged.as_deref().unwrap_or("already in that state");
        return format!("no change: {reason} (revision {base})");
    }
    let Some(id) = view.request_id.as_deref() else {
        return format!("dry run at revision {base}, no changes made:");
    };
    let effects = view.events.iter().filter_map(|event| event.event.as_ref()).map(Effect::of);
    match effects.into_iter().any(|effect| effect == Effect::StartsRollout) {
        true => format!("rollout started at revision {} (request {id})", view.revision),
        false => format!("done at revision {} (request {id})", view.revision),
    }
}
