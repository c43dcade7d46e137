//! The leader that this node knows, from openraft's metrics.

use std::time::Duration;

use meridian_domain::NodeId;
use meridian_ports::Leadership;
use meridian_storage::raft::TypeConfig;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;
use tokio::sync::watch;

use crate::instance::Raft;
use crate::suspension::Suspension;

/// View of the leader in openraft's metrics. Cheap to clone.
#[derive(Clone)]
pub struct LeaderWatch {
    metrics: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
}

impl LeaderWatch {
    /// Creates a view of this node's Raft.
    pub(crate) fn new(raft: &Raft) -> Self {
        Self { metrics: raft.server_metrics() }
    }

    /// Returns the leader that this node follows, or this node if it leads.
    #[must_use]
    pub fn known_leader(&self) -> Option<NodeId> {
        self.metrics.borrow_watched().current_leader
    }

    /// Waits until this node knows a leader. Never returns if its Raft has stopped; callers set a
    /// deadline. Cancel-safe.
    pub async fn leader(&self) -> NodeId {
        let mut metrics = self.metrics.clone();
        loop {
            if let Some(leader) = metrics.borrow_and_update().current_leader {
                return leader;
            }
            if metrics.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until this node follows a leader other than `leader`. Cancel-safe.
    pub async fn leader_other_than(&self, leader: NodeId) {
        let mut metrics = self.metrics.clone();
        loop {
            let known = metrics.borrow_and_update().current_leader;
            if known.is_some_and(|known| known != leader) {
                return;
            }
            if metrics.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the known leader changes, for at most `limit`. Cancel-safe.
    pub async fn changed_within(&self, limit: Duration) {
        let mut metrics = self.metrics.clone();
        let before = metrics.borrow_and_update().current_leader;
        let changed = async {
            while metrics.changed().await.is_ok() {
                if metrics.borrow_and_update().current_leader != before {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(limit, changed).await;
    }

    /// Publishes the leader to `to`; none while this node is suspended. Returns once the main task of
    /// Raft has exited.
    pub(crate) async fn publish(self, suspension: &Suspension, to: &watch::Sender<Leadership>) {
        let mut metrics = self.metrics;
        let mut suspended = suspension.subscribe();
        loop {
            let leadership = match &*suspended.borrow_and_update() {
                // What Raft knew before the suspension may be out of date.
                Some(_) => Leadership::Unknown,
                None => leadership(&metrics.borrow_and_update()),
            };
            to.send_if_modified(|known| {
                let changed = *known != leadership;
                *known = leadership;
                changed
            });
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { return },
                // `suspension` holds the sender, so the channel is open.
                _ = suspended.changed() => {}
            }
        }
    }
}

fn leadership(metrics: &RaftServerMetrics<TypeConfig>) -> Leadership {
    match metrics.current_leader {
        None => Leadership::Unknown,
        Some(node) if node == metrics.id => {
            Leadership::Leader { node, term: metrics.vote.leader_id().term }
        }
        Some(leader) => Leadership::Follower { leader },
    }
}
