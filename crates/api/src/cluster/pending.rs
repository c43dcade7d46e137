//! What is to become of members, and what that waits for, in sentences.

use meridian_domain::{NodeId, State};
use meridian_ports::{Member, MemberChange, Next, Pending, WaitsFor};
use meridian_proto::v1;

use super::nodes::agent_of;

/// How a member's future is written in an answer; empty where it is not known.
pub(super) fn word(next: Option<&Next>) -> &'static str {
    match next {
        None => "",
        Some(Next::Stay) => "stay",
        Some(Next::Change(Pending { change, .. })) => match change {
            MemberChange::GainVote => "gainVote",
            MemberChange::LoseVote => "loseVote",
            MemberChange::Leave => "leave",
        },
    }
}

/// What the member's change waits for; none where nothing is to change, or it is under way.
pub(super) fn wait(state: &State, member: &Member) -> Option<v1::Wait> {
    let Some(Next::Change(Pending { change, waits_for: Some(waits_for) })) = &member.next else {
        return None;
    };
    let name = name(state, member.node);
    let wish = match change {
        MemberChange::GainVote => format!("{name} is to vote and does not yet"),
        MemberChange::LoseVote => format!("{name} is to lose its vote and keeps it for now"),
        MemberChange::Leave => format!("{name} was removed and stays a voter for now"),
    };
    let names = |nodes: &[NodeId]| list(state, nodes);
    let (cause, next_step) = match waits_for {
        WaitsFor::Answer => {
            ("it does not answer the leader".to_owned(), start(state, &[member.node]))
        }
        WaitsFor::CatchUp { behind } => {
            let behind = match behind {
                Some(entries) => format!("it lacks {entries} entries of the log"),
                None => "it has nothing of the log yet".to_owned(),
            };
            (behind, "wait: it catches up by itself, see `meridian status`".to_owned())
        }
        WaitsFor::Majority { voters, silent } => {
            let (answer, needed) = (voters.saturating_sub(silent.len()), voters / 2 + 1);
            let missing = names(silent);
            let cause = format!(
                "of the {voters} voters then, {answer} would answer ({missing} would not) and \
                 {needed} are needed"
            );
            (cause, start(state, silent))
        }
        WaitsFor::Replacement { by } => {
            let by = names(by);
            let cause = format!("{by} is to vote instead, and is not ready to");
            (cause, format!("see to {by}: `meridian cluster members` says what it waits for"))
        }
        WaitsFor::Heir { among } => {
            let cause = format!("it leads, and {} is not ready to lead", names(among));
            (cause, start(state, among))
        }
    };
    Some(v1::Wait { cause: format!("{wish}: {cause}"), next_step })
}

/// What to do about members that do not answer.
fn start(state: &State, silent: &[NodeId]) -> String {
    let start = format!("start {}", list(state, silent));
    match silent.iter().find_map(|node| agent_of(state, *node)) {
        Some(agent) => format!(
            "{start}, or, if it is gone for good, forget it with `meridian cluster remove {}`",
            agent.description.name
        ),
        None => start,
    }
}

fn list(state: &State, nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().map(|node| name(state, *node)).collect();
    names.join(" or ")
}

/// The agent's name; that of an agent that was removed is forgotten, its member id is not.
fn name(state: &State, node: NodeId) -> String {
    let agent = agent_of(state, node);
    agent.map_or_else(|| format!("member {node}"), |agent| agent.description.name.to_string())
}
