//! Sentences about membership changes.

use meridian_domain::status::{
    Member, MemberChange, PendingMember, WaitsFor, agent_of, pending_member,
};
use meridian_domain::{NodeId, State};

use super::Statement;

/// Returns what the member's next change waits for; `None` if there is no change, or it is in
/// progress.
#[must_use]
pub fn member_wait(state: &State, member: &Member) -> Option<Statement> {
    pending_member(member).map(|pending| pending_wait(state, &pending))
}

/// Describes a pending change.
pub(super) fn pending_wait(state: &State, pending: &PendingMember) -> Statement {
    Statement {
        reason: reason(&pending.waits_for),
        subject: subject(state, pending.node),
        message: format!("{}: {}", change(state, pending), obstacle(state, pending)),
        next_step: next_step(state, pending),
    }
}

fn change(state: &State, pending: &PendingMember) -> String {
    let name = name(state, pending.node);
    match pending.change {
        MemberChange::GainVote => format!("{name} cannot become a voter yet"),
        MemberChange::LoseVote => format!("{name} keeps its vote for now"),
        MemberChange::Leave => format!("{name} was removed and remains a member for now"),
    }
}

fn obstacle(state: &State, pending: &PendingMember) -> String {
    match &pending.waits_for {
        WaitsFor::Response => "it does not respond to the leader".to_owned(),
        WaitsFor::CatchUp { behind: Some(entries) } => format!("it lacks {entries} log entries"),
        WaitsFor::CatchUp { behind: None } => "it has no log entries yet".to_owned(),
        WaitsFor::Majority { voters, silent } => {
            let responding = voters.saturating_sub(silent.len());
            let (missing, needed) = (list(state, silent), voters / 2 + 1);
            format!(
                "afterwards only {responding} of {voters} voters would respond, without {missing}; \
                 {needed} are needed"
            )
        }
        WaitsFor::Replacement { by } => {
            format!("{} is to replace it and is not ready to vote", list(state, by))
        }
        WaitsFor::TransferTarget { among } => {
            format!("it leads, and {} is not ready to take over", list(state, among))
        }
    }
}

fn next_step(state: &State, pending: &PendingMember) -> String {
    match &pending.waits_for {
        WaitsFor::Response => start(state, &[pending.node]),
        WaitsFor::CatchUp { .. } => {
            "wait: it catches up on its own, see `meridian status`".to_owned()
        }
        WaitsFor::Majority { voters: _, silent } => start(state, silent),
        WaitsFor::Replacement { by } => {
            format!("see `meridian cluster members` for what {} waits for", list(state, by))
        }
        WaitsFor::TransferTarget { among } => {
            format!("see `meridian status`: {} must respond and catch up", list(state, among))
        }
    }
}

fn reason(waits_for: &WaitsFor) -> &'static str {
    match waits_for {
        WaitsFor::Response => "NO_RESPONSE",
        WaitsFor::CatchUp { .. } => "CATCHING_UP",
        WaitsFor::Majority { .. } => "NO_MAJORITY",
        WaitsFor::Replacement { .. } => "NO_REPLACEMENT",
        WaitsFor::TransferTarget { .. } => "NO_TRANSFER_TARGET",
    }
}

fn subject(state: &State, node: NodeId) -> String {
    match agent_of(state, node) {
        Some(agent) => format!("agents/{}", agent.description.name),
        None => format!("members/{node}"),
    }
}

/// Next step for members that do not respond.
fn start(state: &State, silent: &[NodeId]) -> String {
    let start = format!("start {}", list(state, silent));
    match silent.iter().find_map(|node| agent_of(state, *node)) {
        Some(agent) => {
            let name = &agent.description.name;
            let lost = if silent.len() == 1 { "it" } else { name.as_str() };
            format!("{start}; if {lost} is lost, remove it with `meridian cluster remove {name}`")
        }
        None => start,
    }
}

fn list(state: &State, nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().map(|node| name(state, *node)).collect();
    names.join(" or ")
}

/// The agent's name. The state has no name for a removed agent: it has its member id.
fn name(state: &State, node: NodeId) -> String {
    let agent = agent_of(state, node);
    agent.map_or_else(|| format!("member {node}"), |agent| agent.description.name.to_string())
}
