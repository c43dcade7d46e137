//! Opens a directory as a node does after a loss of power, and compares it with what was said of it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use meridian_domain::Revision;
use meridian_storage::disk::directory::DataDirectory;
use openraft::storage::{RaftLogStorage as _, RaftLogStorageExt as _, RaftStateMachine as _};
use openraft::{LogState, RaftLogReader as _};
use serde::{Deserialize, Serialize};

use crate::expected::Expected;
use crate::node::{self, Chunks, Node, Refusal};
use crate::workload::{raft_entry, state_at, vote};

/// What came of a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All that was acknowledged is there, and the stores work.
    Whole {
        /// The last index of the log, if there is one.
        last: Option<u64>,
    },
    /// The stores refuse.
    Refused {
        /// What they say.
        error: String,
    },
    /// The stores opened, and what was acknowledged is not there.
    Lost {
        /// What is missing.
        what: String,
    },
}

/// Opens the stores at `path`, reads all, and writes some more.
pub async fn check(path: &Path, expected: &Expected, chunks: Chunks) -> Verdict {
    let mut node = match open(path, expected, chunks) {
        Ok(Some(node)) => node,
        Ok(None) => return Verdict::Lost { what: "the identity of the directory".to_owned() },
        Err(refusal) => return Verdict::Refused { error: with_causes(&refusal) },
    };
    let compared = compare(&mut node, expected).await;
    // What is found while reading stops a node as well, by name.
    match (node.fuse.cause(), compared) {
        (Some(cause), _) => Verdict::Refused { error: cause },
        (None, Err(error)) => Verdict::Lost { what: format!("{error:#}") },
        (None, Ok(last)) => Verdict::Whole { last },
    }
}

fn open(path: &Path, expected: &Expected, chunks: Chunks) -> Result<Option<Node>, Refusal> {
    let directory = DataDirectory::open(path)?;
    if expected.established && directory.identity() != Some(node::identity()) {
        return Ok(None);
    }
    drop(directory);
    Node::open(node::establish(path)?, chunks).map(Some)
}

/// An error with all its causes, in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

async fn compare(node: &mut Node, expected: &Expected) -> Result<Option<u64>> {
    let term = node.stores.log.read_vote().await?.map_or(0, |vote| vote.leader_id.term);
    ensure!(term >= expected.term, "the vote of term {}: there is {term}", expected.term);
    compare_log(node, expected).await?;
    compare_store(node, expected).await?;
    write_more(node, term.max(expected.term) + 10).await
}

/// Whether the log has what was acknowledged and was not purged, and nothing that was never written.
async fn compare_log(node: &mut Node, expected: &Expected) -> Result<()> {
    let log = &mut node.stores.log;
    let LogState { last_purged_log_id: purged, .. } = log.get_log_state().await?;
    let entries = log.try_get_log_entries(..).await?;
    for entry in &entries {
        let (term, index) = (entry.log_id.leader_id.term, entry.log_id.index);
        ensure!(*entry == raft_entry(term, index), "entry {index} is not the one that was written");
    }
    let purged = purged.map(|purged| purged.index);
    let first = entries.first().map(|entry| entry.log_id.index);
    for (index, term) in &expected.entries {
        if purged >= Some(*index) {
            continue;
        }
        let place = first.and_then(|first| usize::try_from(index.checked_sub(first)?).ok());
        let found = place.and_then(|place| entries.get(place));
        let found = found.map(|entry| entry.log_id.leader_id.term);
        ensure!(found == Some(*term), "entry {index} of term {term}: the log has {found:?} there");
    }
    Ok(())
}

/// Whether the derived store has the state that the entries lead to, once those that it has not got
/// were applied from the log.
async fn compare_store(node: &mut Node, expected: &Expected) -> Result<()> {
    let (applied, _) = node.stores.state_machine.applied_state().await?;
    let applied = applied.map(|applied| applied.index);
    let wanted = expected.applied;
    ensure!(applied >= wanted, "rows up to {wanted:?}: there are {applied:?}");
    if let Some(committed) = expected.committed() {
        node.apply_through(committed).await?;
    }
    let store = &node.stores.store;
    let applied = *store.applied().borrow();
    let (state, events) = state_at(applied);
    ensure!(*store.state() == state, "the state at index {applied} is another");
    let found = store.events(Revision(1), usize::MAX).context("events cannot be read")?;
    ensure!(
        found.iter().map(|record| &record.event).eq(&events),
        "the events up to index {applied} are others"
    );
    Ok(store.verify_history()?)
}

/// Goes on as a node would: with a vote, an entry and a snapshot.
async fn write_more(node: &mut Node, term: u64) -> Result<Option<u64>> {
    let log = &mut node.stores.log;
    let last = log.get_log_state().await?.last_log_id.map(|last| last.index);
    log.save_vote(&vote(term)).await.context("no vote can be saved any more")?;
    let next = last.map_or(0, |last| last + 1);
    log.blocking_append([raft_entry(term, next)]).await.context("nothing can be appended")?;
    let snapshot = node.stores.state_machine.get_current_snapshot().await;
    snapshot.context("no snapshot can be built any more")?;
    Ok(last)
}
