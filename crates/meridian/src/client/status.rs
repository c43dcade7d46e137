//! `meridian status`.

use meridian_proto::v1;

use super::contract;
use super::failure::Failure;
use super::output::table;
use super::session::Session;
use super::view::StatusView;

/// Prints how far every agent is, and what an operator should know. Warnings are no failure.
///
/// # Errors
/// As [`Session::read`].
pub async fn show(session: &Session) -> Result<(), Failure> {
    let answer = session.read(v1::GetStatusRequest {}, async |channel, request| {
        contract::cluster(channel).get_status(request).await
    });
    session.output.one(&StatusView::from(answer.await?), text)
}

fn text(status: &StatusView) -> String {
    let leader = status.leader.as_deref();
    let mut agents = status.agents.iter();
    let is_silent = agents.any(|agent| Some(&*agent.name) == leader && !agent.reachable);
    let mut text = format!(
        "cluster {}, led by {}{}, answered by {}\n\n{}",
        status.cluster_id,
        leader.unwrap_or("nobody"),
        if is_silent { " (silent)" } else { "" },
        status.answered_by,
        table(&status.agents)
    );
    if !status.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &status.warnings {
        text += &format!("warning: {warning}\n");
    }
    text
}
