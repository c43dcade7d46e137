use meridian_domain::{
    AgentDescription, AgentName, DataVersion, Event, RegionName, evolve::evolve,
};

use super::*;

fn address(node: u64) -> Address {
    Address::new(format!("127.0.0.{node}:7401")).expect("a valid address")
}

/// Returns a state with these agents registered.
fn registered(nodes: &[u64]) -> State {
    let mut state = State::default();
    for node in nodes {
        let agent = AgentDescription {
            name: AgentName::new(format!("a{node}")).expect("a valid name"),
            node: NodeId(*node),
            region: RegionName::new("westeurope").expect("a valid region name"),
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

fn membership(members: &[u64], voters: &[u64], caught_up: &[u64]) -> CurrentMembership {
    CurrentMembership {
        members: members.iter().map(|node| (NodeId(*node), address(*node))).collect(),
        voters: nodes(voters),
        joint: false,
        reachable: nodes(members),
        unreachable: BTreeSet::new(),
        lag: nodes(members)
            .into_iter()
            .map(|node| (node, if nodes(caught_up).contains(&node) { 0 } else { 5_000 }))
            .collect(),
    }
}

fn step(agents: &[u64], current: &CurrentMembership, voters: &[u64]) -> Option<Step> {
    next_step(&registered(agents), current, &nodes(voters), NodeId(1), true)
}

#[test]
fn there_is_no_step_when_the_membership_is_as_desired() {
    let current = membership(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]);
    assert_eq!(step(&[1, 2, 3], &current, &[1, 2, 3]), None);
}

#[test]
fn a_new_agent_becomes_a_learner_catches_up_and_gains_a_vote() {
    let not_added = membership(&[1, 2], &[1, 2], &[1, 2]);
    assert_eq!(
        step(&[1, 2, 3], &not_added, &[1, 2, 3]),
        Some(Step::AddLearner(NodeId(3), address(3)))
    );
    let behind = membership(&[1, 2, 3], &[1, 2], &[1, 2]);
    assert_eq!(step(&[1, 2, 3], &behind, &[1, 2, 3]), None);
    let caught_up = membership(&[1, 2, 3], &[1, 2], &[1, 2, 3]);
    assert_eq!(step(&[1, 2, 3], &caught_up, &[1, 2, 3]), Some(Step::Promote(NodeId(3))));
}

#[test]
fn a_voter_is_replaced_before_it_loses_its_vote() {
    let behind = membership(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]);
    assert_eq!(step(&[1, 2, 3, 4], &behind, &[1, 2, 4]), None);
    let replaced = membership(&[1, 2, 3, 4], &[1, 2, 3, 4], &[1, 2, 3, 4]);
    assert_eq!(step(&[1, 2, 3, 4], &replaced, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
}

#[test]
fn only_an_unreachable_voter_is_demoted_before_its_replacement_has_caught_up() {
    let mut unknown = membership(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]);
    unknown.reachable = nodes(&[1, 2, 4]);
    assert_eq!(
        step(&[1, 2, 3, 4], &unknown, &[1, 2, 4]),
        None,
        "a new leader waits for a first contact"
    );
    unknown.unreachable = nodes(&[3]);
    assert_eq!(step(&[1, 2, 3, 4], &unknown, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
}

#[test]
fn a_voter_whose_agent_was_removed_is_demoted_immediately() {
    let removed = membership(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2]);
    assert_eq!(step(&[1, 2, 4], &removed, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
    let demoted = membership(&[1, 2, 3, 4], &[1, 2, 4], &[1, 2, 4]);
    assert_eq!(step(&[1, 2, 4], &demoted, &[1, 2, 4]), Some(Step::Remove(NodeId(3))));
}

#[test]
fn a_leader_about_to_lose_its_vote_transfers_leadership_first() {
    let current = membership(&[1, 2, 3], &[1, 2, 3], &[1, 2, 3]);
    assert_eq!(step(&[1, 2, 3], &current, &[2, 3]), Some(Step::TransferLeadership(NodeId(2))));
}

#[test]
fn other_changes_proceed_while_leadership_may_not_be_transferred() {
    let current = membership(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3, 4]);
    let next = |may_transfer| {
        next_step(&registered(&[1, 2, 3]), &current, &nodes(&[2, 3]), NodeId(1), may_transfer)
    };
    assert_eq!(next(true), Some(Step::TransferLeadership(NodeId(2))));
    assert_eq!(next(false), Some(Step::Remove(NodeId(4))));
}

#[test]
fn a_new_address_is_recorded() {
    let mut current = membership(&[1, 2], &[1, 2], &[1, 2]);
    current.members.insert(NodeId(2), address(9));
    assert_eq!(step(&[1, 2], &current, &[1, 2]), Some(Step::UpdateAddress(NodeId(2), address(2))));
}

#[test]
fn a_joint_configuration_is_completed_before_any_other_change() {
    let mut current = membership(&[1, 2], &[1, 2], &[1, 2]);
    current.joint = true;
    assert_eq!(step(&[1, 2, 3], &current, &[1, 2, 3]), Some(Step::CompleteJoint));
}

#[test]
fn an_unreachable_learner_never_replaces_an_unreachable_voter() {
    let mut dead = membership(&[1, 2, 3, 4], &[1, 2, 3], &[1, 2]);
    dead.reachable = nodes(&[1, 2]);
    assert_eq!(step(&[1, 2, 4], &dead, &[1, 2, 4]), Some(Step::Demote(NodeId(3))));
    dead.voters = nodes(&[1, 2]);
    assert_eq!(step(&[1, 2, 4], &dead, &[1, 2, 4]), Some(Step::Remove(NodeId(3))));
    dead.members.remove(&NodeId(3));
    assert_eq!(step(&[1, 2, 4], &dead, &[1, 2, 4]), None);
}

#[test]
fn a_vote_that_the_quorum_needs_is_not_revoked() {
    let mut one_dead = membership(&[1, 2, 3], &[1, 2, 3], &[1, 2]);
    one_dead.reachable = nodes(&[1, 2]);
    assert_eq!(step(&[1, 2, 3], &one_dead, &[1, 3]), None, "drained, but needed");
    assert_eq!(step(&[1, 3], &one_dead, &[1, 3]), None, "removed, but needed");
}

fn waiting(agents: &[u64], current: &CurrentMembership, voters: &[u64]) -> Vec<(NodeId, Pending)> {
    let changes = pending_changes(&registered(agents), current, &nodes(voters), NodeId(1));
    changes.into_iter().filter(|(_, pending)| pending.waits_for.is_some()).collect()
}

fn waits(node: u64, change: MemberChange, waits_for: WaitsFor) -> Vec<(NodeId, Pending)> {
    vec![(NodeId(node), Pending { change, waits_for: Some(waits_for) })]
}

#[test]
fn a_blocked_change_names_the_condition_it_waits_for() {
    let mut dead = membership(&[1, 2, 3], &[1, 2, 3], &[1, 2]);
    dead.reachable = nodes(&[1, 2]);
    let majority = || WaitsFor::Majority { voters: 2, silent: vec![NodeId(3)] };
    assert_eq!(waiting(&[1, 2, 3], &dead, &[1, 3]), waits(2, MemberChange::LoseVote, majority()));
    assert_eq!(waiting(&[1, 3], &dead, &[1, 3]), waits(2, MemberChange::Leave, majority()));

    let learner = membership(&[1, 2, 3], &[1, 2], &[1, 2]);
    let behind = WaitsFor::CatchUp { behind: Some(5_000) };
    assert_eq!(waiting(&[1, 2, 3], &learner, &[1, 2, 3]), waits(3, MemberChange::GainVote, behind));
    let mut unreachable = learner;
    unreachable.reachable = nodes(&[1, 2]);
    let gains = waits(3, MemberChange::GainVote, WaitsFor::Response);
    assert_eq!(waiting(&[1, 2, 3], &unreachable, &[1, 2, 3]), gains);
    let by = WaitsFor::Replacement { by: vec![NodeId(3)] };
    let both = [gains, waits(2, MemberChange::LoseVote, by)].concat();
    assert_eq!(waiting(&[1, 2, 3], &unreachable, &[1, 3]), both);
}

#[test]
fn a_leader_without_a_transfer_target_waits_for_one() {
    let mut alone = membership(&[1, 2, 3], &[1, 2, 3], &[1]);
    alone.lag.insert(NodeId(2), 5_000);
    let target = WaitsFor::TransferTarget { among: vec![NodeId(2), NodeId(3)] };
    assert_eq!(waiting(&[1, 2, 3], &alone, &[2, 3]), waits(1, MemberChange::LoseVote, target));
    assert_eq!(step(&[1, 2, 3], &alone, &[2, 3]), None);
}

#[test]
fn a_change_that_can_proceed_waits_for_nothing() {
    let learner = membership(&[1, 2, 3], &[1, 2], &[1, 2, 3]);
    let proceeds = Pending { change: MemberChange::GainVote, waits_for: None };
    assert_eq!(
        pending_changes(&registered(&[1, 2, 3]), &learner, &nodes(&[1, 2, 3]), NodeId(1)),
        [(NodeId(3), proceeds)]
    );
    assert_eq!(waiting(&[1, 2, 3], &learner, &[1, 2, 3]), []);
}
