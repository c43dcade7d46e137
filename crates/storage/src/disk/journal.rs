//! Storage interface of the Raft log.
//!
//! [`crate::disk::wal::Wal`] implements it on disk. Simulations and tests use an in-memory double,
//! which loses unsynced data when its power is cut.

use std::fmt;
use std::io;
use std::ops::Range;

use crate::disk::entry::{Position, StoredEntry, StoredVote};

/// Bounds of a journal, including changes that are not durable yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Last saved vote.
    pub vote: Option<StoredVote>,
    /// Last saved committed position: a hint, never above `last`.
    pub committed: Option<Position>,
    /// Last purged entry.
    pub purged: Option<Position>,
    /// Last entry, or `purged` if there is none after it.
    pub last: Option<Position>,
}

/// Ordered log of votes and entries.
///
/// A change is visible immediately, and durable only after a [`Journal::sync`] that started after
/// it. Changes become durable in the order of the calls, never a later one without an earlier one.
/// When a journal is opened, everything in it is durable.
///
/// After any error, no further result of the object may be trusted: the node stops.
pub trait Journal: Send + 'static {
    /// Returns the bounds of the journal.
    fn bounds(&self) -> Bounds;

    /// Returns the entries with an index in `range`, in order and without gaps. Entries that were
    /// purged or do not exist yet are omitted at either end. Stops early once the payloads exceed
    /// `max_bytes`, but returns at least one entry.
    ///
    /// # Errors
    /// If the entries cannot be read.
    fn read(&self, range: Range<u64>, max_bytes: usize) -> io::Result<Vec<StoredEntry>>;

    /// Saves a vote, which must not be less than the last one.
    ///
    /// # Errors
    /// If the vote cannot be written, or is less than the last one.
    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()>;

    /// Appends entries after the last one, without a gap.
    ///
    /// # Errors
    /// If the entries cannot be written, or leave a gap.
    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()>;

    /// Saves how far the log is committed. Does nothing if the position is not above the last saved
    /// one, or is beyond the last entry: it is a hint.
    ///
    /// # Errors
    /// If the position cannot be written.
    fn save_committed(&mut self, committed: Position) -> io::Result<()>;

    /// Removes all entries after `last`; all entries if it is `None`.
    ///
    /// # Errors
    /// If the truncation cannot be written, or would remove a committed entry.
    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()>;

    /// Removes all entries up to and including `upto`, which may be beyond the last one. The log
    /// then starts after it.
    ///
    /// # Errors
    /// If the purge cannot be written.
    fn purge(&mut self, upto: Position) -> io::Result<()>;

    /// Starts a sync of everything that was written before this call, and reports its completion to
    /// `done`, on any thread, before or after this call returns. `done` must not be called with
    /// success before the data is durable. After an error, the result of a retry must not be
    /// trusted.
    ///
    /// # Errors
    /// If the sync cannot be started. `done` has then been dropped, which reports a failure.
    fn sync(&mut self, done: SyncCallback) -> io::Result<()>;

    /// Syncs everything and waits for it. No other method may be called afterwards.
    ///
    /// # Errors
    /// If durability cannot be guaranteed.
    fn close(&mut self) -> io::Result<()>;

    /// Returns true if writing `records` records with `bytes` of payload can wait for the disk: the
    /// write must then not be made on a thread that has other work. An estimate that may be true too
    /// often. Truncations always wait.
    fn write_blocks(&self, _records: usize, _bytes: usize) -> bool {
        false
    }

    /// Returns true if closing can block for long and therefore needs a separate thread.
    fn blocks(&self) -> bool {
        true
    }
}

/// Callback for the result of one sync. Reports a failure if it is dropped without a result, so
/// that nothing waits forever.
pub struct SyncCallback(Option<Box<dyn FnOnce(io::Result<()>) + Send>>);

impl SyncCallback {
    /// Creates a callback that passes the result to `receive`.
    pub fn new(receive: impl FnOnce(io::Result<()>) + Send + 'static) -> Self {
        Self(Some(Box::new(receive)))
    }

    /// Reports the result.
    pub fn complete(mut self, result: io::Result<()>) {
        if let Some(receive) = self.0.take() {
            receive(result);
        }
    }
}

impl Drop for SyncCallback {
    fn drop(&mut self) {
        if let Some(receive) = self.0.take() {
            receive(Err(io::Error::other(
                "the writer of the Raft log stopped before the sync completed",
            )));
        }
    }
}

impl fmt::Debug for SyncCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncCallback").finish_non_exhaustive()
    }
}
