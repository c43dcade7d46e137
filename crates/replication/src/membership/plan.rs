//! What the membership lacks of the one that the log wants, and the next step towards it: pure, so that
//! it can be tested without a cluster.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::agent::Address;
use meridian_domain::{NodeId, State};
use meridian_ports::{MemberChange, Pending, WaitsFor};

/// Log entries that a learner may lack and still be made a voter: what a second of load brings.
const CAUGHT_UP: u64 = 1_000;

/// One step towards the membership that the log wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
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
    /// Members that this leader has waited for in vain. Whom a new leader has not heard yet is neither
    /// here nor there.
    pub silent: BTreeSet<NodeId>,
    /// How many log entries each member lacks; of one that has none yet, nothing.
    pub behind: BTreeMap<NodeId, u64>,
}

impl Present {
    /// Whether members that answer are a majority of `voters`.
    fn can_decide(&self, voters: &BTreeSet<NodeId>) -> bool {
        voters.intersection(&self.answering).count() * 2 > voters.len()
    }

    /// Whether it has nearly all of the log, and answers.
    fn has_caught_up(&self, node: NodeId) -> bool {
        self.answering.contains(&node)
            && self.behind.get(&node).is_some_and(|behind| *behind <= CAUGHT_UP)
    }

    /// The majority that is missing for giving `node` a vote, or for taking it from it: now, or once
    /// that is done.
    fn lacks_majority(&self, node: NodeId) -> Option<WaitsFor> {
        let mut after = self.voters.clone();
        if !after.remove(&node) {
            after.insert(node);
        }
        let undecided =
            [&after, &self.voters].into_iter().find(|voters| !self.can_decide(voters))?;
        let silent = undecided.difference(&self.answering).copied().collect();
        Some(WaitsFor::Majority { voters: undecided.len(), silent })
    }
}

/// The step to take next. Additions come before removals, so that the cluster is never smaller than it
/// has to be. While this node may not hand over, what else is to be done is.
pub(super) fn next_step(
    state: &State,
    present: &Present,
    wanted: &BTreeSet<NodeId>,
    own: NodeId,
    may_hand_over: bool,
) -> Option<Step> {
    if present.joint {
        return Some(Step::Finish);
    }
    for (node, address) in agents(state) {
        match present.members.get(&node) {
            None => return Some(Step::AddLearner(node, address.clone())),
            Some(known) if known != address => return Some(Step::Readdress(node, address.clone())),
            Some(_) => {}
        }
    }
    let hands_over = |node| node == own && present.voters.contains(&node);
    let (node, pending) =
        pending(state, present, wanted, own).into_iter().find(|(node, pending)| {
            pending.waits_for.is_none() && (may_hand_over || !hands_over(*node))
        })?;
    match pending.change {
        MemberChange::GainVote => Some(Step::Promote(node)),
        MemberChange::LoseVote | MemberChange::Leave if present.voters.contains(&node) => {
            if hands_over(node) {
                heir(present, wanted, own).map(Step::HandOver)
            } else {
                Some(Step::Demote(node))
            }
        }
        MemberChange::LoseVote | MemberChange::Leave => Some(Step::Remove(node)),
    }
}

/// How members are to change, in the order in which that is done: those that no longer answer lose
/// their votes first, then those that have caught up get theirs, then those that were replaced lose
/// theirs, and whoever has none leaves.
pub(super) fn pending(
    state: &State,
    present: &Present,
    wanted: &BTreeSet<NodeId>,
    own: NodeId,
) -> Vec<(NodeId, Pending)> {
    let agents = agents(state);
    let missing: Vec<_> = wanted.difference(&present.voters).copied().collect();
    let surplus = present.voters.difference(wanted).copied();
    let (silent, others): (Vec<_>, Vec<_>) =
        surplus.partition(|node| present.silent.contains(node));
    let loses = |node: NodeId| {
        let known = agents.contains_key(&node);
        let change = if known { MemberChange::LoseVote } else { MemberChange::Leave };
        // Whoever is to replace a voter catches up first, unless that voter's agent is gone for good.
        let replaced_by: &[NodeId] = if known { &missing } else { &[] };
        let waits_for = losing_waits_for(present, wanted, own, node, replaced_by);
        (node, Pending { change, waits_for })
    };
    let gains = |node: &NodeId| {
        let (change, waits_for) = (MemberChange::GainVote, gaining_waits_for(present, *node));
        (*node, Pending { change, waits_for })
    };
    let gone = |node: &NodeId| {
        *node != own && !agents.contains_key(node) && !present.voters.contains(node)
    };
    let leaves = |node| (node, Pending { change: MemberChange::Leave, waits_for: None });
    silent
        .into_iter()
        .map(loses)
        .chain(missing.iter().map(gains))
        .chain(others.into_iter().map(loses))
        .chain(present.members.keys().copied().filter(gone).map(leaves))
        .collect()
}

fn agents(state: &State) -> BTreeMap<NodeId, &Address> {
    let agents = state.agents.values();
    agents.map(|agent| (agent.description.node, &agent.description.peer_address)).collect()
}

fn gaining_waits_for(present: &Present, node: NodeId) -> Option<WaitsFor> {
    if !present.answering.contains(&node) {
        return Some(WaitsFor::Response);
    }
    if !present.has_caught_up(node) {
        let behind = present.behind.get(&node).copied();
        return Some(WaitsFor::CatchUp { behind });
    }
    present.lacks_majority(node)
}

