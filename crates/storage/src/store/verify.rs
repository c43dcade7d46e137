//! Checks beyond opening: the store against the Raft log, and the complete event log.

use std::io;

use meridian_domain::Revision;

use super::Store;
use super::load::follow_chain;
use crate::disk::entry::Position;
use crate::event_log::{BrokenEvent, trimmed_rows};
use crate::rows::SEGMENT_EVENTS;

/// Entries are missing between the derived store and the Raft log, or at the end of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogGap {
    /// The log was purged beyond the end of the store: the entries in between are lost.
    #[error(
        "entries are missing on this node: the derived store ends {}, the Raft log starts at index \
         {first}; wipe the data directory and join as a new node",
        describe(*applied)
    )]
    StoreBehind {
        /// Last log index in the store.
        applied: Option<u64>,
        /// First log index in the log.
        first: u64,
    },
    /// The log lost entries that this node had acknowledged. The node must not vote with such a
    /// log.
    #[error(
        "the Raft log of this node was truncated: it ends {}, the derived store ends at index \
         {applied}; wipe the data directory and join as a new node",
        describe(*last)
    )]
    LogBehind {
        /// Last log index in the log.
        last: Option<u64>,
        /// Last log index in the store.
        applied: u64,
    },
    /// The log has entries that contradict the snapshot that the store was installed from. They
    /// were truncated before the installation, durably.
    #[error(
        "the Raft log of this node contradicts its derived store: the log ends at {last}, the \
         derived store at {applied}; wipe the data directory and join as a new node"
    )]
    Contradiction {
        /// Last position in the log.
        last: Position,
        /// Last position in the store.
        applied: Position,
    },
}

fn describe(index: Option<u64>) -> String {
    index.map_or_else(|| "before the first index".to_owned(), |index| format!("at index {index}"))
}

impl Store {
    /// Checks that the Raft log continues where this store ends. Called before Raft starts. `first`
    /// is the first index that the log has or will have, `last` its last one, even if that is
    /// purged.
    ///
    /// # Errors
    /// If entries are missing between the two, or at the end of the log.
    pub fn verify_against_log(&self, first: u64, last: Option<u64>) -> Result<(), LogGap> {
        let tail = self.core.tail();
        let applied = tail.applied.map(|applied| applied.index);
        if applied.map_or(0, |applied| applied + 1) < first {
            return Err(LogGap::StoreBehind { applied, first });
        }
        match applied {
            // A power loss between the installation of a snapshot and the purge of the log leaves
            // this state; openraft then purges the log up to here.
            Some(applied) if Some(applied) > last && tail.installed != Some(applied) => {
                Err(LogGap::LogBehind { last, applied })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the Raft log, whose last position is `last`, does not end in entries that
    /// contradict this store. Called before Raft starts.
    ///
    /// # Errors
    /// If it does.
    pub fn verify_end_of_log(&self, last: Option<Position>) -> Result<(), LogGap> {
        let applied = self.core.tail().applied.map(Position::from);
        match (applied, last) {
            (Some(applied), Some(last)) if applied > last && applied.index <= last.index => {
                Err(LogGap::Contradiction { last, applied })
            }
            _ => Ok(()),
        }
    }

    /// Reads every event and verifies the whole chain. Blocks. For tests: no agent calls it,
    /// because its duration grows with the history. Opening verifies only the chain of the last
    /// segment. An older event is verified by its checksum when it is read, and by the chain when
    /// another node receives it.
    ///
    /// # Errors
    /// If an event is damaged or missing. The fuse has then blown.
    pub fn verify_history(&self) -> io::Result<()> {
        let (history, mut from, through) = {
            let log = &self.core.tail().log;
            (log.history, trimmed_rows(log.trimmed), log.written())
        };
        while from < through {
            let segment_end = Revision((from.0 / SEGMENT_EVENTS + 1) * SEGMENT_EVENTS);
            let end = segment_end.min(through);
            let (before, after) = {
                let log = &self.core.tail().log;
                if log.history != history || trimmed_rows(log.trimmed) > from {
                    return Ok(());
                }
                (log.chain_at(from), log.chain_at(end))
            };
            let chain =
                follow_chain(&*self.core.database, history, from, end, before.unwrap_or_default())
                    .map_err(|error| self.core.damaged(error))?;
            if after.is_some_and(|after| after != chain) {
                let broken = BrokenEvent::Chain { revision: end, expected: chain };
                return Err(self.core.damaged(broken));
            }
            from = end;
        }
        Ok(())
    }
}
