//! When this node last heard of a leader that it follows, and when as leader of its members.

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

/// Cheap to clone; every clone is the same record.
#[derive(Clone)]
pub struct Contact {
    raft: Raft,
    heard: Arc<Mutex<Option<Instant>>>,
    /// The term in which this node was last seen to lead, and when that was first seen.
    leading: Arc<Mutex<Option<(LeaderId, Instant)>>>,
}

impl Contact {
    pub(crate) fn new(raft: Raft) -> Self {
        Self { raft, heard: Arc::default(), leading: Arc::default() }
    }

    /// Notes that a leader's append was accepted just now.
    pub(crate) fn heard(&self) {
        *self.heard.lock().expect("no holder of this lock panics") = Some(Instant::now());
    }

    /// How long ago that was; on the leader itself, since a majority last acknowledged it.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        if self.raft.is_leader() {
            let metrics = self.raft.metrics().borrow_watched().clone();
            // Nobody else has to acknowledge it, so nobody is asked.
            if metrics.membership_config.voter_ids().all(|voter| voter == *self.raft.node_id()) {
                return Some(Duration::ZERO);
            }
            return Some(metrics.last_quorum_acked?.elapsed());
        }
        self.heard.lock().expect("no holder of this lock panics").map(|heard| heard.elapsed())
    }

    /// When each other member last acknowledged this leader; none where this node does not lead. Since
    /// when it leads is known once this has been asked during it.
    #[must_use]
    pub fn of_members(&self) -> Option<BTreeMap<NodeId, LastContact>> {
        let term = self.raft.as_leader().ok()?.to_committed_leader_id();
        let led = {
            let mut leading = self.leading.lock().expect("no holder of this lock panics");
            match *leading {
                Some((known, since)) if known == term => since.elapsed(),
                Some(_) | None => {
                    *leading = Some((term, Instant::now()));
                    Duration::ZERO
                }
            }
        };
        let heard = self.raft.metrics().borrow_watched().heartbeat.clone();
        let contact = |at: Option<SerdeInstantOf<TypeConfig>>| {
            at.map_or(LastContact::NotWithin(led), |at| LastContact::Ago(at.elapsed()))
        };
        let others = heard.into_iter().flatten().filter(|(node, _)| node != self.raft.node_id());
        Some(others.map(|(node, at)| (node, contact(at))).collect())
    }
}
