//! What the leader does besides replicating: it brings Raft's membership in line with the agents that
//! the log knows, and begins the log of a new cluster.
//!
//! Membership is not the list of agents (decision 12 of the design): agents are facts of the log,
//! members are who keeps it. The duties are level-triggered: each round looks at both and takes at
//! most one step, so that they may be interrupted, repeated or taken over by another leader at any
//! point.
//!
//! ```text
//! registered -> learner -> caught up -> voter        one voter at a time
//! drained    -> learner;  removed from the log -> removed from Raft
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, Command, DataVersion, NodeId, State, electorate};
use meridian_ports::{Proposal, Propose, Requester};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use tokio::time::Instant;

use crate::fuse::Fuse;
use crate::peer::links::Links;
use crate::peer::meeting::identify;
use crate::proposer::Proposer;
use crate::raft::{Member, Raft};
use crate::store::Store;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(250);
/// How long one step may take before the next round looks again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Log entries that a learner may lack and still be made a voter: what a second of load brings.
const CAUGHT_UP: u64 = 1_000;

/// Does the leader's duties whenever this node leads.
pub(crate) struct Duties {
    pub cluster: ClusterId,
    pub raft: Raft,
    pub store: Store,
    pub proposer: Proposer,
    pub links: Arc<Links>,
    pub fuse: Fuse,
}

/// One step towards the membership that the log wants.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
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
struct Present {
    members: BTreeMap<NodeId, Address>,
    voters: BTreeSet<NodeId>,
    /// Members that have nearly all of the log.
    caught_up: BTreeSet<NodeId>,
}

impl Duties {
    /// Runs until the node stops.
    pub async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                _ = self.fuse.blown() => return,
            }
            if self.raft.is_leader() && tokio::time::timeout(PATIENCE, self.round()).await.is_err()
            {
                tracing::warn!(
                    "a duty of the leader took longer than {PATIENCE:?}; it is tried again"
                );
            }
        }
    }

    async fn round(&self) {
        let (founded, raise) = {
            let state = self.store.state();
            (state.header.cluster.is_some(), data_version_to_raise_to(&state))
        };
        if !founded {
            self.found().await;
        } else if let Some(step) = self.next_step() {
            tracing::info!(?step, "membership");
            if let Err(cause) = self.take(step).await {
                tracing::info!(%cause, "the membership step is tried again");
            }
        } else if let Some(version) = raise {
            self.propose(Command::RaiseDataVersion { version }).await;
        }
    }

    /// Begins the log: the cluster and its founders, all in one change.
    async fn found(&self) {
        let mut founders = Vec::new();
        for (_, address) in self.links.members() {
            match identify(&address, Duration::from_secs(1)).await {
                Ok(met) => founders.push(met.description),
                Err(cause) => return tracing::info!(%cause, "founding waits for every founder"),
            }
        }
        self.propose(Command::FoundCluster { cluster: self.cluster, founders }).await;
    }

    async fn propose(&self, command: Command) {
        let deadline = Instant::now() + PATIENCE;
        let proposal = Proposal { command, requester: Requester::System, deadline };
        if let Err(error) = self.proposer.propose(proposal).await {
            tracing::info!(%error, "a duty of the leader is tried again");
        }
    }

    fn next_step(&self) -> Option<Step> {
        let present = self.present();
        let state = self.store.state();
        let wanted = electorate::voters(&state, &present.voters);
        next_step(&state, &present, &wanted, *self.raft.node_id())
    }

    fn present(&self) -> Present {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let last = metrics.last_log_index.unwrap_or(0);
        let near = |index: u64| last.saturating_sub(index) <= CAUGHT_UP;
        let progress = metrics.replication.iter().flatten();
        let members = membership.nodes().map(|(id, member)| (*id, member.address.clone()));
        Present {
            members: members.collect(),
            voters: membership.voter_ids().collect(),
            caught_up: progress
                .filter(|(_, matching)| matching.as_ref().is_some_and(|log| near(log.index)))
                .map(|(node, _)| *node)
                .collect(),
        }
    }

    async fn take(&self, step: Step) -> Result<(), String> {
        let change = match step {
            Step::AddLearner(node, address) => {
                let added = self.raft.add_learner(node, Member { address }, false).await;
                return added.map(drop).map_err(|error| error.to_string());
            }
            Step::HandOver(to) => {
                let handed = self.raft.trigger().transfer_leader(to).await;
                return handed.map_err(|error| error.to_string());
            }
            Step::Readdress(node, address) => {
                ChangeMembers::SetNodes(BTreeMap::from([(node, Member { address })]))
            }
            Step::Promote(node) => ChangeMembers::AddVoterIds(BTreeSet::from([node])),
            Step::Demote(node) => ChangeMembers::RemoveVoters(BTreeSet::from([node])),
            Step::Remove(node) => ChangeMembers::RemoveNodes(BTreeSet::from([node])),
        };
        // A voter that loses its vote stays as a learner, until the log forgets its agent.
        let changed = self.raft.change_membership(change, true).await;
        changed.map(drop).map_err(|error| error.to_string())
    }
}

/// The version that every agent supports and that is above the present one, if there is one.
fn data_version_to_raise_to(state: &State) -> Option<DataVersion> {
    let supported = state.agents.values().map(|agent| agent.description.supports).min()?;
    (supported > state.header.data_version).then_some(supported)
}

/// The step to take next: pure, so that it can be tested without a cluster. Additions come before
/// removals, so that the cluster is never smaller than it has to be.
fn next_step(
    state: &State,
    present: &Present,
    wanted: &BTreeSet<NodeId>,
    own: NodeId,
) -> Option<Step> {
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
    let missing: Vec<_> = wanted.difference(&present.voters).copied().collect();
    if let Some(node) = missing.iter().find(|node| present.caught_up.contains(node)) {
        return Some(Step::Promote(*node));
    }
    let surplus: Vec<_> = present.voters.difference(wanted).copied().collect();
    // Whoever is to replace a voter catches up first, unless that voter is gone for good.
    let removable = surplus.iter().find(|node| missing.is_empty() || !agents.contains_key(node));
    if let Some(node) = removable {
        if *node == own {
            let heir = wanted.iter().find(|heir| present.caught_up.contains(heir))?;
            return Some(Step::HandOver(*heir));
        }
        return Some(Step::Demote(*node));
    }
    let gone = present.members.keys().find(|node| **node != own && !agents.contains_key(node));
    gone.map(|node| Step::Remove(*node))
}

#[cfg(test)]
mod tests {
    use meridian_domain::{AgentDescription, AgentName, Event, RegionName, evolve::evolve};

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
}
