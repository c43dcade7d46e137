//! Rows of a received snapshot as the writer writes them: first its parts, then the pointer to
//! them.

use std::io;

use meridian_domain::{Digest, Revision};

use super::Core;
use crate::codec;
use crate::disk::database::Batch;
use crate::event_log::{StoredEvent, stored};
use crate::rows;
use crate::rows::position::{Members, Position};

/// Part of a received snapshot.
pub(crate) struct Chunk {
    /// History of its events.
    pub(crate) history: u64,
    /// State rows.
    pub(crate) rows: Batch,
    /// Events.
    pub(crate) events: Vec<(Revision, StoredEvent)>,
}

impl Chunk {
    /// Returns the last event; 0 if there is none.
    pub(crate) fn last_event(&self) -> Revision {
        self.events.last().map_or(Revision(0), |(revision, _)| *revision)
    }

    /// Returns the rows to write. Omits events that this node has written itself meanwhile: those
    /// are visible, and are compared with the snapshot's when it is installed.
    pub(crate) fn into_batch(self, core: &Core) -> Batch {
        let mut batch = self.rows;
        let own = {
            let log = &core.tail().log;
            (log.history == self.history).then(|| log.written())
        };
        for (revision, event) in self.events {
            if own.is_some_and(|written| revision <= written) {
                continue;
            }
            batch.insert(rows::event_key(self.history, revision), event.row());
            stored::write_segment_end(&mut batch, self.history, revision, &event);
        }
        batch
    }
}

/// Pointer to a received snapshot: the rows that make it the current state.
pub(crate) struct Pointer {
    /// Last log index that the snapshot covers.
    pub(crate) index: u64,
    /// Position of its rows.
    pub(crate) position: Position,
    /// Membership of the snapshot.
    pub(crate) members: Members,
}

/// A completely received snapshot is not installed. The node stops: it has, or was sent, events
/// that other nodes do not have.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error(
        "the snapshot ends at revision {snapshot}, but this node is already at revision {current}"
    )]
    Backwards { snapshot: Revision, current: Revision },
    #[error(
        "chain hash mismatch at revision {revision}: {current} on this node, {snapshot} in the \
         snapshot"
    )]
    Diverged { revision: Revision, current: Digest, snapshot: Digest },
}

impl Pointer {
    /// Checks that the staged events continue those of this node, unless they replace its history.
    /// This node may have applied further events since the transfer started.
    pub(crate) fn check(&self, core: &Core) -> io::Result<()> {
        let (history, revision, chain) = {
            let log = &core.tail().log;
            (log.history, log.revision, log.chain)
        };
        let Position { revision: last, chain: expected, .. } = self.position;
        if revision > last {
            return Err(io::Error::other(InstallError::Backwards {
                snapshot: last,
                current: revision,
            }));
        }
        if history != self.position.history {
            return Ok(());
        }
        if revision == last {
            if chain == expected {
                return Ok(());
            }
            let error = InstallError::Diverged { revision, current: chain, snapshot: expected };
            return Err(io::Error::other(error));
        }
        let next = revision.next();
        stored::for_each(&*core.database, history, revision, next, |next, event| {
            event.check(next, &chain).map(drop)
        })
    }

    /// Returns the last log index of the snapshot, and the batch that makes it the current state.
    pub(crate) fn into_batch(self) -> (u64, Batch) {
        let mut batch = Batch::default();
        batch.insert(rows::POSITION_KEY, codec::encode(&self.position));
        self.members.write(&mut batch);
        (self.index, batch)
    }
}
