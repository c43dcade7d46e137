//! Pending membership changes and the next step toward the desired membership, as pure functions
//! that are tested without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::agent::Address;
use meridian_domain::{NodeId, State};
use meridian_ports::{MemberChange, Pending, WaitsFor};

/// Maximum number of log entries that a caught-up learner may lack: about one second of load.
const MAX_LAG: u64 = 1_000;

/// One step toward the desired membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Complete the joint configuration that an earlier leader left behind. Until then, every
    /// commit needs a majority of the old voters and a majority of the new ones.
    CompleteJoint,
    /// Add the member without a vote.
    AddLearner(NodeId, Address),
    /// Record the member's new address.
    UpdateAddress(NodeId, Address),
    /// Grant the member a vote.
    Promote(NodeId),
    /// Revoke the member's vote.
    Demote(NodeId),
    /// Transfer leadership to this member, because this node is about to lose its vote.
    TransferLeadership(NodeId),
    /// Remove the member.
    Remove(NodeId),
}

/// Current membership, with the leader's contact to each member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CurrentMembership {
    pub members: BTreeMap<NodeId, Address>,
    pub voters: BTreeSet<NodeId>,
    /// Set while a change of voters is incomplete.
    pub joint: bool,
    /// The leader, and members that acknowledged it recently.
    pub reachable: BTreeSet<NodeId>,
    /// Members that did not acknowledge the leader for too long. A member that a new leader still
    /// waits for is in neither set.
    pub unreachable: BTreeSet<NodeId>,
    /// Number of log entries that each member lacks. Members without any entry are absent.
    pub lag: BTreeMap<NodeId, u64>,
}

impl CurrentMembership {
    /// Returns true if the reachable members are a majority of `voters`.
    fn has_quorum(&self, voters: &BTreeSet<NodeId>) -> bool {
        voters.intersection(&self.reachable).count() * 2 > voters.len()
    }

    /// Returns true if the member is reachable and lacks at most [`MAX_LAG`] entries.
    fn has_caught_up(&self, node: NodeId) -> bool {
        self.reachable.contains(&node) && self.lag.get(&node).is_some_and(|lag| *lag <= MAX_LAG)
    }

    /// Returns the quorum that is missing before or after `node` gains or loses its vote, if any.
    fn missing_quorum(&self, node: NodeId) -> Option<WaitsFor> {
        let mut after = self.voters.clone();
        if !after.remove(&node) {
            after.insert(node);
        }
        let without_quorum =
            [&after, &self.voters].into_iter().find(|voters| !self.has_quorum(voters))?;
        let silent = without_quorum.difference(&self.reachable).copied().collect();
        Some(WaitsFor::Majority { voters: without_quorum.len(), silent })
    }
}

/// Returns the next step. Additions come before removals, so that the cluster is never smaller than
/// necessary. If `may_transfer` is false, changes that do not need a leadership transfer still
/// proceed.
pub(super) fn next_step(
    state: &State,
    current: &CurrentMembership,
    desired_voters: &BTreeSet<NodeId>,
    own: NodeId,
    may_transfer: bool,
) -> Option<Step> {
    if current.joint {
        return Some(Step::CompleteJoint);
    }
    for (node, address) in agents(state) {
        match current.members.get(&node) {
            None => return Some(Step::AddLearner(node, address.clone())),
            Some(known) if known != address => {
                return Some(Step::UpdateAddress(node, address.clone()));
            }
            Some(_) => {}
        }
    }
    let needs_transfer = |node| node == own && current.voters.contains(&node);
    let (node, pending) = pending_changes(state, current, desired_voters, own).into_iter().find(
        |(node, pending)| pending.waits_for.is_none() && (may_transfer || !needs_transfer(*node)),
    )?;
    match pending.change {
        MemberChange::GainVote => Some(Step::Promote(node)),
        MemberChange::LoseVote | MemberChange::Leave if current.voters.contains(&node) => {
            if needs_transfer(node) {
                transfer_target(current, desired_voters, own).map(Step::TransferLeadership)
            } else {
                Some(Step::Demote(node))
            }
        }
        MemberChange::LoseVote | MemberChange::Leave => Some(Step::Remove(node)),
    }
}

