//! Gateways that a majority cannot reach, and those that it can reach again.

use std::collections::BTreeSet;

use super::decision::Decision;
use crate::event::Event;
use crate::loss::{Evidence, Gateways, Loss, LossVotes};
use crate::name::AgentName;
use crate::reachability::{is_majority, loss_of, probers};
use crate::rejection::Rejection;
use crate::state::State;
use crate::unknown;

/// Records a loss, if a majority of the groups that vote on the agent voted for it. The agent may have
/// restarted since: votes on its earlier process run do not count.
pub(super) fn lose(decision: &mut Decision<'_>, votes: &LossVotes) {
    let state = decision.state;
    let LossVotes { agent, generation, gateways, unreachable_from, relapses } = votes;
    let Some(probed) = state.agents.get(agent) else {
        return decision.reject(unknown::agent(state, agent));
    };
    if probed.last_report.0 > *generation {
        return decision.reject(Rejection::StaleVotes { agent: agent.clone() });
    }
    let groups = probers(state, probed);
    let counted = unreachable_from.iter().filter(|group| groups.contains_key(*group));
    let cast: BTreeSet<_> = counted.cloned().collect();
    let count = |number| u8::try_from(number).unwrap_or(u8::MAX);
    if !is_majority(cast.len(), groups.len()) {
        let (agent, votes, groups) = (agent.clone(), count(cast.len()), count(groups.len()));
        return decision.reject(Rejection::NoMajority { agent, votes, groups });
    }
    if !is_lost(state, agent, gateways) {
        decision.emit(Event::GatewaysLost {
            agent: agent.clone(),
            gateways: gateways.clone(),
            evidence: Evidence { unreachable_from: cast, groups: count(groups.len()) },
            relapses: *relapses,
        });
    }
}

/// Records that a loss ended, if it lasts.
pub(super) fn find(decision: &mut Decision<'_>, agent: &AgentName, gateways: &Gateways) {
    let losses = decision.state.losses.get(agent);
    if losses.and_then(|losses| losses.get(gateways)).is_some_and(Loss::is_current) {
        decision.emit(Event::GatewaysFound { agent: agent.clone(), gateways: gateways.clone() });
    }
}

/// True if the gateways are lost, and no unit has become ready since that the loss is not about.
fn is_lost(state: &State, agent: &AgentName, gateways: &Gateways) -> bool {
    let losses = state.losses.get(agent);
    let is_current =
        |gateways| losses.and_then(|it| it.get(gateways)).is_some_and(Loss::is_current);
    if is_current(&Gateways::All) {
        return true;
    }
    let Gateways::Of(service) = gateways else { return false };
    let units = state.units_of_service(service).filter(|unit| unit.agent == *agent);
    is_current(gateways)
        && units.filter(|unit| unit.is_ready()).all(|unit| loss_of(state, unit).is_some())
}
