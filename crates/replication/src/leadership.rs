//! Who leads, as far as this node knows: a view of openraft's metrics that other rooms can wait on.

use std::time::Duration;

use meridian_domain::NodeId;
use meridian_storage::raft::TypeConfig;
use openraft::async_runtime::WatchReceiver as _;
use openraft::metrics::RaftServerMetrics;
use openraft::type_config::alias::WatchReceiverOf;

use crate::instance::Raft;

/// Cheap to clone.
#[derive(Clone)]
pub struct Leadership {
    metrics: WatchReceiverOf<TypeConfig, RaftServerMetrics<TypeConfig>>,
}

impl Leadership {
    /// The view of this node's Raft.
    pub(crate) fn of(raft: &Raft) -> Self {
        Self { metrics: raft.server_metrics() }
    }

    /// The leader that this node follows, or that it is itself.
    #[must_use]
    pub fn known_leader(&self) -> Option<NodeId> {
        self.metrics.borrow_watched().current_leader
    }

    /// Returns once this node knows a leader. Never returns if its Raft has stopped; callers have
    /// deadlines. Cancel-safe.
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

    /// Returns once this node follows another leader than `leader`. Cancel-safe.
    pub async fn passed_from(&self, leader: NodeId) {
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

    /// Returns when the leader may have changed, at the latest after `pause`. Cancel-safe.
    pub async fn changed_or(&self, pause: Duration) {
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
        let _ = tokio::time::timeout(pause, changed).await;
    }
}
