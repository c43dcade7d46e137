//! The next step towards the membership that the log wants: pure, so that it can be tested without a
//! cluster.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::agent::Address;
use meridian_domain::{NodeId, State};

/// One step towards the membership that the log wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Complete a change of voters that an earlier leader left half-way: until then, a decision takes
    /// a majority of the voters before it and of those after it.
    Finish,
    /// Let it follow without a vote.
    AddLearner(NodeId, Address),
    /// Note its new address.
    Readdress(NodeId, Address),
    /// Let it vote.
    Promote(NodeId),
    /// Take its vote.
    Demote(NodeId),
    /// This node is to lose its vote: another must lead first.
    HandOver(NodeId),
    /// Forget it.
    Remove(NodeId),
}

/// The membership as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Present {
    pub members: BTreeMap<NodeId, Address>,
    pub voters: BTreeSet<NodeId>,
    /// Whether a change of voters is half-way.
    pub joint: bool,
    /// Members that have acknowledged this leader lately, and the leader.
    pub answering: BTreeSet<NodeId>,
    /// Those of them that have nearly all of the log.
    pub caught_up: BTreeSet<NodeId>,
}

impl Present {
    /// Whether members that answer are a majority of `voters`.
    fn can_decide(&self, voters: &BTreeSet<NodeId>) -> bool {
        voters.intersection(&self.answering).count() * 2 > voters.len()
    }

    /// Whether a vote may be given to `node`, or taken from it.
    fn may_change(&self, node: NodeId) -> bool {
        let mut after = self.voters.clone();
        if !after.remove(&node) {
            after.insert(node);
        }
        self.can_decide(&self.voters) && self.can_decide(&after)
    }
}

/// The step to take next. Additions come before
/// removals, so that the cluster is never smaller than it has to be.
pub(super) fn next_step(
    state: &State,
    present: &Present,
    wanted: &BTreeSet<NodeId>,
    own: NodeId,
) -> Option<Step> {
    if present.joint {
        return Some(Step::Finish);
    }
    let agents: BTreeMap<NodeId, &Address> = state
        .agents
        .values()
        .map(|agent| (agent.description.node, &agent.description.peer_address))
        .collect();
    for (node, address) in &agents {
        match present.members.get(node) {
            None => return Some(Step::AddLearner(*node, (*address).clone())),
            Some(known) if known != *address => {
                return Some(Step::Readdress(*node, (*address).clone()));
            }
            Some(_) => {}
        }
    }
    if let Some(step) = change_of_voters(present, wanted, &agents, own) {
        return Some(step);
    }
    let gone = |node: &&NodeId| {
        **node != own && !agents.contains_key(node) && !present.voters.contains(node)
    };
    present.members.keys().find(gone).map(|node| Step::Remove(*node))
}

/// The vote to give or to take next. Those that no longer answer lose theirs first, then those that
/// have caught up get theirs, then those that were replaced lose theirs.
fn change_of_voters(
    present: &Present,
    wanted: &BTreeSet<NodeId>,
    agents: &BTreeMap<NodeId, &Address>,
    own: NodeId,
) -> Option<Step> {
    let missing: Vec<_> = wanted.difference(&present.voters).copied().collect();
    let surplus: Vec<_> = present.voters.difference(wanted).copied().collect();
    let may_change = |node: &&NodeId| present.may_change(**node);
    let silent = surplus.iter().filter(|node| !present.answering.contains(node));
    if let Some(node) = silent.clone().find(may_change) {
        return Some(Step::Demote(*node));
    }
    let ready = missing.iter().filter(|node| present.caught_up.contains(node));
    if let Some(node) = ready.clone().find(may_change) {
        return Some(Step::Promote(*node));
    }
    // Whoever is to replace a voter catches up first, unless that voter's agent is gone for good.
    let replaced = surplus.iter().filter(|node| missing.is_empty() || !agents.contains_key(node));
    let node = replaced.clone().find(may_change)?;
    if *node != own {
        return Some(Step::Demote(*node));
    }
    let heir = wanted.iter().find(|heir| **heir != own && present.caught_up.contains(heir));
    heir.map(|heir| Step::HandOver(*heir))
}

#[cfg(test)]
mod tests {
    use meridian_domain::{
        AgentDescription, AgentName, DataVersion, Event, RegionName, evolve::evolve,
    };

    use super::*;

    fn address(node: u64) -> Address {
        Address::new(format!("127.0.0.{node}:7401")).expect("is an address")
    }

