//! Plan of the probes of this agent: a pure function of the replicated state.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::reachability::{Gateways, Loss, ProberGroups};
use meridian_domain::{AgentName, Generation, NodeId, RegionName, ServiceName, State};

/// Gateways of one agent to be probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub node: NodeId,
    /// Generation of the agent. Probes of an earlier one say nothing about this one.
    pub generation: Generation,
    /// Host of the gateways, as other agents reach it.
    pub host: String,
    /// Region of the agent.
    pub region: RegionName,
    /// Ports of each service with ready units. There are two while the port of a service changes.
    pub ports: BTreeMap<ServiceName, BTreeSet<u16>>,
    /// Current losses.
    pub lost: BTreeSet<Gateways>,
    pub purpose: Purpose,
}

/// Purpose of the results of probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// This agent votes.
    Vote,
    /// The leader is silent: this agent learns what its own clients are likely to reach.
    LocalView,
}

/// Returns what the agent `own` probes. While the leader is silent, also the agents on which it does
/// not vote.
pub(super) fn plan(
    state: &State,
    own: &AgentName,
    leader_is_silent: bool,
) -> BTreeMap<AgentName, Plan> {
    let groups = ProberGroups::of(state);
    let mut plans = BTreeMap::new();
    for (name, agent) in state.agents.iter().filter(|(name, _)| *name != own) {
        let votes = groups.voting_on(agent).any(|(_, probers)| probers.contains(&own));
        let purpose = match votes {
            true => Purpose::Vote,
            false if leader_is_silent => Purpose::LocalView,
            false => continue,
        };
        let losses = state.losses.get(name).into_iter().flatten();
        let plan = Plan {
            node: agent.description.node,
            generation: agent.last_report.0,
            host: agent.description.probed_host().to_owned(),
            region: agent.description.region.clone(),
            ports: BTreeMap::new(),
            lost: losses
                .filter(|(_, loss)| Loss::is_current(loss))
                .map(|(it, _)| it.clone())
                .collect(),
            purpose,
        };
        plans.insert(name.clone(), plan);
    }
    if plans.is_empty() {
        return plans;
    }
    for unit in state.units.values().filter(|unit| unit.is_ready()) {
        if let Some(plan) = plans.get_mut(&unit.agent) {
            plan.ports.entry(unit.id.service.clone()).or_default().insert(unit.port);
        }
    }
    plans.retain(|_, plan| !plan.ports.is_empty());
    plans
}

#[cfg(test)]
mod tests;
