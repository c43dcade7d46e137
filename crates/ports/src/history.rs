//! Reading the event log.

use meridian_domain::{Digest, EventRecord, Revision};
use tokio::sync::watch;

/// Why events cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// They were trimmed.
    #[error(
        "revision {from} was trimmed from the history; the oldest that can be read is {oldest}"
    )]
    Trimmed {
        /// The first revision asked for.
        from: Revision,
        /// The first that there is.
        oldest: Revision,
    },
    /// They cannot be read from the disk; the node is stopping.
    #[error("the event log cannot be read: {cause}")]
    Storage {
        /// What the storage says.
        cause: String,
    },
}

/// Access to the events on this node. Immutable: an event read once is the same for ever, on every
/// node.
pub trait History: Send + Sync {
    /// Up to `limit` events from `from` on, in order, as far as this node has applied them.
    ///
    /// # Errors
    /// If they were trimmed or cannot be read.
    fn events(&self, from: Revision, limit: usize) -> Result<Vec<EventRecord>, HistoryError>;

    /// Announces the newest revision that can be read. It says nothing of what is in between, so
    /// that a reader with a cursor of its own misses nothing, whatever happens to this node.
    fn latest(&self) -> watch::Receiver<Revision>;

    /// The hash over all events up to the newest one, and that one's revision: equal on nodes with
    /// the same revision, or their logs differ.
    fn chain(&self) -> (Revision, Digest);
}
