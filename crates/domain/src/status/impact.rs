//! Consequences of a change that do not resolve on their own, or not immediately.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::NodeId;
use crate::name::{AgentName, RegionName, ServiceName};
use crate::state::State;
use crate::voter_selection::voters;

use super::member::{Member, MemberChange, PendingMember, Role, WaitsFor, pending_member};

/// Consequence of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Impact {
    /// A membership change cannot proceed yet.
    MemberPending(PendingMember),
    /// No agent in the region takes units: they start once one does.
    UnitsWithoutAgent {
        /// The region.
        region: RegionName,
    },
    /// No agent in the region takes units anymore: the services lose their capacity there.
    CapacityLost {
        /// The region.
        region: RegionName,
        /// Services with a location there.
        services: Vec<ServiceName>,
    },
}

/// Drain or removal of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decommission {
    node: NodeId,
    region: RegionName,
    change: MemberChange,
}

impl Decommission {
    /// Describes the drain of an agent; `None` if it is not registered.
    #[must_use]
    pub fn drain(state: &State, agent: &AgentName) -> Option<Self> {
        Self::new(state, agent, MemberChange::LoseVote)
    }

    /// Describes the removal of an agent that still is in `state`; `None` if it is not registered.
    #[must_use]
    pub fn removal(state: &State, agent: &AgentName) -> Option<Self> {
        Self::new(state, agent, MemberChange::Leave)
    }

    fn new(state: &State, agent: &AgentName, change: MemberChange) -> Option<Self> {
        let description = &state.agents.get(agent)?.description;
        Some(Self { node: description.node, region: description.region.clone(), change })
    }
}

/// Returns the impact of edits that declare units in `regions`.
#[must_use]
pub fn of_edits(state: &State, regions: &BTreeSet<RegionName>) -> Vec<Impact> {
    let without_agent = regions.iter().filter(|region| !takes_units(state, region, None));
    without_agent.map(|region| Impact::UnitsWithoutAgent { region: region.clone() }).collect()
}

/// Returns the impact of a drain or a removal, once `state` and `members` include it.
#[must_use]
pub fn of_decommission(
    state: &State,
    members: &BTreeMap<NodeId, Member>,
    decommission: &Decommission,
) -> Vec<Impact> {
    let pending = members.get(&decommission.node).and_then(pending_member);
    let pending = pending.map(Impact::MemberPending);
    pending.into_iter().chain(capacity_lost(state, decommission)).collect()
}

/// Returns the impact that a drain or a removal would have. A member silent for `unreachable_after`
/// counts as not responding.
#[must_use]
pub fn forecast(
    state: &State,
    members: &BTreeMap<NodeId, Member>,
    decommission: &Decommission,
    unreachable_after: Duration,
) -> Vec<Impact> {
    let &Decommission { node, change, .. } = decommission;
    let waits_for = vote_loss_waits_for(state, members, decommission, unreachable_after);
    let pending = waits_for.map(|waits_for| PendingMember { node, change, waits_for });
    let pending = pending.map(Impact::MemberPending);
    pending.into_iter().chain(capacity_lost(state, decommission)).collect()
}

/// Returns the condition that the loss of the vote would wait for. The replacements of a drained
/// voter have to be ready first; a removed one is not replaced before it is gone.
fn vote_loss_waits_for(
    state: &State,
    members: &BTreeMap<NodeId, Member>,
    decommission: &Decommission,
    unreachable_after: Duration,
) -> Option<WaitsFor> {
    let responds = |node: &NodeId| {
        members.get(node).is_some_and(|member| {
            let contact = member.last_contact;
            let may_respond = contact.is_none_or(|contact| contact.silence() < unreachable_after);
            member.role == Role::Leader || may_respond
        })
    };
    let current = members.values().filter(|member| member.voter).map(|member| member.node);
    let current: BTreeSet<NodeId> = current.collect();
    let mut remaining = current.clone();
    if !remaining.remove(&decommission.node) {
        return None;
    }
    let mut agents = state.agents.clone();
    agents.retain(|_, agent| agent.description.node != decommission.node);
    let after = State { header: state.header.clone(), agents, ..State::default() };
    let desired = voters(&after, &current);
    let replacements: Vec<_> = desired.difference(&current).copied().collect();
    if decommission.change == MemberChange::LoseVote && !replacements.is_empty() {
        let by: Vec<_> = replacements.into_iter().filter(|node| !responds(node)).collect();
        return (!by.is_empty()).then_some(WaitsFor::Replacement { by });
    }
    let silent: Vec<_> = remaining.iter().copied().filter(|node| !responds(node)).collect();
    let lacks_majority = (remaining.len() - silent.len()) * 2 <= remaining.len();
    lacks_majority.then_some(WaitsFor::Majority { voters: remaining.len(), silent })
}

fn capacity_lost(state: &State, decommission: &Decommission) -> Option<Impact> {
    let region = &decommission.region;
    if takes_units(state, region, Some(decommission.node)) {
        return None;
    }
    let services = state.services.values();
    let located = services.filter(|service| service.locations.contains_key(region));
    let services: Vec<_> = located.map(|service| service.name.clone()).collect();
    (!services.is_empty()).then(|| Impact::CapacityLost { region: region.clone(), services })
}

/// True if an agent in the region, other than `except`, takes units.
fn takes_units(state: &State, region: &RegionName, except: Option<NodeId>) -> bool {
    state.hosts_in(region).any(|agent| Some(agent.description.node) != except)
}
