//! The membership as the leader sees it, and what it still lacks of the one that the log wants.
//!
//! Looked at whenever somebody asks, and by the duties before each step, so that what is said is what
//! the next step rests on.

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

use crate::contact::Contact;
use crate::instance::Raft;
use plan::{Present, Step, next_step, pending};

/// How recently a member must have acknowledged this leader to count as one that answers, and how long
/// it is waited for before it counts as one that does not.
pub(crate) const ANSWERS: Duration = Duration::from_secs(3);

/// What a leader knows of the members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// When it last heard of each other one.
    pub contacts: BTreeMap<NodeId, LastContact>,
    /// What is to become of those that do not stay what they are.
    pub pending: BTreeMap<NodeId, Pending>,
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Membership {
    raft: Raft,
    store: Store,
    contact: Contact,
    /// Held while votes are changed.
    changing: Arc<Mutex<()>>,
}

impl Membership {
    pub fn new(raft: Raft, store: Store, contact: Contact) -> Self {
        Self { raft, store, contact, changing: Arc::default() }
    }

    /// The step to take next, if this node leads and there is one that can be taken.
    pub fn next_step(&self, may_hand_over: bool) -> Option<Step> {
        let present = self.present();
        let state = self.store.state();
        let wanted = voter_selection::voters(&state, &present.voters);
        next_step(&state, &present, &wanted, *self.raft.node_id(), may_hand_over)
    }

    /// What this node knows of the members as their leader; none if it does not lead.
    pub fn known(&self) -> Option<Known> {
        let contacts = self.contact.of_members()?;
        let present = self.present();
        let state = self.store.state();
        let wanted = voter_selection::voters(&state, &present.voters);
        let pending =
            pending(&state, &present, &wanted, *self.raft.node_id()).into_iter().collect();
        Some(Known { contacts, pending })
    }

    /// Has this node hand over to `to`, if it leads and that other one has a vote now: it may have lost
    /// it since it was chosen. A leader that hands over proposes nothing and sends no heartbeats,
    /// whatever becomes of it. Where nobody else can be elected, that would be for good, so votes are
    /// not changed between the look and the command.
    ///
    /// # Errors
    /// If Raft has stopped.
    pub async fn hand_over(&self, to: NodeId) -> Result<(), Fatal<TypeConfig>> {
        let Ok(_unchanged) = self.changing.try_lock() else { return Ok(()) };
        if self.raft.is_leader() && to != *self.raft.node_id() && self.votes(to) {
            self.raft.trigger().transfer_leader(to).await?;
        }
        Ok(())
    }

    /// Whether `node` has a vote, as far as this node knows.
    pub fn votes(&self, node: NodeId) -> bool {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().membership_config.voter_ids().any(|voter| voter == node)
    }

    /// Has the members changed, if this node leads. A voter that loses its vote stays as a learner.
    ///
    /// # Errors
    /// Why they are not changed.
    pub async fn change(&self, change: ChangeMembers<NodeId, Member>) -> Result<(), String> {
        let _changing = self.changing.lock().await;
        let changed = self.raft.change_membership(change, true).await;
        changed.map(drop).map_err(|error| error.to_string())
    }

    fn present(&self) -> Present {
        let own = *self.raft.node_id();
        let metrics = self.raft.metrics().borrow_watched().clone();
        let membership = &metrics.membership_config;
        let last = metrics.last_log_index.unwrap_or(0);
        let (mut answering, mut silent) = (BTreeSet::from([own]), BTreeSet::new());
        for (node, heard) in self.contact.of_members().unwrap_or_default() {
            match heard {
                LastContact::Ago(age) if age < ANSWERS => answering.insert(node),
                LastContact::NotWithin(led) if led < ANSWERS => false,
                LastContact::Ago(_) | LastContact::NotWithin(_) => silent.insert(node),
            };
        }
        let progress = metrics.replication.iter().flatten();
        let behind = progress.filter_map(|(node, matching)| {
            let has = matching.as_ref()?.index;
            Some((*node, last.saturating_sub(has)))
        });
        let members = membership.nodes().map(|(id, member)| (*id, member.address.clone()));
        Present {
            members: members.collect(),
            voters: membership.voter_ids().collect(),
            joint: membership.membership().get_joint_config().len() > 1,
            behind: behind.collect(),
            answering,
            silent,
        }
    }
}
