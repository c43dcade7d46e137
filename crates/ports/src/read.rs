//! Reading the state.

use std::sync::RwLockReadGuard;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{Revision, State};
use tokio::sync::watch;
use tokio::time::Instant;

/// Consistency of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Includes everything acknowledged before the read began. Needs a majority.
    Linearizable,
    /// Returns the state of this node, however old. Needs no other node.
    Stale,
}

/// Position of a read in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPoint {
    /// Minimum revision that the read includes.
    pub revision: Revision,
    /// Time since this node last heard from a leader with a majority; `None` if it never did.
    pub leader_contact: Option<Duration>,
}

/// Error of a linearizable read. The read has no effect and may be retried on any node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No leader confirmed a read index in time.
    #[error(
        "no leader confirmed the read within {waited:.1?}: possibly no majority of the voters is \
         reachable"
    )]
    NoLeader {
        /// Time waited.
        waited: Duration,
    },
    /// This node did not apply the read index in time.
    #[error("this node is behind: log index {index} was not applied within {waited:.1?}")]
    Behind {
        /// The read index.
        index: u64,
        /// Time waited.
        waited: Duration,
    },
    /// The leader, confirmed by a majority, does not know this node as an agent.
    #[error("this node was removed from the cluster")]
    Removed,
}

/// State on this node.
#[async_trait]
pub trait Read: Send + Sync {
    /// Returns once [`Read::state`] has the requested consistency. Cancel-safe.
    ///
    /// # Errors
    /// A [`ReadError`]; never for [`Consistency::Stale`].
    async fn read(
        &self,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<ReadPoint, ReadError>;

    /// Returns the state that this node has applied. Hold the guard briefly and never across an
    /// await: it blocks applying.
    fn state(&self) -> RwLockReadGuard<'_, State>;

    /// Announces the newest revision whose entry is applied and durable on this node's own disk.
    /// Only events up to it may be acted on.
    fn durable(&self) -> watch::Receiver<Revision>;
}