/// Returns the pending changes of members in the order in which they are made: first, unreachable
/// voters lose their votes; then, members that have caught up gain votes; then, replaced voters
/// lose theirs; last, members that have neither a vote nor an agent are removed.
pub(super) fn pending_changes(
    state: &State,
    current: &CurrentMembership,
    desired_voters: &BTreeSet<NodeId>,
    own: NodeId,
) -> Vec<(NodeId, Pending)> {
    let agents = agents(state);
    let missing: Vec<_> = desired_voters.difference(&current.voters).copied().collect();
    let surplus = current.voters.difference(desired_voters).copied();
    let (unreachable, others): (Vec<_>, Vec<_>) =
        surplus.partition(|node| current.unreachable.contains(node));
    let vote_loss = |node: NodeId| {
        let registered = agents.contains_key(&node);
        let change = if registered { MemberChange::LoseVote } else { MemberChange::Leave };
        // The replacements of a voter catch up first, unless the voter's agent was removed.
        let replacements: &[NodeId] = if registered { &missing } else { &[] };
        let waits_for = vote_loss_waits_for(current, desired_voters, own, node, replacements);
        (node, Pending { change, waits_for })
    };
    let vote_gain = |node: &NodeId| {
        let (change, waits_for) = (MemberChange::GainVote, vote_gain_waits_for(current, *node));
        (*node, Pending { change, waits_for })
    };
    let is_removed = |node: &NodeId| {
        *node != own && !agents.contains_key(node) && !current.voters.contains(node)
    };
    let removal = |node| (node, Pending { change: MemberChange::Leave, waits_for: None });
    unreachable
        .into_iter()
        .map(vote_loss)
        .chain(missing.iter().map(vote_gain))
        .chain(others.into_iter().map(vote_loss))
        .chain(current.members.keys().copied().filter(is_removed).map(removal))
        .collect()
}

fn agents(state: &State) -> BTreeMap<NodeId, &Address> {
    let agents = state.agents.values();
    agents.map(|agent| (agent.description.node, &agent.description.peer_address)).collect()
}

fn vote_gain_waits_for(current: &CurrentMembership, node: NodeId) -> Option<WaitsFor> {
    if !current.reachable.contains(&node) {
        return Some(WaitsFor::Response);
    }
    if !current.has_caught_up(node) {
        let behind = current.lag.get(&node).copied();
        return Some(WaitsFor::CatchUp { behind });
    }
    current.missing_quorum(node)
}

fn vote_loss_waits_for(
    current: &CurrentMembership,
    desired_voters: &BTreeSet<NodeId>,
    own: NodeId,
    node: NodeId,
    replacements: &[NodeId],
) -> Option<WaitsFor> {
    if !current.unreachable.contains(&node) && !replacements.is_empty() {
        return Some(WaitsFor::Replacement { by: replacements.to_vec() });
    }
    let missing_quorum = current.missing_quorum(node);
    let can_transfer = || transfer_target(current, desired_voters, own).is_some();
    if missing_quorum.is_some() || node != own || can_transfer() {
        return missing_quorum;
    }
    let others = desired_voters.iter().filter(|other| **other != own);
    Some(WaitsFor::TransferTarget { among: others.copied().collect() })
}

/// Returns a voter that can lead in place of this node.
fn transfer_target(
    current: &CurrentMembership,
    desired_voters: &BTreeSet<NodeId>,
    own: NodeId,
) -> Option<NodeId> {
    let mut candidates = desired_voters.intersection(&current.voters).filter(|node| **node != own);
    candidates.find(|node| current.has_caught_up(**node)).copied()
}

#[cfg(test)]
mod tests;
