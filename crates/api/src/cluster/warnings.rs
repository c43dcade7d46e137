//! What an operator should know.

use std::collections::BTreeSet;

use meridian_domain::{AgentName, NodeId, State};
use meridian_ports::Member;

use super::nodes::agent_of;
use super::pending;
use super::survey::Survey;
use crate::services;

/// Voters from which on the loss of any one is survived.
const SAFE_VOTERS: usize = 3;
/// Locations that are named; the rest is counted.
const LOCATIONS_NAMED: usize = 20;

/// A sentence for each thing to know, the gravest first.
pub(super) fn of(state: &State, leader: Option<NodeId>, survey: &Survey) -> Vec<String> {
    let mut warnings = Vec::new();
    warnings.extend(differing(survey));
    warnings.extend(majority(state, leader, survey));
    warnings.extend(few_voters(survey));
    warnings.extend(waiting(state, survey));
    warnings.extend(unreachable(state, survey));
    warnings.extend(unready(state, survey));
    warnings
}

fn differing(survey: &Survey) -> Option<String> {
    let names: Vec<_> = survey.differing.iter().map(AgentName::as_str).collect();
    let names = names.join(", ");
    let warning = || {
        format!(
            "agents {names} hold different states, which should be the same: compare their disks and \
             replace the one that is wrong"
        )
    };
    (!survey.differing.is_empty()).then(warning)
}

fn majority(state: &State, leader: Option<NodeId>, survey: &Survey) -> Option<String> {
    let voters: Vec<_> = survey.members.iter().filter(|member| member.voter).collect();
    let answers = |voter: &&&Member| match agent_of(state, voter.node) {
        Some(agent) => {
            survey.agents.get(&agent.description.name).is_some_and(|said| said.position.is_some())
        }
        // It was removed, so it is not asked: its leader knows.
        None => services::is_heard(voter),
    };
    let reachable = voters.iter().filter(answers).count();
    let needed = voters.len() / 2 + 1;
    if reachable < needed {
        let total = voters.len();
        return Some(format!(
            "{reachable} of {total} voters can be reached from here and {needed} are needed: \
             changes are refused"
        ));
    }
    let warning = "no leader is known here: changes wait until one is elected";
    leader.is_none().then(|| warning.to_owned())
}

fn few_voters(survey: &Survey) -> Option<String> {
    let voters = survey.members.iter().filter(|member| member.voter).count();
    let voter = if voters == 1 { "voter" } else { "voters" };
    let warning = || {
        format!(
            "the cluster has {voters} {voter}: with fewer than {SAFE_VOTERS}, losing one stops all \
             changes"
        )
    };
    (voters < SAFE_VOTERS).then(warning)
}

/// Members that are to change, and cannot yet.
fn waiting<'a>(state: &'a State, survey: &'a Survey) -> impl Iterator<Item = String> + 'a {
    let waits = survey.members.iter().filter_map(|member| pending::wait(state, member));
    waits.map(|wait| format!("{}; {}", wait.cause, wait.next_step))
}

fn unreachable<'a>(state: &'a State, survey: &'a Survey) -> impl Iterator<Item = String> + 'a {
    let agents = state.agents.values().map(|agent| &agent.description);
    let silent = agents
        .filter(|agent| survey.agents.get(&agent.name).is_none_or(|said| said.position.is_none()));
    silent.map(|agent| format!("agent {} in {} does not answer", agent.name, agent.region))
}

fn unready(state: &State, survey: &Survey) -> Vec<String> {
    let silent: BTreeSet<_> = services::silent_of(&survey.members).collect();
    let mut sentences = services::unready(state, &silent);
    let more = sentences.len().saturating_sub(LOCATIONS_NAMED);
    if more > 0 {
        sentences.truncate(LOCATIONS_NAMED);
        sentences.push(format!("{more} more locations are not ready"));
    }
    sentences
}
