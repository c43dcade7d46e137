//! Operations of a node on its stores, in the order in which openraft performs them. Each step is
//! reported after the store acknowledged it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::stream;
use meridian_domain::Revision;
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::TypeConfig;
use meridian_storage::snapshot::Snapshot;
use meridian_storage::store::Store;
use openraft::RaftLogReader as _;
use openraft::alias::SnapshotOf;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use tokio::sync::watch;

use crate::node::{self, Chunks, Node};
use crate::progress::Progress;
use crate::workload::{LOST_TERM, log_id, raft_entry, vote};

/// Longer than the mark of the log may lag behind.
const MARK_PERIOD: Duration = Duration::from_millis(1_100);

/// Maximum number of entries per append.
pub const MAX_BATCH: usize = 5;

/// Options of a process run.
#[derive(Debug, Clone, Copy)]
pub struct RunOptions {
    /// Size of the log files.
    pub chunks: Chunks,
    /// Waits once until the mark of the log is updated in the background.
    pub wait_for_mark: bool,
    /// Closes the stores at the end.
    pub close: bool,
}

struct Steps {
    node: Node,
    term: u64,
    /// Next index of the log.
    next: u64,
}

/// The first process run of a node: starts without a directory, and ends with a log that was
/// truncated, purged and replaced by a snapshot.
///
/// # Errors
/// If a store fails; no further progress is reported.
pub async fn first_run(path: &Path, run: RunOptions) -> Result<()> {
    let directory = node::establish(path)?;
    Progress::Established.report()?;
    let node = Node::open(directory, run.chunks)?;
    Progress::Opened.report()?;
    let mut steps = Steps { node, term: 1, next: 0 };
    steps.vote(1).await?;
    steps.append(6).await?;
    steps.append_batch(MAX_BATCH as u64).await?;
    steps.build_snapshot().await?;
    steps.purge(8).await?;
    steps.vote(LOST_TERM).await?;
    steps.append_and_truncate(3).await?;
    steps.vote(3).await?;
    steps.append(4).await?;
    if run.wait_for_mark {
        tokio::time::sleep(MARK_PERIOD).await;
    }
    steps.append(3).await?;
    steps.build_snapshot().await?;
    steps.purge(16).await?;
    steps.append_uncommitted(40).await?;
    steps.vote(4).await?;
    steps.install(50).await?;
    steps.append(5).await?;
    steps.build_snapshot().await?;
    steps.append_batch(4).await?;
    steps.finish(run).await
}

/// A later process run, on an existing directory.
///
/// # Errors
/// If a store fails; no further progress is reported.
pub async fn later_run(path: &Path, run: RunOptions) -> Result<()> {
    let mut steps = Steps::open(path, run).await?;
    let term = steps.term.max(LOST_TERM) + 1;
    steps.vote(term).await?;
    steps.append(4).await?;
    steps.build_snapshot().await?;
    steps.append_batch(3).await?;
    steps.finish(run).await
}

/// Runs until a store fails.
///
/// # Errors
/// The first failure; no further progress is reported.
pub async fn run_until_failure(path: &Path, run: RunOptions) -> Result<()> {
    let mut steps = Steps::open(path, run).await?;
    let term = steps.term.max(LOST_TERM) + 1;
    steps.vote(term).await?;
    loop {
        steps.append_batch(3).await?;
        steps.append(5).await?;
        steps.build_snapshot().await?;
        let kept = steps.next.saturating_sub(20);
        if kept > 0 {
            steps.purge(kept).await?;
        }
    }
}

impl Steps {
    /// Opens the stores and applies the whole log: process runs that are followed by another one
    /// leave only committed entries at its end.
    async fn open(path: &Path, run: RunOptions) -> Result<Self> {
        let directory = node::establish(path)?;
        Progress::Established.report()?;
        let mut node = Node::open(directory, run.chunks)?;
        Progress::Opened.report()?;
        let log = node.stores.log.get_log_state().await?;
        let last = log.last_log_id.map(|last| last.index);
        if let Some(last) = last {
            node.apply_through(last).await?;
        }
        let applied = *node.stores.store.applied().borrow();
        let term = {
            let vote = node.stores.log.read_vote().await?;
            vote.map_or(0, |vote| vote.leader_id.term)
        };
        let mut steps = Self { node, term, next: last.map_or(0, |last| last.max(applied) + 1) };
        if last.is_none_or(|last| last < applied) && applied > 0 {
            // A snapshot was installed, but the log was not purged yet.
            let (position, _) = steps.node.stores.state_machine.applied_state().await?;
            steps.node.stores.log.purge(position.context("no entry is applied")?).await?;
            steps.next = applied + 1;
        }
        Ok(steps)
    }

    async fn vote(&mut self, term: u64) -> Result<()> {
        self.node.stores.log.save_vote(&vote(term)).await?;
        self.term = term;
        Progress::Voted { term }.report()?;
        Ok(())
    }

    /// Appends entries one by one, and applies each.
    async fn append(&mut self, count: u64) -> Result<()> {
        for index in self.next..self.next + count {
            let committed = index.checked_sub(1).map(|index| log_id(self.term, index));
            self.node.stores.log.save_committed(committed).await?;
            self.node.stores.log.blocking_append([raft_entry(self.term, index)]).await?;
            Progress::Appended { term: self.term, index }.report()?;
            self.node.apply_through(index).await?;
            self.next = index + 1;
        }
        Ok(())
    }

