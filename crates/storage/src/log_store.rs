//! Raft log as openraft's log storage: votes, entries, and notifications of their durability.
//!
//! The store is built on a [`Journal`], which writes; `group_commit` decides when the journal
//! syncs. Entries are readable when `append` returns, and acknowledged when the journal has synced
//! them. openraft sends them to the other nodes in between.
//!
//! The first error of any call or sync blows the fuse of the node. A blown fuse disables the store:
//! all later calls fail, and nothing more is acknowledged. The result of a retry is never trusted.

mod blocking;
mod group_commit;
#[cfg(test)]
mod suite;
mod waiter;

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use tokio::sync::watch;

use crate::disk::entry::{Position, StoredEntry, StoredVote};
use crate::disk::journal::Journal;
use crate::fuse::Fuse;
use crate::log_store::group_commit::GroupCommit;
use crate::log_store::waiter::Waiter;
use crate::raft::TypeConfig;

pub use group_commit::describe_metrics;

/// Maximum payload of one limited read in bytes, unless its first entry alone is larger.
const LIMITED_READ_BYTES: usize = 1 << 20;

/// Raft log of this node. Cheap to clone; clones share one log.
#[derive(Clone)]
pub struct LogStore {
    group_commit: Arc<GroupCommit>,
    synced_through: Arc<AtomicU64>,
    /// Set if closing the journal can block for long.
    blocks: bool,
}

impl LogStore {
    /// Creates a store on `journal`, which was just opened, so everything in it is durable.
    ///
    /// `synced_through` is the index of the last entry whose effects the derived store has synced;
    /// 0 if there is none. Its owner sets it before Raft starts and raises it after each sync. The
    /// log is never purged beyond it.
    #[must_use]
    pub fn new(journal: Box<dyn Journal>, fuse: Fuse, synced_through: Arc<AtomicU64>) -> Self {
        let blocks = journal.blocks();
        Self { group_commit: GroupCommit::new(journal, fuse), synced_through, blocks }
    }

    /// Returns a watch of the index of the last entry that is durable on this node. It decreases
    /// when entries are truncated, which never happens to committed ones, and includes purged
    /// entries.
    #[must_use]
    pub fn flushed(&self) -> watch::Receiver<Option<u64>> {
        self.group_commit.flushed()
    }

    /// Returns the age of the oldest sync or write that is in progress; zero if there is none. Never
    /// waits for the disk.
    #[must_use]
    pub fn busy_for(&self) -> Duration {
        self.group_commit.busy_for()
    }

    /// Syncs everything, writes the mark, and closes the store. Called after Raft has shut down.
    /// Dropping the store without closing it loses nothing, but reports errors only to the log
    /// output. Does not block the runtime while the disk hangs. Dropping the future does not stop
    /// the closing.
    ///
    /// # Errors
    /// If the end of the log may not be durable.
    pub async fn close(&self) -> io::Result<()> {
        if !self.blocks {
            return self.group_commit.close();
        }
        let group_commit = self.group_commit.clone();
        let closed = tokio::task::spawn_blocking(move || group_commit.close()).await;
        closed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    fn check_purge(&self, upto: Position) -> io::Result<()> {
        let synced = self.synced_through.load(Ordering::Acquire);
        if upto.index <= synced {
            return Ok(());
        }
        let error = io::Error::other(format!(
            "purge of the Raft log up to index {} rejected: the derived store is synced only up to \
             index {synced}",
            upto.index
        ));
        self.group_commit.fail("purge the log", &error);
        Err(error)
    }
}

impl Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").field("group_commit", &self.group_commit).finish_non_exhaustive()
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
        self.group_commit.read(start..end, usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<EntryOf<TypeConfig>>> {
        self.group_commit.read(start..end, LIMITED_READ_BYTES)
    }

    async fn read_vote(&mut self) -> io::Result<Option<VoteOf<TypeConfig>>> {
        Ok(self.group_commit.bounds()?.vote.map(Into::into))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let bounds = self.group_commit.bounds()?;
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
        let (waiter, saved) = Waiter::call();
        let waiter = Some(waiter);
        self.group_commit
            .change("save a vote", (1, 0), waiter, |journal| journal.save_vote(vote))?;
        saved.await.map_err(io::Error::other)?
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        // A hint that lets a restart apply more entries immediately. It becomes durable with the
        // next sync.
        let Some(committed) = committed.map(Position::from) else {
            return Ok(());
        };
        self.group_commit.change("save the committed position", (1, 0), None, |journal| {
            journal.save_committed(committed)
        })
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogIdOf<TypeConfig>>> {
        Ok(self.group_commit.bounds()?.committed.map(Into::into))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = EntryOf<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<StoredEntry> = entries.into_iter().map(Into::into).collect();
        let bytes = entries.iter().map(StoredEntry::payload_bytes).sum();
        let size = (entries.len(), bytes);
        let waiter = Some(Waiter::append(callback, bytes));
        self.group_commit
            .change("append to the log", size, waiter, |journal| journal.append(entries))
    }

    /// Returns after the truncation is durable. The snapshot of a new leader may follow it, which
    /// contradicts the removed entries: a power loss must not keep both.
    async fn truncate_after(&mut self, last: Option<LogIdOf<TypeConfig>>) -> io::Result<()> {
        let (waiter, truncated) = Waiter::call();
        self.group_commit.truncate_after(last.map(Into::into), waiter)?;
        truncated.await.map_err(io::Error::other)?
    }

    async fn purge(&mut self, upto: LogIdOf<TypeConfig>) -> io::Result<()> {
        let upto = Position::from(upto);
        self.check_purge(upto)?;
        // Nothing waits for a purge, but only the next sync removes the files.
        let waiter = Some(Waiter::detached());
        self.group_commit.change("purge the log", (1, 0), waiter, |journal| journal.purge(upto))
    }
}
