//! Checks what opening cannot: the store against the Raft log, and the whole of the history.

use std::io;

use meridian_domain::Revision;

use super::Store;
use super::load::follow_chain;
use crate::event_log::{BrokenEvent, trimmed_rows};
use crate::rows::SEGMENT_EVENTS;

/// The derived store and the Raft log do not meet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogGap {
    /// Entries between the two are gone: the log was purged beyond what the store holds.
    #[error(
        "the derived store ends {}, the log begins at {first}: what is between is lost on this \
         node; wipe it and let it join as a new node",
        describe(*applied)
    )]
    StoreShort {
        /// The last log index in the store.
        applied: Option<u64>,
        /// The first log index in the log.
        first: u64,
    },
    /// The log lost entries that this node had acknowledged. It must not vote with such a log.
    #[error(
        "the log ends {}, the derived store holds entries up to index {applied}: the log was cut \
         short on this node; wipe it and let it join as a new node",
        describe(*last)
    )]
    LogShort {
        /// The last log index in the log.
        last: Option<u64>,
        /// The last log index in the store.
        applied: u64,
    },
}

fn describe(index: Option<u64>) -> String {
    index.map_or_else(|| "before its beginning".to_owned(), |index| format!("at index {index}"))
}

impl Store {
    /// Whether the Raft log goes on where this store ends, asked before Raft starts. `first` is the
    /// first index that the log still has or will have, `last` its last one, also if that is purged.
    ///
    /// # Errors
    /// If entries are missing between the two, or at the end of the log.
    pub fn verify_against_log(&self, first: u64, last: Option<u64>) -> Result<(), LogGap> {
        let tail = self.core.tail();
        let applied = tail.applied.map(|applied| applied.index);
        if applied.map_or(0, |applied| applied + 1) < first {
            return Err(LogGap::StoreShort { applied, first });
        }
        match applied {
            // A power cut between the installation of a snapshot and the purge of the log leaves
            // just this behind; openraft then purges the log up to here.
            Some(applied) if Some(applied) > last && tail.installed != Some(applied) => {
                Err(LogGap::LogShort { last, applied })
            }
            _ => Ok(()),
        }
    }

    /// Reads every event and follows the whole chain, blocking. Tests judge a store by this; no agent
    /// does it, since it takes the longer the more has happened. Opening follows the chain of the last
    /// segment alone. An older event is checked by its checksum when it is read, and by the chain when
    /// another node receives it.
    ///
    /// # Errors
    /// If the chain is broken. The fuse has then blown.
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
