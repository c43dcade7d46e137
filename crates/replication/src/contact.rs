//! Last contact of this node with the leader and, while it leads, with the other members.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use meridian_domain::NodeId;
use meridian_ports::LastContact;
use meridian_storage::raft::{LeaderId, TypeConfig};
use openraft::Instant as _;
use openraft::alias::SerdeInstantOf;
use openraft::async_runtime::WatchReceiver as _;

use crate::instance::Raft;

/// Tracks the last contacts of this node. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct ContactTracker {
    raft: Raft,
    /// Time of the last append that this node accepted from a leader.
    last_append: Arc<Mutex<Option<Instant>>>,
    /// Latest term in which this node was observed to lead.
    leading: Arc<Mutex<Option<LedTerm>>>,
}

/// Term in which this node leads.
struct LedTerm {
    id: LeaderId,
    /// Time at which each member was first observed in this term.
    first_observed: BTreeMap<NodeId, Instant>,
}

impl LedTerm {
    fn new(id: LeaderId) -> Self {
        Self { id, first_observed: BTreeMap::new() }
    }
}

impl ContactTracker {
    pub(crate) fn new(raft: Raft) -> Self {
        Self { raft, last_append: Arc::default(), leading: Arc::default() }
    }

    /// Records that this node has just accepted an append from a leader.
    pub(crate) fn record_append(&self) {
        *self.last_append.lock().expect("no holder of this lock panics") = Some(Instant::now());
    }

    /// Returns the time since the last contact with a leader; on the leader itself, the time since
    /// a majority last acknowledged it. `None` if there was no contact yet.
    #[must_use]
    pub fn since_leader_contact(&self) -> Option<Duration> {
        if self.raft.is_leader() {
            let metrics = self.raft.metrics().borrow_watched().clone();
            // A leader that is the only voter needs no acknowledgement and requests none.
            if metrics.membership_config.voter_ids().all(|voter| voter == *self.raft.node_id()) {
                return Some(Duration::ZERO);
            }
            return Some(metrics.last_quorum_acked?.elapsed());
        }
        let last_append = self.last_append.lock().expect("no holder of this lock panics");
        last_append.map(|at| at.elapsed())
    }

    /// Returns the last contact with each other member; `None` if this node does not lead. The
    /// first call in a term after a member is added records the time since which this node expects
    /// to hear from it.
    #[must_use]
    pub fn members(&self) -> Option<BTreeMap<NodeId, LastContact>> {
        let term = self.raft.as_leader().ok()?.to_committed_leader_id();
        let acknowledged = self.raft.metrics().borrow_watched().heartbeat.clone();
        let acknowledged = acknowledged.into_iter().flatten();
        let others: BTreeMap<_, _> =
            acknowledged.filter(|(node, _)| node != self.raft.node_id()).collect();

        let mut leading = self.leading.lock().expect("no holder of this lock panics");
        let led = leading.take().filter(|known| known.id == term);
        let led = leading.insert(led.unwrap_or_else(|| LedTerm::new(term)));
        led.first_observed.retain(|node, _| others.contains_key(node));
        let contact = |(node, at): (NodeId, Option<SerdeInstantOf<TypeConfig>>)| {
            let first = *led.first_observed.entry(node).or_insert_with(Instant::now);
            let none = LastContact::NotWithin(first.elapsed());
            (node, at.map_or(none, |at| LastContact::Ago(at.elapsed())))
        };
        Some(others.into_iter().map(contact).collect())
    }
}
