//! What a node does to its stores, in the order in which openraft has it done: each step is said
//! once the store has acknowledged it.

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
use openraft::alias::SnapshotOf;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use tokio::sync::watch;

use crate::node::{self, Chunks, Node};
use crate::said::Said;
use crate::workload::{LOST_TERM, log_id, raft_entry, vote};

/// Longer than the mark of the log may be behind it.
const MARK_PERIOD: Duration = Duration::from_millis(1_100);

/// Entries that one call appends at most.
pub const MOST_TOGETHER: usize = 5;

/// How a life goes.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// How large the files of the log are.
    pub chunks: Chunks,
    /// Waits in between until the mark of the log was moved by itself.
    pub patient: bool,
    /// Closes the stores at the end.
    pub close: bool,
}

struct Steps {
    node: Node,
    term: u64,
    /// The next index of the log.
    next: u64,
}

/// The first life of a node: from no directory at all to a log that was cut, purged and replaced by
/// a snapshot.
///
/// # Errors
/// If a store fails; nothing is said after that.
pub async fn first_life(path: &Path, life: Life) -> Result<()> {
    let directory = node::establish(path)?;
    Said::Established.say()?;
    let node = Node::open(directory, life.chunks)?;
    Said::Opened.say()?;
    let mut steps = Steps { node, term: 1, next: 0 };
    steps.vote(1).await?;
    steps.append(6).await?;
    steps.append_together(MOST_TOGETHER as u64).await?;
    steps.build_snapshot().await?;
    steps.purge(8).await?;
    steps.vote(LOST_TERM).await?;
    steps.lose(3).await?;
    steps.vote(3).await?;
    steps.append(4).await?;
    if life.patient {
        tokio::time::sleep(MARK_PERIOD).await;
    }
    steps.append(3).await?;
    steps.build_snapshot().await?;
    steps.purge(16).await?;
    steps.vote(4).await?;
    steps.install(50).await?;
    steps.append(5).await?;
    steps.build_snapshot().await?;
    steps.append_together(4).await?;
    steps.end(life).await
}

/// A later life: what a node does that finds a directory.
///
/// # Errors
/// If a store fails; nothing is said after that.
pub async fn later_life(path: &Path, life: Life) -> Result<()> {
    let mut steps = Steps::find(path, life).await?;
    let term = steps.term.max(LOST_TERM) + 1;
    steps.vote(term).await?;
    steps.append(4).await?;
    steps.build_snapshot().await?;
    steps.append_together(3).await?;
    steps.end(life).await
}

/// Works until something fails.
///
/// # Errors
/// What failed; nothing is said after that.
pub async fn work_until_it_fails(path: &Path, life: Life) -> Result<()> {
    let mut steps = Steps::find(path, life).await?;
    let term = steps.term.max(LOST_TERM) + 1;
    steps.vote(term).await?;
    loop {
        steps.append_together(3).await?;
        steps.append(5).await?;
        steps.build_snapshot().await?;
        let kept = steps.next.saturating_sub(20);
        if kept > 0 {
            steps.purge(kept).await?;
        }
    }
}

impl Steps {
    /// Opens what is there, and applies all of it: only what was committed is left at the end of
    /// each life that another one follows.
    async fn find(path: &Path, life: Life) -> Result<Self> {
        let directory = node::establish(path)?;
        Said::Established.say()?;
        let mut node = Node::open(directory, life.chunks)?;
        Said::Opened.say()?;
        let log = node.stores.log.get_log_state().await?;
        let last = log.last_log_id.map(|last| last.index);
        if let Some(last) = last {
            node.apply_through(last).await?;
        }
        let applied = *node.stores.store.applied().borrow();
        let term = {
            use openraft::RaftLogReader as _;
            let vote = node.stores.log.read_vote().await?;
            vote.map_or(0, |vote| vote.leader_id.term)
        };
        let mut steps = Self { node, term, next: last.map_or(0, |last| last.max(applied) + 1) };
        if last.is_none_or(|last| last < applied) && applied > 0 {
            // A snapshot that was installed and not yet followed by the purge of the log.
            let (position, _) = steps.node.stores.state_machine.applied_state().await?;
            steps.node.stores.log.purge(position.context("something is applied")?).await?;
            steps.next = applied + 1;
        }
        Ok(steps)
    }

