//! Checks that raft-log does not make when it opens a log.

use std::fmt::Display;
use std::path::Path;

use raft_log::RaftLog;

use crate::disk::entry::Position;
use crate::disk::mark::Mark;
use crate::disk::wal::WalError;
use crate::disk::wal::record::Records;

/// Checks that entries are contiguous from the purged one to the last. raft-log opens a log with a
/// missing first or last chunk without an error.
pub(super) fn contiguous(log: &RaftLog<Records>, path: &Path) -> Result<(), WalError> {
    let index = |position: Option<&Position>| position.map(|position| position.index);
    let state = log.log_state();
    let (purged, last) = (index(state.purged()), index(state.last()));
    let mut next = purged.map_or(0, |index| index + 1);
    let gap = |missing| WalError::Gap { path: path.to_path_buf(), missing, purged, last };
    for read in log.read(0, u64::MAX) {
        let (position, _) =
            read.map_err(|cause| WalError::RaftLog { path: path.to_path_buf(), cause })?;
        if position.index != next {
            return Err(gap(next));
        }
        next += 1;
    }
    let end = last.map_or(0, |index| index + 1);
    if next == end { Ok(()) } else { Err(gap(next)) }
}

/// Checks that the log reaches its mark: it has the same entry there, and no older vote.
pub(super) fn reaches_mark(
    log: &RaftLog<Records>,
    mark: &Mark,
    path: &Path,
) -> Result<(), WalError> {
    let behind = |expected: &dyn Display, found: Option<&dyn Display>| WalError::BehindMark {
        path: path.to_path_buf(),
        expected: expected.to_string(),
        found: found.map_or("nothing".to_owned(), ToString::to_string),
    };
    let state = log.log_state();
    if let Some(vote) = mark.vote().filter(|vote| state.vote() < Some(vote)) {
        return Err(behind(&vote, state.vote().map(|vote| vote as &dyn Display)));
    }
    let Some(durable) = mark.durable() else {
        return Ok(());
    };
    let last = state.last();
    let reached = last.is_some_and(|last| last.index >= durable.index);
    let purged = state.purged().is_some_and(|purged| purged.index >= durable.index);
    let mut found = last.copied();
    if reached && !purged {
        let read = log.read(durable.index, durable.index + 1).next().transpose();
        let read = read.map_err(|cause| WalError::RaftLog { path: path.to_path_buf(), cause })?;
        found = read.map(|(position, _)| position);
    }
    if reached && (purged || found == Some(durable)) {
        return Ok(());
    }
    Err(behind(&durable, found.as_ref().map(|position| position as &dyn Display)))
}