fn losing_waits_for(
    present: &Present,
    wanted: &BTreeSet<NodeId>,
    own: NodeId,
    node: NodeId,
    replaced_by: &[NodeId],
) -> Option<WaitsFor> {
    if !present.silent.contains(&node) && !replaced_by.is_empty() {
        return Some(WaitsFor::Replacement { by: replaced_by.to_vec() });
    }
    let lacks = present.lacks_majority(node);
    if lacks.is_some() || node != own || heir(present, wanted, own).is_some() {
        return lacks;
    }
    let others = wanted.iter().filter(|other| **other != own);
    Some(WaitsFor::TransferTarget { among: others.copied().collect() })
}

/// Who could lead in the place of this node.
fn heir(present: &Present, wanted: &BTreeSet<NodeId>, own: NodeId) -> Option<NodeId> {
    let mut heirs = wanted.intersection(&present.voters).filter(|heir| **heir != own);
    heirs.find(|heir| present.has_caught_up(**heir)).copied()
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
            silent: BTreeSet::new(),
            behind: nodes(members)
                .into_iter()
                .map(|node| (node, if nodes(caught_up).contains(&node) { 0 } else { 5_000 }))
                .collect(),
        }
    }

    fn step(agents: &[u64], present: &Present, wanted: &[u64]) -> Option<Step> {
        next_step(&known(agents), present, &nodes(wanted), NodeId(1), true)
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
    fn only_a_voter_that_was_waited_for_in_vain_makes_way_before_it_is_replaced() {
        let mut unheard = present(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]);
        unheard.answering = nodes(&[1, 2, 4]);
        assert_eq!(step(&[1, 2, 3, 4], &unheard, &[1, 2, 4]), None, "a new leader waits");
        unheard.silent = nodes(&[3]);
        assert_eq!(step(&[1, 2, 3, 4], &unheard, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
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
    fn what_else_is_due_does_not_wait_for_a_leader_that_may_not_hand_over_yet() {
        let present = present(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3, 4]);
        let next = |may_hand_over| {
            next_step(&known(&[1, 2, 3]), &present, &nodes(&[2, 3]), NodeId(1), may_hand_over)
        };
        assert_eq!(next(true), Some(Step::HandOver(NodeId(2))));
        assert_eq!(next(false), Some(Step::Remove(NodeId(4))));
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

    fn waiting(agents: &[u64], present: &Present, wanted: &[u64]) -> Vec<(NodeId, Pending)> {
        let changes = pending(&known(agents), present, &nodes(wanted), NodeId(1));
        changes.into_iter().filter(|(_, pending)| pending.waits_for.is_some()).collect()
    }

    fn waits(node: u64, change: MemberChange, waits_for: WaitsFor) -> Vec<(NodeId, Pending)> {
        vec![(NodeId(node), Pending { change, waits_for: Some(waits_for) })]
    }

    #[test]
    fn what_waits_says_what_for() {
        let mut dead = present(&[1, 2, 3], &[1, 2, 3], &[1, 2]);
        dead.answering = nodes(&[1, 2]);
        let majority = || WaitsFor::Majority { voters: 2, silent: vec![NodeId(3)] };
        assert_eq!(
            waiting(&[1, 2, 3], &dead, &[1, 3]),
            waits(2, MemberChange::LoseVote, majority())
        );
        assert_eq!(waiting(&[1, 3], &dead, &[1, 3]), waits(2, MemberChange::Leave, majority()));

        let learner = present(&[1, 2, 3], &[1, 2], &[1, 2]);
        let behind = WaitsFor::CatchUp { behind: Some(5_000) };
        assert_eq!(
            waiting(&[1, 2, 3], &learner, &[1, 2, 3]),
            waits(3, MemberChange::GainVote, behind)
        );
        let mut silent = learner;
        silent.answering = nodes(&[1, 2]);
        let gains = waits(3, MemberChange::GainVote, WaitsFor::Response);
        assert_eq!(waiting(&[1, 2, 3], &silent, &[1, 2, 3]), gains);
        let by = WaitsFor::Replacement { by: vec![NodeId(3)] };
        let both = [gains, waits(2, MemberChange::LoseVote, by)].concat();
        assert_eq!(waiting(&[1, 2, 3], &silent, &[1, 3]), both);
    }

    #[test]
    fn a_leader_without_an_heir_waits_for_one() {
        let mut alone = present(&[1, 2, 3], &[1, 2, 3], &[1]);
        alone.behind.insert(NodeId(2), 5_000);
        let heir = WaitsFor::TransferTarget { among: vec![NodeId(2), NodeId(3)] };
        assert_eq!(waiting(&[1, 2, 3], &alone, &[2, 3]), waits(1, MemberChange::LoseVote, heir));
        assert_eq!(step(&[1, 2, 3], &alone, &[2, 3]), None);
    }

    #[test]
    fn what_is_under_way_waits_for_nothing() {
        let learner = present(&[1, 2, 3], &[1, 2], &[1, 2, 3]);
        let under_way = Pending { change: MemberChange::GainVote, waits_for: None };
        assert_eq!(
            pending(&known(&[1, 2, 3]), &learner, &nodes(&[1, 2, 3]), NodeId(1)),
            [(NodeId(3), under_way)]
        );
        assert_eq!(waiting(&[1, 2, 3], &learner, &[1, 2, 3]), []);
    }
}
