//! Background tasks of the leader: bootstrapping the log of a new cluster, recording a recovery,
//! converging the Raft membership to the registered agents, raising the data version, and handing over
//! leadership if the disk of this node is nearly full.
//!
//! The membership is not the list of agents (decision 12 of the design): agents are part of the
//! replicated state, members replicate it. The tasks are level-triggered: each round compares
//! agents and members and takes at most one step. It may therefore be interrupted, repeated or
//! continued by another leader at any point.
//!
//! ```text
//! registered -> learner -> caught up -> voter        one voter at a time
//! drained    -> learner;  removed from the log -> removed from Raft
//! ```
//!
//! No step can break the quorum of the cluster: a vote is granted or revoked only if the reachable
//! members are a majority both before and after. A voter that has failed permanently is therefore
//! demoted, while a voter that should be replaced keeps its vote for as long as the quorum needs
//! it.

mod low_disk;
mod recovery;
mod transfer_backoff;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{ClusterId, Command, DataVersion, State, Verdict};
use meridian_ports::{Proposal, Propose, Requester};
use meridian_storage::disk::epoch::LocalEpoch;
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::Member;
use meridian_storage::store::Store;
use openraft::ChangeMembers;
use tokio::time::Instant;

use crate::disk_space::DiskSpaceRecord;
use crate::instance::Raft;
use crate::last_failure::LastFailure;
use crate::membership::Membership;
use crate::membership::plan::Step;
use crate::peer::links::Links;
use crate::peer::meeting::identify;
use crate::proposer::Proposer;
use crate::suspension::Suspension;
use low_disk::Searches;
use transfer_backoff::TransferBackoff;

/// Interval between rounds.
const INTERVAL: Duration = Duration::from_millis(250);
/// Timeout of a membership step and of a proposal. The next round starts over.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for one initial member to identify itself.
const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the tasks of the leader while this node leads.
pub(crate) struct LeaderTasks {
    pub cluster: ClusterId,
    pub epoch: LocalEpoch,
    pub raft: Raft,
    pub store: Store,
    pub proposer: Proposer,
    pub links: Arc<Links>,
    pub membership: Membership,
    pub fuse: Fuse,
    pub space: Arc<DiskSpaceRecord>,
    pub suspension: Suspension,
}

impl LeaderTasks {
    /// Runs until the fuse blows or the task is aborted.
    pub async fn run(self) {
        let (mut backoff, mut last_failure) = (TransferBackoff::default(), LastFailure::default());
        let mut searches = Searches::default();
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = self.fuse.blown() => return,
            }
            let leads = self.raft.is_leader() && !self.suspension.is_active();
            let result = if leads { self.round(&mut backoff, &mut searches).await } else { Ok(()) };
            if let Some(cause) = last_failure.record(result) {
                tracing::warn!(%cause, "leader task failed, retrying");
            }
        }
    }

    async fn round(
        &self,
        backoff: &mut TransferBackoff,
        searches: &mut Searches,
    ) -> Result<(), String> {
        let (bootstrapped, raise) = {
            let state = self.store.state();
            (state.header.cluster.is_some(), data_version_to_raise_to(&state))
        };
        if !bootstrapped {
            return self.bootstrap().await;
        }
        self.record_recovery().await?;
        if self.leave_low_disk(searches, backoff).await? {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(step) = self.membership.next_step(backoff.allows_attempt(now)) {
            if matches!(step, Step::TransferLeadership(_)) {
                backoff.record_attempt(now);
            }
            let name = format!("{step:?}");
            let executed = tokio::time::timeout(STEP_TIMEOUT, self.execute(step)).await;
            let executed =
                executed.unwrap_or_else(|_| Err(format!("timed out after {STEP_TIMEOUT:?}")));
            executed.map_err(|cause| format!("{name}: {cause}"))?;
            tracing::info!(step = name, "membership step");
        } else if let Some(version) = raise {
            self.propose(Command::RaiseDataVersion { version }).await?;
        }
        Ok(())
    }

    /// Proposes the first change of the log: the cluster and its initial agents.
    async fn bootstrap(&self) -> Result<(), String> {
        let mut agents = Vec::new();
        for (node, address) in self.links.members() {
            match identify(self.links.dialer(), &address, IDENTIFY_TIMEOUT).await {
                Ok(peer) if peer.description.node == node && peer.cluster == Some(self.cluster) => {
                    agents.push(peer.description);
                }
                Ok(peer) => {
                    let (found, name) = (peer.description.node, peer.description.name);
                    return Err(format!(
                        "initial member {name} lost its data before the bootstrap completed: \
                         expected node {node}, found {found}; empty the data directories of all \
                         initial members and bootstrap again"
                    ));
                }
                Err(cause) => return Err(format!("bootstrap waits for initial members: {cause}")),
            }
        }
        self.propose(Command::BootstrapCluster { cluster: self.cluster, agents }).await
    }

    async fn propose(&self, command: Command) -> Result<(), String> {
        self.propose_for(command, Requester::System).await
    }

    async fn propose_for(&self, command: Command, requester: Requester) -> Result<(), String> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        let proposal = Proposal { command, requester, deadline };
        match self.proposer.propose(proposal).await.map(|receipt| receipt.verdict) {
            Ok(Verdict::Accepted) => Ok(()),
            Ok(Verdict::Rejected(rejections)) => Err(format!("rejected: {rejections:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn execute(&self, step: Step) -> Result<(), String> {
        let change = match step {
            Step::AddLearner(node, address) => {
                let added = self.raft.add_learner(node, Member { address }, false).await;
                return added.map(drop).map_err(|error| error.to_string());
            }
            Step::TransferLeadership(to) => {
                let requested = self.membership.transfer_leadership(to).await;
                return requested.map_err(|error| error.to_string());
            }
            Step::UpdateAddress(node, address) => {
                ChangeMembers::SetNodes(BTreeMap::from([(node, Member { address })]))
            }
            // openraft completes a joint configuration with any change, so an empty one is enough.
            Step::CompleteJoint => ChangeMembers::AddVoterIds(BTreeSet::new()),
            Step::Promote(node) => ChangeMembers::AddVoterIds(BTreeSet::from([node])),
            Step::Demote(node) => ChangeMembers::RemoveVoters(BTreeSet::from([node])),
            Step::Remove(node) => ChangeMembers::RemoveNodes(BTreeSet::from([node])),
        };
        self.membership.change(change).await
    }
}

/// Returns the highest data version that all agents support, if it is above the current one.
fn data_version_to_raise_to(state: &State) -> Option<DataVersion> {
    let supported = state.agents.values().map(|agent| agent.description.supports).min()?;
    (supported > state.header.data_version).then_some(supported)
}
