//! Leadership of the replicated log.

use meridian_domain::NodeId;

/// Leader that this node knows. Watched, so that work of the leader alone starts and stops with it.
///
/// A node may believe that it leads after a majority has elected another leader. Work that depends on
/// being the only leader therefore goes through [`Propose`](crate::Propose), which the log orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Leadership {
    /// No leader is known.
    #[default]
    Unknown,
    /// Another node leads.
    Follower {
        /// The leader.
        leader: NodeId,
    },
    /// This node leads.
    Leader {
        /// This node.
        node: NodeId,
        /// Raft term in which it was elected.
        term: u64,
    },
}

impl Leadership {
    /// Returns the leader, if one is known.
    #[must_use]
    pub fn leader(self) -> Option<NodeId> {
        match self {
            Self::Unknown => None,
            Self::Follower { leader } | Self::Leader { node: leader, .. } => Some(leader),
        }
    }
}
