//! Reading and recovering the stores of a node while its agent is stopped.
//!
//! # Recovery from the loss of a majority
//!
//! If a majority of the voters lost their disks, no leader can be elected, for good. An operator may
//! then make one remaining node the only voter. This gives up a guarantee of Raft: changes that the
//! lost majority acknowledged and this node never received are lost, and changes in its log whose
//! outcome was unknown happen. Other members, if any come back, contradict this node from then on;
//! so the recovery starts a new epoch, and members of different epochs refuse each other.
//!
//! ```text
//! epoch N+1, pending  ->  vote for this node in a new term  ->  membership {this node}  ->  complete
//! (file `epoch`)          (Raft log)                            (Raft log)                  (file)
//! ```
//!
//! The first step is the commit point. Before it nothing has changed; after it [`complete`] does the
//! rest, in the command or, if that was interrupted, when the agent starts. The epoch comes before
//! the vote because a sole voter that members of the old epoch still follow would replace entries
//! that they acknowledged. Each step is durable before the next one, and may be repeated.
//!
//! The entry is written as this node would have written it as the leader of the new term, so at its
//! next start the node is a follower that can elect itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use meridian_domain::{Address, NodeId};
use openraft::alias::{EntryOf, LeaderIdOf, LogIdOf, VoteOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{EntryPayload, Membership, RaftLogReader};

use crate::disk::entry::Position;
use crate::disk::epoch::{LocalEpoch, Recovery};
use crate::log_store::LogStore;
use crate::open::Stores;
use crate::raft::{Member, TypeConfig};

/// Contents of the stores of a stopped node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Term of the last vote; 0 if the node never voted.
    pub term: u64,
    /// Candidate that the node voted for in that term.
    pub voted_for: Option<NodeId>,
    /// Last entry of the Raft log.
    pub last: Option<Position>,
    /// Last entry whose effects are in the derived store.
    pub applied: Option<Position>,
    /// Last entry that exists only in its effects, as part of the snapshot.
    pub purged: Option<Position>,
    /// Voters; several sets during a membership change.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Peer address of each member, as in the log.
    pub members: BTreeMap<NodeId, Address>,
}

impl Contents {
    /// Reads the contents of opened stores. Changes nothing.
    ///
    /// # Errors
    /// If the Raft log cannot be read.
    pub async fn read(stores: &Stores) -> io::Result<Self> {
        let mut log = stores.log.clone();
        let vote = log.read_vote().await?;
        let state = log.get_log_state().await?;
        let (applied, membership) = {
            let tail = stores.store.core.tail();
            (tail.applied, tail.membership.membership().clone())
        };
        let first = applied.map_or(0, |applied| applied.index + 1);
        let end = state.last_log_id.map_or(0, |last| last.index + 1);
        let membership = last_membership(&mut log, first, end).await?.unwrap_or(membership);
        let members = membership.nodes().map(|(node, member)| (*node, member.address.clone()));
        Ok(Self {
            term: vote.as_ref().map_or(0, |vote| vote.leader_id.term),
            voted_for: vote.map(|vote| vote.leader_id.node_id),
            last: state.last_log_id.map(Into::into),
            applied: applied.map(Into::into),
            purged: state.last_purged_log_id.map(Into::into),
            voters: membership.get_joint_config().clone(),
            members: members.collect(),
        })
    }

    /// Returns true if `node` is a voter.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.iter().any(|set| set.contains(&node))
    }

    /// Returns true if `node` is the only voter.
    #[must_use]
    pub fn is_sole_voter(&self, node: NodeId) -> bool {
        !self.voters.is_empty() && self.voters.iter().all(|set| *set == BTreeSet::from([node]))
    }
}

/// Returns the last membership among the entries from `next` to before `end`.
async fn last_membership(
    log: &mut LogStore,
    mut next: u64,
    end: u64,
) -> io::Result<Option<Membership<NodeId, Member>>> {
    let mut found = None;
    while next < end {
        let entries = log.limited_get_log_entries(next, end).await?;
        let Some(last) = entries.last() else { break };
        next = last.log_id.index + 1;
        for entry in entries {
            if let EntryPayload::Membership(membership) = entry.payload {
                found = Some(membership);
            }
        }
    }
    Ok(found)
}

/// Makes this node the only voter if a recovery is pending, and returns the epoch to store next: the
/// recovery in it is complete. To be called before Raft starts.
///
/// # Errors
/// If this node is not a member, or the stores fail.
pub async fn complete(epoch: LocalEpoch, stores: &Stores, own: NodeId) -> io::Result<LocalEpoch> {
    let Some(recovery) = epoch.recovery.clone().filter(|recovery| recovery.pending) else {
        return Ok(epoch);
    };
    let contents = Contents::read(stores).await?;
    if !contents.is_sole_voter(own) {
        become_sole_voter(stores, &contents, own).await?;
    }
    Ok(LocalEpoch { recovery: Some(Recovery { pending: false, ..recovery }), ..epoch })
}

/// Appends a membership with `own` as the only member, in a term above all known ones.
async fn become_sole_voter(stores: &Stores, contents: &Contents, own: NodeId) -> io::Result<()> {
    let address = contents.members.get(&own).cloned();
    let address = address.ok_or_else(|| {
        io::Error::other(format!("node {own} is not a member of the cluster in its Raft log"))
    })?;
    let last = contents.last;
    let term = contents.term.max(last.map_or(0, |last| last.term)) + 1;
    let leader_id: LeaderIdOf<TypeConfig> = LeaderId { term, node_id: own };
    let members = BTreeMap::from([(own, Member { address })]);
    let membership = Membership::new(vec![BTreeSet::from([own])], members);
    let membership = membership.map_err(io::Error::other)?;
    let entry = EntryOf::<TypeConfig> {
        log_id: LogIdOf::<TypeConfig> { leader_id, index: last.map_or(0, |last| last.index + 1) },
        payload: EntryPayload::Membership(membership),
    };
    let mut log = stores.log.clone();
    log.save_vote(&VoteOf::<TypeConfig> { leader_id, committed: true }).await?;
    log.blocking_append([entry]).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
