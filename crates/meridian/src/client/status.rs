//! `meridian status`.

use meridian_proto::v1;

use crate::cli::StatusArgs;
use crate::exit;

use super::contract;
use super::failure::Failure;
use super::output::Output;
use super::session::Session;
use super::view::{HealthWord, ObserverView, StatusView, WarningView};

/// Prints the health of the cluster, its warnings and its agents.
///
/// # Errors
/// Same as [`Session::read`]; with `--check` also if the cluster is not healthy, after printing.
pub async fn show(session: &Session, args: &StatusArgs) -> Result<(), Failure> {
    let response = session.read(v1::GetStatusRequest {}, async |channel, request| {
        contract::cluster(channel).get_status(request).await
    });
    let status = StatusView::from(response.await?);
    let printed = session.output.one(&status, |status| text(session.output, status));
    // The result of a check does not depend on who reads the output.
    if args.check { check(status.health) } else { printed }
}

fn check(health: HealthWord) -> Result<(), Failure> {
    match health {
        HealthWord::Healthy | HealthWord::Notice => Ok(()),
        HealthWord::Degraded => Err(Failure::Degraded),
        HealthWord::ServiceUnavailable => Err(Failure::ServiceUnavailable),
        HealthWord::ChangesRefused => Err(Failure::ChangesRefused),
        HealthWord::Unknown => Err(Failure::InvalidResponse { what: "the health" }),
    }
}

/// Notes on standard error that the list shows the contacted agent's own view; programs read that
/// in the data.
pub fn note_observer(session: &Session, observer: Option<&ObserverView>) {
    if let Some(observer) = observer.filter(|observer| !observer.leader)
        && !session.output.is_json()
    {
        exit::note(
            &format!("no leader responds; agents as seen by {}", observer.agent),
            "see `meridian status`",
        );
    }
}

fn text(output: Output, status: &StatusView) -> String {
    let (first, others) = match status.warnings.split_first() {
        Some((first, others)) if status.health != HealthWord::Healthy => (warning(first), others),
        Some(_) | None => (healthy(status), status.warnings.as_slice()),
    };
    let mut text = format!("{first}\n{}\n{}", identity(status), output.table(&status.agents));
    if !others.is_empty() {
        text.push('\n');
    }
    for other in others {
        text += &warning(other);
    }
    text
}

fn healthy(status: &StatusView) -> String {
    let agents = match status.agents.len() {
        1 => "1 agent".to_owned(),
        agents => format!("{agents} agents"),
    };
    format!("{}: {agents} reachable\n", status.health.as_str())
}

fn warning(warning: &WarningView) -> String {
    let message = format!("{}: {}\n", warning.severity.as_str(), warning.message);
    match &warning.next_step {
        Some(next) => format!("{message}next: {next}\n"),
        None => message,
    }
}

fn identity(status: &StatusView) -> String {
    let leader = status.leader.as_deref().unwrap_or("none");
    let mut agents = status.agents.iter();
    let is_lost = agents.any(|agent| agent.name == leader && !agent.reachable);
    let lost = if is_lost { " (not responding)" } else { "" };
    let epoch = match status.epoch {
        0 => String::new(),
        epoch => format!(" (epoch {epoch})"),
    };
    let mut text = format!(
        "cluster    {}{epoch}\nleader     {leader}{lost}\ncontacted  {}\n",
        status.cluster_id, status.contacted
    );
    if let Some(observer) = status.observer.as_ref().filter(|observer| !observer.leader) {
        text += &format!("observer   {}, because no leader responds\n", observer.agent);
    }
    text
}

#[cfg(test)]
mod tests;
