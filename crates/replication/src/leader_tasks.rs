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
//!
//! No step is taken that could stop the cluster: a vote is given or taken only where members that
//! answer are a majority before and after. A voter that is gone for good so makes way, and one that
//! is wanted elsewhere waits, as long as the others are needed.

mod offers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{ClusterId, Command, DataVersion, State, Verdict};
use meridian_ports::{Proposal, Propose, Requester};
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::Member;
use meridian_storage::store::Store;
use openraft::ChangeMembers;
use tokio::time::Instant;

use crate::instance::Raft;
use crate::membership::Membership;
use crate::membership::plan::Step;
use crate::peer::links::Links;
use crate::peer::meeting::identify;
use crate::proposer::Proposer;
use offers::Offers;

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(250);
/// How long one step may take before the next round looks again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does the leader's duties whenever this node leads.
pub(crate) struct LeaderTasks {
    pub cluster: ClusterId,
    pub raft: Raft,
    pub store: Store,
    pub proposer: Proposer,
    pub links: Arc<Links>,
    pub membership: Membership,
    pub fuse: Fuse,
}

impl LeaderTasks {
    /// Runs until the node stops.
    pub async fn run(self) {
        let mut offers = Offers::default();
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                _ = self.fuse.blown() => return,
            }
            let round = self.round(&mut offers);
            if self.raft.is_leader() && tokio::time::timeout(PATIENCE, round).await.is_err() {
                tracing::warn!(
                    "a duty of the leader took longer than {PATIENCE:?}; it is tried again"
                );
            }
        }
    }

    async fn round(&self, offers: &mut Offers) {
        let (founded, raise) = {
            let state = self.store.state();
            (state.header.cluster.is_some(), data_version_to_raise_to(&state))
        };
        if !founded {
            return self.found().await;
        }
        let now = Instant::now();
        if let Some(step) = self.membership.next_step(offers.may_be_made(now)) {
            if matches!(step, Step::HandOver(_)) {
                offers.note(now);
            }
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
        for (node, address) in self.links.members() {
            match identify(self.links.dialer(), &address, Duration::from_secs(1)).await {
                Ok(met) if met.description.node == node && met.cluster == Some(self.cluster) => {
                    founders.push(met.description);
                }
                Ok(met) => {
                    let (found, name) = (met.description.node, met.description.name);
                    return tracing::warn!(
                        %name, wanted = %node, %found,
                        "a founder was emptied before its cluster was founded: empty all founders \
                         and found it anew"
                    );
                }
                Err(cause) => return tracing::info!(%cause, "founding waits for every founder"),
            }
        }
        self.propose(Command::BootstrapCluster { cluster: self.cluster, agents: founders }).await;
    }

    async fn propose(&self, command: Command) {
        let deadline = Instant::now() + PATIENCE;
        let proposal = Proposal { command, requester: Requester::System, deadline };
        match self.proposer.propose(proposal).await.map(|receipt| receipt.verdict) {
            Ok(Verdict::Accepted) => {}
            Ok(Verdict::Rejected(rejections)) => {
                tracing::warn!(?rejections, "a duty of the leader is refused, and tried again");
            }
            Err(error) => tracing::info!(%error, "a duty of the leader is tried again"),
        }
    }

    async fn take(&self, step: Step) -> Result<(), String> {
        let change = match step {
            Step::AddLearner(node, address) => {
                let added = self.raft.add_learner(node, Member { address }, false).await;
                return added.map(drop).map_err(|error| error.to_string());
            }
            Step::HandOver(to) => {
                let handed = self.membership.hand_over(to).await;
                return handed.map_err(|error| error.to_string());
            }
            Step::Readdress(node, address) => {
                ChangeMembers::SetNodes(BTreeMap::from([(node, Member { address })]))
            }
            // openraft completes what is half-way, whatever is asked for: so nothing is.
            Step::Finish => ChangeMembers::AddVoterIds(BTreeSet::new()),
            Step::Promote(node) => ChangeMembers::AddVoterIds(BTreeSet::from([node])),
            Step::Demote(node) => ChangeMembers::RemoveVoters(BTreeSet::from([node])),
            Step::Remove(node) => ChangeMembers::RemoveNodes(BTreeSet::from([node])),
        };
        self.membership.change(change).await
    }
}

/// The version that every agent supports and that is above the present one, if there is one.
fn data_version_to_raise_to(state: &State) -> Option<DataVersion> {
    let supported = state.agents.values().map(|agent| agent.description.supports).min()?;
    (supported > state.header.data_version).then_some(supported)
}
