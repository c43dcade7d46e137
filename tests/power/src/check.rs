//! Opens a directory as a node does after a power cut, and compares it with the reported progress.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use error_reporter::Report;
use meridian_domain::Revision;
use meridian_storage::disk::directory::DataDirectory;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{LogState, RaftLogReader as _};
use serde::{Deserialize, Serialize};

use crate::expected::Expected;
use crate::node::{self, Chunks, Node, NodeOpenError};
use crate::workload::{raft_entry, state_at, vote};

/// Result of checking a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All acknowledged data is present, and the stores work.
    Intact {
        /// Last index of the log, if it is not empty.
        last: Option<u64>,
    },
    /// The stores rejected the directory.
    Rejected {
        /// The error with its causes.
        error: String,
    },
    /// The stores opened, but acknowledged data is missing.
    Lost {
        /// Description of the missing data.
        what: String,
    },
}

/// Opens the stores at `path`, reads everything, and writes more.
pub async fn check(path: &Path, expected: &Expected, chunks: Chunks) -> Verdict {
    let mut node = match open(path, expected, chunks) {
        Ok(Some(node)) => node,
        Ok(None) => return Verdict::Lost { what: "the identity of the directory".to_owned() },
        Err(error) => return Verdict::Rejected { error: Report::new(&error).to_string() },
    };
    let compared = compare(&mut node, expected).await;
    // Damage found while reading also stops a node with an error.
    match (node.fuse.cause(), compared) {
        (Some(cause), _) => Verdict::Rejected { error: cause },
        (None, Err(error)) => Verdict::Lost { what: format!("{error:#}") },
        (None, Ok(last)) => Verdict::Intact { last },
    }
}

fn open(path: &Path, expected: &Expected, chunks: Chunks) -> Result<Option<Node>, NodeOpenError> {
    let directory = DataDirectory::open(path)?;
    if expected.established && directory.identity() != Some(node::identity()) {
        return Ok(None);
    }
    drop(directory);
    Node::open(node::establish(path)?, chunks).map(Some)
}

async fn compare(node: &mut Node, expected: &Expected) -> Result<Option<u64>> {
    let term = node.stores.log.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    ensure!(
        term >= expected.term,
        "the vote of term {} is lost: the term is {term}",
        expected.term
    );
    compare_log(node, expected).await?;
    compare_store(node, expected).await?;
    write_more(node, term.max(expected.term) + 10).await
}

/// Verifies that the log has all acknowledged entries that were not purged, and no others.
async fn compare_log(node: &mut Node, expected: &Expected) -> Result<()> {
    let log = &mut node.stores.log;
    let LogState { last_purged_log_id: purged, .. } = log.get_log_state().await?;
    let entries = log.try_get_log_entries(..).await?;
    for entry in &entries {
        let (term, index) = (entry.log_id.leader_id.term, entry.log_id.index);
        ensure!(
            *entry == raft_entry(term, index),
            "entry {index} differs from the one that was written"
        );
    }
    let purged = purged.map(|purged| purged.index);
    let first = entries.first().map(|entry| entry.log_id.index);
    for (index, term) in &expected.entries {
        if purged >= Some(*index) {
            continue;
        }
        let position = first.and_then(|first| usize::try_from(index.checked_sub(first)?).ok());
        let found = position.and_then(|position| entries.get(position));
        let found = found.map(|entry| entry.log_id.leader_id.term);
        ensure!(
            found == Some(*term),
            "entry {index} of term {term} is lost: the log has {found:?}"
        );
    }
    Ok(())
}

/// Verifies the state of the derived store after applying the missing entries from the log.
async fn compare_store(node: &mut Node, expected: &Expected) -> Result<()> {
    let (applied, _) = node.stores.state_machine.applied_state().await?;
    let applied = applied.map(|applied| applied.index);
    let acknowledged = expected.applied;
    ensure!(
        applied >= acknowledged,
        "rows up to index {acknowledged:?} were acknowledged, but only {applied:?} are present"
    );
    if let Some(committed) = expected.committed() {
        node.apply_through(committed).await?;
    }
    let store = &node.stores.store;
    let applied = *store.applied().borrow();
    let (state, events) = state_at(applied);
    ensure!(*store.state() == state, "unexpected state at index {applied}");
    let found = store.events(Revision(1), usize::MAX).context("cannot read the events")?;
    ensure!(
        found.iter().map(|record| &record.event).eq(&events),
        "unexpected events up to index {applied}"
    );
    Ok(store.verify_history()?)
}

/// Continues as a node would: saves a vote, appends an entry and builds a snapshot.
async fn write_more(node: &mut Node, term: u64) -> Result<Option<u64>> {
    let log = &mut node.stores.log;
    let last = log.get_log_state().await?.last_log_id.map(|last| last.index);
    log.save_vote(&vote(term)).await.context("cannot save a vote")?;
    let next = last.map_or(0, |last| last + 1);
    log.blocking_append([raft_entry(term, next)]).await.context("cannot append to the log")?;
    let snapshot = node.stores.state_machine.get_current_snapshot().await;
    snapshot.context("cannot build a snapshot")?;
    Ok(last)
}