    /// Appends entries in one batch, and applies them before they are durable here, as openraft
    /// does when a majority has them.
    async fn append_batch(&mut self, count: u64) -> Result<()> {
        let range = self.next..self.next + count;
        let entries: Vec<_> = range.clone().map(|index| raft_entry(self.term, index)).collect();
        let mut log = self.node.stores.log.clone();
        let appending = tokio::spawn(async move { log.blocking_append(entries).await });
        let apply_early = async |node: &mut Node| -> Result<()> {
            let last = range.end - 1;
            while node.stores.log.get_log_state().await?.last_log_id < Some(log_id(self.term, last))
            {
                tokio::task::yield_now().await;
            }
            node.apply_through(last).await
        };
        let applied = apply_early(&mut self.node).await;
        appending.await??;
        applied?;
        for index in range {
            Progress::Appended { term: self.term, index }.report()?;
            self.next = index + 1;
        }
        Ok(())
    }

    /// Appends entries that are never committed, and truncates them as a new leader would.
    async fn append_and_truncate(&mut self, count: u64) -> Result<()> {
        let after = self.next - 1;
        for index in self.next..self.next + count {
            self.node.stores.log.blocking_append([raft_entry(self.term, index)]).await?;
            Progress::Appended { term: self.term, index }.report()?;
        }
        Progress::Truncating { after }.report()?;
        self.node.stores.log.truncate_after(Some(log_id(1, after))).await?;
        Progress::Truncated { after }.report()?;
        Ok(())
    }

    /// Appends entries that are never committed, and leaves them in the log. Not reported, because
    /// they may be missing.
    async fn append_uncommitted(&mut self, count: u64) -> Result<()> {
        let entries = (self.next..self.next + count).map(|index| raft_entry(self.term, index));
        Ok(self.node.stores.log.blocking_append(entries.collect::<Vec<_>>()).await?)
    }

    async fn build_snapshot(&mut self) -> Result<()> {
        let snapshot = self.node.stores.state_machine.get_current_snapshot().await?;
        let last = snapshot.and_then(|snapshot| snapshot.meta.last_log_id);
        let index = last.context("no entry is applied")?.index;
        ensure!(index + 1 == self.next, "the log is not fully applied");
        Progress::Built { index }.report()?;
        Ok(())
    }

    async fn purge(&mut self, index: u64) -> Result<()> {
        let log = &mut self.node.stores.log;
        let entries = log.try_get_log_entries(index..=index).await?;
        if let Some(entry) = entries.first() {
            log.purge(entry.log_id).await?;
            Progress::Purged { index }.report()?;
        }
        Ok(())
    }

    /// Installs the snapshot of a leader that is far ahead, and purges the log. Entries that no
    /// leader committed are truncated before if they contradict the snapshot.
    async fn install(&mut self, index: u64) -> Result<()> {
        let (leader, snapshot) = leader_at(self.term, index).await?;
        let SnapshotOf::<TypeConfig, Snapshot> { meta, snapshot } = snapshot;
        let first = leader.first_missing(&snapshot, self.node.stores.store.chain())?;
        let mut staging = self.node.stores.store.stage(snapshot.head(first))?;
        for rows in snapshot.rows() {
            staging.rows(rows).await?;
        }
        let mut next = first;
        while next <= snapshot.revision() {
            let events = leader.stored_events(next, snapshot.revision())?;
            next = Revision(next.0 + events.len() as u64);
            staging.events(events).await?;
        }
        let last = self.node.stores.log.get_log_state().await?.last_log_id;
        if last.is_some_and(|last| last.index >= index) {
            let after = self.next - 1;
            Progress::Truncating { after }.report()?;
            let committed = self.node.stores.log.try_get_log_entries(after..=after).await?;
            let committed = committed.first().map(|entry| entry.log_id);
            self.node.stores.log.truncate_after(committed).await?;
            Progress::Truncated { after }.report()?;
        }
        self.node.stores.state_machine.install_snapshot(&meta, staging.finish()?).await?;
        Progress::Installed { index }.report()?;
        self.node.stores.log.purge(log_id(self.term, index)).await?;
        Progress::Purged { index }.report()?;
        self.next = index + 1;
        Ok(())
    }

    async fn finish(self, run: RunOptions) -> Result<()> {
        if run.close {
            self.node.close().await?;
            Progress::Closed.report()?;
        }
        Ok(())
    }
}

/// Returns an in-memory store of a leader, and its snapshot.
async fn leader_at(term: u64, index: u64) -> Result<(Store, SnapshotOf<TypeConfig, Snapshot>)> {
    let flushed = watch::Sender::new(Some(u64::MAX));
    let database = Arc::new(MemoryDatabase::new());
    let (store, mut machine) =
        Store::open(database, flushed.subscribe(), Arc::default(), Fuse::default())?;
    let entries = (0..=index).map(|index| Ok((raft_entry(term, index), None)));
    machine.apply(stream::iter(entries)).await?;
    let snapshot = machine.get_current_snapshot().await?.context("no entry is applied")?;
    Ok((store, snapshot))
}
