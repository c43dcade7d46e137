//! The seam under the Raft log: what the log store asks of the thing that writes it.
//!
//! [`crate::disk::wal::Wal`] is the one on disk. Simulations and tests put in its place a double
//! in memory, which loses what was not synced when they cut its power.

use std::fmt;
use std::io;
use std::ops::Range;

use crate::disk::entry::{Position, StoredEntry, StoredVote};

/// What a journal holds, the parts that are not durable yet included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The last vote saved.
    pub vote: Option<StoredVote>,
    /// The last committed position saved: a hint, never ahead of `last`.
    pub committed: Option<Position>,
    /// The last entry that was purged.
    pub purged: Option<Position>,
    /// The last entry, or `purged` where there is none behind it.
    pub last: Option<Position>,
}

/// An ordered record of votes and entries.
///
/// Every change is visible at once and durable only after a [`Journal::sync`] that began after it.
/// Changes become durable in the order of their calls, never a later one without an earlier one.
/// When a journal is opened, all that it holds is durable.
///
/// After any error, nothing that this object says is to be believed: the node stops.
pub trait Journal: Send + 'static {
    /// What it holds.
    fn bounds(&self) -> Bounds;

    /// The entries with an index in `range`, in order, without a gap; those that were purged or are
    /// not there yet are left out at either end. Stops early, but not before the first entry, once
    /// their payloads have more than `most_bytes`.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read(&self, range: Range<u64>, most_bytes: usize) -> io::Result<Vec<StoredEntry>>;

    /// Saves a vote, which is not less than the last one.
    ///
    /// # Errors
    /// If it cannot be written, or is less.
    fn save_vote(&mut self, vote: StoredVote) -> io::Result<()>;

    /// Adds entries behind the last one, without a gap.
    ///
    /// # Errors
    /// If they cannot be written, or leave a gap.
    fn append(&mut self, entries: Vec<StoredEntry>) -> io::Result<()>;

    /// Notes how far the log is committed. A position that is not above the last one noted, or
    /// beyond the last entry, is skipped: it is a hint.
    ///
    /// # Errors
    /// If it cannot be written.
    fn save_committed(&mut self, committed: Position) -> io::Result<()>;

    /// Removes all entries behind `last`; all where it is `None`.
    ///
    /// # Errors
    /// If that cannot be written, or would remove a committed entry.
    fn truncate_after(&mut self, last: Option<Position>) -> io::Result<()>;

    /// Removes all entries up to `upto`, which may lie beyond the last one: the log then begins
    /// behind it.
    ///
    /// # Errors
    /// If that cannot be written.
    fn purge(&mut self, upto: Position) -> io::Result<()>;

    /// Begins to make everything that was written before this call durable, and says so through
    /// `done`, on any thread, before or after this call returns. `done` must not be called before
    /// that is true, and an error must not be tried again and believed.
    ///
    /// # Errors
    /// If it could not even begin; `done` has then been dropped, which reports failure.
    fn sync(&mut self, done: Done) -> io::Result<()>;

    /// Makes everything durable and waits for it. No other call may follow.
    ///
    /// # Errors
    /// If that cannot be promised.
    fn close(&mut self) -> io::Result<()>;
}

/// Takes the result of one sync. Dropped without a result, it reports failure: whoever waits must
/// not wait for ever.
pub struct Done(Option<Box<dyn FnOnce(io::Result<()>) + Send>>);

impl Done {
    /// A receiver that hands the result to `receive`.
    pub fn new(receive: impl FnOnce(io::Result<()>) + Send + 'static) -> Self {
        Self(Some(Box::new(receive)))
    }

    /// Hands over the result.
    pub fn finish(mut self, result: io::Result<()>) {
        if let Some(receive) = self.0.take() {
            receive(result);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(receive) = self.0.take() {
            receive(Err(io::Error::other(
                "the writer of the Raft log stopped before a sync was done",
            )));
        }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done").finish_non_exhaustive()
    }
}
