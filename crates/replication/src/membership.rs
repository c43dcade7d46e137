//! Raft membership as seen by the leader, and the pending changes that converge it to the
//! registered agents.
//!
//! Status requests and the leader tasks compute the pending changes in the same way, from the
//! current state at each call. The reported changes are therefore the ones that the next step is
//! chosen from.

pub(crate) mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{NodeId, voter_selection};
use meridian_ports::{LastContact, Pending};
use meridian_storage::raft::{Member, TypeConfig};
use meridian_storage::store::Store;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use openraft::errors::Fatal;
use tokio::sync::Mutex;

use crate::contact::ContactTracker;
use crate::instance::Raft;
use plan::{CurrentMembership, Step, next_step, pending_changes};

/// Silence after which a member counts as unreachable in decisions on the membership and on
/// leadership transfers. A new leader waits this long for a first contact. The same in every network
/// profile; status reports use [`Timing::unreachable_after`](crate::timing::Timing::unreachable_after).
pub(crate) const MAX_SILENCE: Duration = Duration::from_secs(3);

/// The leader's view of the members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MembershipView {
    /// Last contact with each other member.
    pub contacts: BTreeMap<NodeId, LastContact>,
    /// Number of log entries that each other member lacks. Members without any entry are absent.
    pub lag: BTreeMap<NodeId, u64>,
    /// Pending change of each member that has one.
    pub pending: BTreeMap<NodeId, Pending>,
}

impl MembershipView {
    /// Returns the candidate that lacks the fewest log entries.
    pub fn most_up_to_date(&self, candidates: impl Iterator<Item = NodeId>) -> Option<NodeId> {
        candidates.min_by_key(|node| self.lag.get(node).copied().unwrap_or(u64::MAX))
    }
}

/// Reads and changes the membership. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Membership {
    raft: Raft,
    store: Store,
    contact: ContactTracker,
    /// Held during a membership change, except the addition of a learner, which has no vote.
    change_lock: Arc<Mutex<()>>,
}

impl Membership {
    pub fn new(raft: Raft, store: Store, contact: ContactTracker) -> Self {
        Self { raft, store, contact, change_lock: Arc::default() }
    }

    /// Returns the next step, if there is one that can be taken. To be called on the leader.
    pub fn next_step(&self, may_transfer: bool) -> Option<Step> {
        let current = self.current();
        let state = self.store.state();
        let desired_voters = voter_selection::voters(&state, &current.voters);
        next_step(&state, &current, &desired_voters, *self.raft.node_id(), may_transfer)
    }

    /// Returns this node's view of the members; `None` if this node does not lead.
    pub fn view(&self) -> Option<MembershipView> {
        let contacts = self.contact.members()?;
        let current = self.current();
        let state = self.store.state();
        let desired_voters = voter_selection::voters(&state, &current.voters);
        let pending = pending_changes(&state, &current, &desired_voters, *self.raft.node_id());
        let lag = current.lag.into_iter().filter(|(node, _)| contacts.contains_key(node)).collect();
        Some(MembershipView { contacts, lag, pending: pending.into_iter().collect() })
    }

    /// Returns the most up-to-date reachable voter other than this node for which `may_lead` is true.
    /// To be called on the leader.
    pub fn transfer_target(&self, may_lead: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let current = self.current();
        let own = *self.raft.node_id();
        let voters = current.voters.intersection(&current.reachable).copied();
        let candidates = voters.filter(|node| *node != own && may_lead(*node));
        candidates.min_by_key(|node| current.lag.get(node).copied().unwrap_or(u64::MAX))
    }

    /// Transfers leadership to `to` if this node leads and `to` is a voter now; it may have lost
    /// its vote since it was selected. Does nothing while the membership is being changed. Does not
    /// wait for the transfer to complete.
    ///
    /// During a transfer the leader proposes nothing and sends no heartbeats, whether or not the
    /// transfer succeeds. If no other member can be elected, the cluster stalls permanently.
    /// Therefore no vote may change between the check and the transfer request.
    ///
    /// # Errors
    /// If Raft has stopped.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), Fatal<TypeConfig>> {
        let Ok(_unchanged) = self.change_lock.try_lock() else { return Ok(()) };
        if self.raft.is_leader() && to != *self.raft.node_id() && self.is_voter(to) {
            self.raft.trigger().transfer_leader(to).await?;
        }
        Ok(())
    }

    /// Returns true if `node` is a voter in the membership known to this node.
    pub fn is_voter(&self, node: NodeId) -> bool {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().membership_config.voter_ids().any(|voter| voter == node)
    }

    /// Changes the membership. A voter that loses its vote stays as a learner.
    ///
    /// # Errors
    /// If openraft refuses the change, for example because this node does not lead.
    pub async fn change(&self, change: ChangeMembers<NodeId, Member>) -> Result<(), String> {
        let _changing = self.change_lock.lock().await;
        let changed = self.raft.change_membership(change, true).await;
        changed.map(drop).map_err(|error| error.to_string())
    }

    fn current(&self) -> CurrentMembership {
        let own = *self.raft.node_id();
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let last = metrics.last_log_index.unwrap_or(0);
        let (mut reachable, mut unreachable) = (BTreeSet::from([own]), BTreeSet::new());
        for (node, contact) in self.contact.members().unwrap_or_default() {
            match contact {
                LastContact::Ago(age) if age < MAX_SILENCE => reachable.insert(node),
                LastContact::NotWithin(silence) if silence < MAX_SILENCE => false,
                LastContact::Ago(_) | LastContact::NotWithin(_) => unreachable.insert(node),
            };
        }
        let progress = metrics.replication.iter().flatten();
        let lag = progress.filter_map(|(node, matching)| {
            let matching = matching.as_ref()?.index;
            Some((*node, last.saturating_sub(matching)))
        });
        let members = membership.nodes().map(|(id, member)| (*id, member.address.clone()));
        CurrentMembership {
            members: members.collect(),
            voters: membership.voter_ids().collect(),
            joint: membership.membership().get_joint_config().len() > 1,
            lag: lag.collect(),
            reachable,
            unreachable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_up_to_date_member_lacks_the_fewest_entries() {
        let lag = BTreeMap::from([(NodeId(1), 9), (NodeId(2), 2)]);
        let view = MembershipView { lag, ..MembershipView::default() };
        for (candidates, expected) in [(&[1, 2, 3][..], 2), (&[3, 1], 1), (&[3], 3)] {
            let found = view.most_up_to_date(candidates.iter().copied().map(NodeId));
            assert_eq!(found, Some(NodeId(expected)));
        }
    }
}
