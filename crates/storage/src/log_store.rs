//! The Raft log as openraft sees it: votes, entries, and word of when they are durable.
//!
//! The store stands on a [`Journal`], which writes; `group` decides when the journal syncs. Entries
//! are readable when `append` returns, and acknowledged when the journal has synced them: openraft
//! sends them to the other nodes in between.
//!
//! The first error, of any call or any sync, blows the node's fuse, and a blown fuse ends the
//! store: whatever is asked afterwards fails, and nothing is acknowledged any more. An error is
//! never tried again and believed.

mod group;
#[cfg(test)]
mod suite;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::watch;

use crate::disk::entry::{Position, StoredEntry, StoredVote};
use crate::disk::journal::Journal;
use crate::fuse::Fuse;
use crate::log_store::group::{Group, Waiter};
use crate::raft::TypeConfig;

pub use group::describe_metrics;

/// Bytes of payload that one read for a limited range returns at most, if it is more than one
/// entry.
const LIMITED_READ_BYTES: usize = 1 << 20;

/// The Raft log of this node. Cheap to clone; every clone is the same log.
#[derive(Clone)]
pub struct LogStore {
    group: Arc<Group>,
    synced_through: Arc<AtomicU64>,
}

impl LogStore {
    /// A store on `journal`, which was opened just now: all that it holds is durable.
    ///
    /// `synced_through` is the index of the last entry whose effects the derived store has synced.
    /// Its owner raises it after each sync, and has set it before Raft starts: the log is never
    /// purged past it. 0 also where nothing was synced.
    #[must_use]
    pub fn new(journal: Box<dyn Journal>, fuse: Fuse, synced_through: Arc<AtomicU64>) -> Self {
        Self { group: Group::new(journal, fuse), synced_through }
    }

    /// The index of the last entry that is durable on this node. It goes back where entries are
    /// truncated, which never happens to committed ones; it passes purged ones.
    #[must_use]
    pub fn flushed(&self) -> watch::Receiver<Option<u64>> {
        self.group.flushed()
    }

    /// Makes everything durable, moves the journal's mark and ends the store; for after Raft has
    /// shut down. A store that is dropped instead loses nothing, and says errors only to the log.
    ///
    /// # Errors
    /// If the end of the log may not be durable.
    pub fn close(&self) -> io::Result<()> {
        self.group.close()
    }

    fn refuse_early_purge(&self, upto: Position) -> io::Result<()> {
        let synced = self.synced_through.load(Ordering::Acquire);
        if upto.index <= synced {
            return Ok(());
        }
        let error = io::Error::other(format!(
            "the Raft log was to be purged up to index {}, but its effects are synced only up to \
             {synced}",
            upto.index
        ));
        self.group.fail("purge the log", &error);
        Err(error)
    }
}

impl Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").field("group", &self.group).finish_non_exhaustive()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        self.group.read(start..end, usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        self.group.read(start..end, LIMITED_READ_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        Ok(self.group.bounds()?.vote.map(Into::into))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let bounds = self.group.bounds()?;
        Ok(LogState {
            last_purged_log_id: bounds.purged.map(Into::into),
            last_log_id: bounds.last.map(Into::into),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<TypeConfig>) -> io::Result<()> {
        let vote = StoredVote::from(vote);
        let (waiter, saved) = Waiter::vote();
        self.group.change("save a vote", Some(waiter), |journal| journal.save_vote(vote))?;
        saved.await.map_err(io::Error::other)?
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        // A hint that lets a restart apply more at once: it rides in the next sync.
        let Some(committed) = committed.map(Position::from) else {
            return Ok(());
        };
        self.group.change("save the committed position", None, |journal| {
            journal.save_committed(committed)
        })
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<TypeConfig>>> {
        Ok(self.group.bounds()?.committed.map(Into::into))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<StoredEntry> = entries.into_iter().map(Into::into).collect();
        let bytes = entries.iter().map(StoredEntry::payload_bytes).sum();
        let waiter = Waiter::append(callback, bytes);
        self.group.change("append to the log", Some(waiter), |journal| journal.append(entries))
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        self.group.truncate_after(last.map(Into::into))
    }

    async fn purge(&mut self, upto: LogIdOf<TypeConfig>) -> io::Result<()> {
        let upto = Position::from(upto);
        self.refuse_early_purge(upto)?;
        // Nobody waits for a purge, but files go only with the sync behind it.
        let waiter = Some(Waiter::nobody());
        self.group.change("purge the log", waiter, |journal| journal.purge(upto))
    }
}