    async fn vote(&mut self, term: u64) -> Result<()> {
        self.node.stores.log.save_vote(&vote(term)).await?;
        self.term = term;
        Said::Voted { term }.say()?;
        Ok(())
    }

    /// Appends entries one after another, and applies each.
    async fn append(&mut self, count: u64) -> Result<()> {
        for index in self.next..self.next + count {
            let committed = index.checked_sub(1).map(|index| log_id(self.term, index));
            self.node.stores.log.save_committed(committed).await?;
            self.node.stores.log.blocking_append([raft_entry(self.term, index)]).await?;
            Said::Appended { term: self.term, index }.say()?;
            self.node.apply_through(index).await?;
            self.next = index + 1;
        }
        Ok(())
    }

    /// Appends entries at once, and applies them before they are durable here, as openraft does
    /// where a majority has them.
    async fn append_together(&mut self, count: u64) -> Result<()> {
        let range = self.next..self.next + count;
        let entries: Vec<_> = range.clone().map(|index| raft_entry(self.term, index)).collect();
        let mut log = self.node.stores.log.clone();
        let appending = tokio::spawn(async move { log.blocking_append(entries).await });
        let there = async |node: &mut Node| -> Result<()> {
            let last = range.end - 1;
            while node.stores.log.get_log_state().await?.last_log_id < Some(log_id(self.term, last))
            {
                tokio::task::yield_now().await;
            }
            node.apply_through(last).await
        };
        let applied = there(&mut self.node).await;
        appending.await??;
        applied?;
        for index in range {
            Said::Appended { term: self.term, index }.say()?;
            self.next = index + 1;
        }
        Ok(())
    }

    /// Appends entries that are never committed, and has them replaced by another leader's.
    async fn lose(&mut self, count: u64) -> Result<()> {
        let after = self.next - 1;
        for index in self.next..self.next + count {
            self.node.stores.log.blocking_append([raft_entry(self.term, index)]).await?;
            Said::Appended { term: self.term, index }.say()?;
        }
        Said::Truncating { after }.say()?;
        self.node.stores.log.truncate_after(Some(log_id(1, after))).await?;
        Said::Truncated { after }.say()?;
        Ok(())
    }

    async fn build_snapshot(&mut self) -> Result<()> {
        let snapshot = self.node.stores.state_machine.get_current_snapshot().await?;
        let last = snapshot.and_then(|snapshot| snapshot.meta.last_log_id);
        let index = last.context("something is applied")?.index;
        ensure!(index + 1 == self.next, "all of the log is applied");
        Said::Built { index }.say()?;
        Ok(())
    }

    async fn purge(&mut self, index: u64) -> Result<()> {
        let log = &mut self.node.stores.log;
        use openraft::RaftLogReader as _;
        let there = log.try_get_log_entries(index..=index).await?;
        if let Some(entry) = there.first() {
            log.purge(entry.log_id).await?;
            Said::Purged { index }.say()?;
        }
        Ok(())
    }

    /// Installs the snapshot of a leader that is far ahead, and has the log begin behind it.
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
        self.node.stores.state_machine.install_snapshot(&meta, staging.finish()?).await?;
        Said::Installed { index }.say()?;
        self.node.stores.log.purge(log_id(self.term, index)).await?;
        Said::Purged { index }.say()?;
        self.next = index + 1;
        Ok(())
    }

    async fn end(self, life: Life) -> Result<()> {
        if life.close {
            self.node.close().await?;
            Said::Closed.say()?;
        }
        Ok(())
    }
}

/// A leader's store, in memory, and a snapshot of it.
async fn leader_at(term: u64, index: u64) -> Result<(Store, SnapshotOf<TypeConfig, Snapshot>)> {
    let flushed = watch::Sender::new(Some(u64::MAX));
    let database = Arc::new(MemoryDatabase::new());
    let (store, mut machine) =
        Store::open(database, flushed.subscribe(), Arc::default(), Fuse::default())?;
    let entries = (0..=index).map(|index| Ok((raft_entry(term, index), None)));
    machine.apply(stream::iter(entries)).await?;
    let snapshot = machine.get_current_snapshot().await?.context("something is applied")?;
    Ok((store, snapshot))
}