    /// A state that knows these agents.
    fn known(nodes: &[u64]) -> State {
        let mut state = State::default();
        for node in nodes {
            let agent = AgentDescription {
                name: AgentName::new(format!("a{node}")).expect("is a name"),
                node: NodeId(*node),
                region: RegionName::new("westeurope").expect("is a region"),
                zone: None,
                witness: false,
                client_address: address(*node),
                peer_address: address(*node),
                gateway_host: "127.0.0.1".to_owned(),
                supports: DataVersion::SUPPORTED,
            };
            let revision = state.header.revision.next();
            evolve(&mut state, revision, &Event::AgentRegistered { agent });
        }
        state
    }

    fn nodes(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn present(members: &[u64], voters: &[u64], caught_up: &[u64]) -> Present {
        Present {
            members: members.iter().map(|node| (NodeId(*node), address(*node))).collect(),
            voters: nodes(voters),
            joint: false,
            answering: nodes(members),
            caught_up: nodes(caught_up),
        }
    }

    fn step(agents: &[u64], present: &Present, wanted: &[u64]) -> Option<Step> {
        next_step(&known(agents), present, &nodes(wanted), NodeId(1))
    }

    #[test]
    fn nothing_is_done_where_members_are_what_the_log_wants() {
        let present = present(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]);
        assert_eq!(step(&[1, 2, 3], &present, &[1, 2, 3]), None);
    }

    #[test]
    fn a_new_agent_learns_catches_up_and_then_votes() {
        let unknown = present(&[1, 2], &[1, 2], &[1, 2]);
        assert_eq!(
            step(&[1, 2, 3], &unknown, &[1, 2, 3]),
            Some(Step::AddLearner(NodeId(3), address(3)))
        );
        let behind = present(&[1, 2, 3], &[1, 2], &[1, 2]);
        assert_eq!(step(&[1, 2, 3], &behind, &[1, 2, 3]), None);
        let caught_up = present(&[1, 2, 3], &[1, 2], &[1, 2, 3]);
        assert_eq!(step(&[1, 2, 3], &caught_up, &[1, 2, 3]), Some(Step::Promote(NodeId(3))));
    }

    #[test]
    fn a_voter_is_replaced_before_it_loses_its_vote() {
        let behind = present(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]);
        assert_eq!(step(&[1, 2, 3, 4], &behind, &[1, 2, 4]), None);
        let replaced = present(&[1, 2, 3, 4], &[1, 2, 3, 4], &[1, 2, 3, 4]);
        assert_eq!(step(&[1, 2, 3, 4], &replaced, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
    }

    #[test]
    fn an_agent_that_is_gone_for_good_makes_way_at_once() {
        let gone = present(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2]);
        assert_eq!(step(&[1, 2, 4], &gone, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
        let demoted = present(&[1, 2, 3, 4], &[1, 2, 4], &[1, 2, 4]);
        assert_eq!(step(&[1, 2, 4], &demoted, &[1, 2, 4]), Some(Step::Remove(NodeId(3))));
    }

    #[test]
    fn a_leader_that_is_to_lose_its_vote_hands_over_first() {
        let present = present(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]);
        assert_eq!(step(&[1, 2, 3], &present, &[2, 3]), Some(Step::HandOver(NodeId(2))));
    }

    #[test]
    fn a_new_address_is_noted() {
        let mut present = present(&[1, 2], &[1, 2], &[1, 2]);
        present.members.insert(NodeId(2), address(9));
        assert_eq!(step(&[1, 2], &present, &[1, 2]), Some(Step::Readdress(NodeId(2), address(2))));
    }

    #[test]
    fn a_change_that_was_left_half_way_is_finished_before_anything_else() {
        let mut present = present(&[1, 2], &[1, 2], &[1, 2]);
        present.joint = true;
        assert_eq!(step(&[1, 2, 3], &present, &[1, 2, 3]), Some(Step::Finish));
    }

    #[test]
    fn a_dead_learner_never_replaces_a_dead_voter() {
        let mut dead = present(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2]);
        dead.answering = nodes(&[1, 2]);
        assert_eq!(step(&[1, 2, 4], &dead, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
        dead.voters = nodes(&[1, 2]);
        assert_eq!(step(&[1, 2, 4], &dead, &[1, 2, 4]), Some(Step::Remove(NodeId(3))));
        dead.members.remove(&NodeId(3));
        assert_eq!(step(&[1, 2, 4], &dead, &[1, 2, 4]), None);
    }

    #[test]
    fn a_vote_that_the_majority_rests_on_is_not_taken() {
        let mut one_dead = present(&[1, 2, 3], &[1, 2, 3], &[1, 2]);
        one_dead.answering = nodes(&[1, 2]);
        assert_eq!(step(&[1, 2, 3], &one_dead, &[1, 3]), None, "drained, and needed");
        assert_eq!(step(&[1, 3], &one_dead, &[1, 3]), None, "removed, and needed");
    }
}
