//! Reading the state.

use std::sync::RwLockReadGuard;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{Revision, State};
use tokio::sync::watch;
use tokio::time::Instant;

/// How fresh a read has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// It sees everything that was acknowledged before it began. Needs a majority.
    Linearizable,
    /// It sees what this node has, however old. Needs nobody.
    Stale,
}

/// Where in the log a read stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPoint {
    /// The least revision that the read sees.
    pub revision: Revision,
    /// How long ago this node last heard of a leader that a majority follows; none if it never did.
    pub leader_contact: Option<Duration>,
}

/// Why a linearizable read cannot be had. It changes nothing and may be tried again anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed a read index in time.
    #[error(
        "no leader confirmed within {waited:.1?} that this is the newest state: perhaps no majority \
         of the voters can be reached"
    )]
    NoLeader {
        /// How long was waited.
        waited: Duration,
    },
    /// This node has not applied the read index in time.
    #[error("this node is behind: it has not applied log index {index} within {waited:.1?}")]
    Behind {
        /// The read index.
        index: u64,
        /// How long was waited.
        waited: Duration,
    },
    /// The leader, confirmed by a majority, does not know this node as an agent.
    #[error("this node was removed from the cluster")]
    Removed,
}

/// Access to the state on this node.
#[async_trait]
pub trait Read: Send + Sync {
    /// Returns once [`Read::state`] is as fresh as wanted. Cancel-safe.
    ///
    /// # Errors
    /// A [`ReadError`]; never for [`Consistency::Stale`].
    async fn read(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<ReadPoint, ReadError>;

    /// The state as applied on this node. Hold it briefly and never across an await: applying waits
    /// for it.
    fn state(&self) -> RwLockReadGuard<'_, State>;

    /// Announces the newest revision whose entry is applied and durable on this node's own disk.
    /// Only what it covers may be acted on.
    fn durable(&self) -> watch::Receiver<Revision>;
}
