//! Reading the event log.

use meridian_domain::{Digest, EventRecord, Revision};
use tokio::sync::watch;

/// Error of a read of the event log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The events were trimmed.
    #[error("revision {from} was trimmed from the history; the oldest available is {oldest}")]
    Trimmed {
        /// First revision requested.
        from: Revision,
        /// Oldest revision available.
        oldest: Revision,
    },
    /// The events could not be read from disk; the node is stopping.
    #[error("cannot read the event log: {cause}")]
    Storage {
        /// Cause reported by the storage.
        cause: String,
    },
}

/// Events on this node. Immutable: an event is the same at every read, on every node.
pub trait History: Send + Sync {
    /// Returns up to `limit` of the events that this node has applied, in order from `from` on.
    ///
    /// # Errors
    /// If they were trimmed or cannot be read.
    fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError>;

    /// Announces the newest revision that can be read. Intermediate revisions are not announced, so
    /// a reader keeps its own cursor and misses nothing.
    fn latest(&self) -> watch::Receiver<Revision>;

    /// Returns the newest revision and the hash over all events up to it. Nodes at the same
    /// revision have the same hash, or their logs differ.
    fn chain(&self) -> (Revision, Digest);
}
