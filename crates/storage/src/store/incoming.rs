//! What the writer writes of a snapshot that is received: its parts, then the pointer to them.

use std::io;

use meridian_domain::{Digest, Revision};

use super::Core;
use crate::codec;
use crate::disk::database::Batch;
use crate::event_log::{StoredEvent, stored};
use crate::rows::position::{Members, Position, SegmentEnd};
use crate::rows::{self, SEGMENT_EVENTS};

/// A part of a snapshot, on its way to the disk.
pub(crate) struct Chunk {
    /// Under which number its events are.
    pub(crate) history: u64,
    /// Rows of its state.
    pub(crate) rows: Batch,
    /// Its events.
    pub(crate) events: Vec<(Revision, StoredEvent)>,
}

impl Chunk {
    /// The last of its events; 0 where it has none.
    pub(crate) fn last_event(&self) -> Revision {
        self.events.last().map_or(Revision(0), |(revision, _)| *revision)
    }

    /// The rows to write, but for events that this node has written itself meanwhile: those can be
    /// seen, and are checked against the snapshot's when it is installed.
    pub(crate) fn into_batch(self, core: &Core) -> Batch {
        let mut batch = self.rows;
        let present = {
            let log = &core.tail().log;
            (log.history == self.history).then(|| log.written())
        };
        for (revision, event) in self.events {
            if present.is_some_and(|written| revision <= written) {
                continue;
            }
            batch.insert(rows::event_key(self.history, revision), event.row());
            if revision.0.is_multiple_of(SEGMENT_EVENTS) {
                let segment = revision.0 / SEGMENT_EVENTS - 1;
                let end = SegmentEnd { chain: event.chain() };
                batch.insert(rows::segment_key(self.history, segment), codec::encode(&end));
            }
        }
        batch
    }
}

/// The pointer to a received snapshot, with what must be true before it flips.
pub(crate) struct Pointer {
    /// The last log index that the snapshot covers.
    pub(crate) index: u64,
    /// What its rows are of.
    pub(crate) position: Position,
    /// The membership there.
    pub(crate) members: Members,
}

/// Why a snapshot that was received whole is not installed. The node stops: it has, or was sent,
/// events that others do not have.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the snapshot ends at revision {snapshot}, this node is at {present} already")]
    Backwards { snapshot: Revision, present: Revision },
    #[error(
        "at revision {revision} this node has the chain hash {present}, the snapshot has {snapshot}: \
         their events differ"
    )]
    Diverged { revision: Revision, present: Digest, snapshot: Digest },
}

impl Pointer {
    /// Checks that the events staged follow on those of this node, where they are to do so: it may
    /// have applied some itself since the first of them was sent.
    pub(crate) fn check(&self, core: &Core) -> io::Result<()> {
        let (history, revision, chain) = {
            let log = &core.tail().log;
            (log.history, log.revision, log.chain)
        };
        let Position { revision: last, chain: wanted, .. } = self.position;
        if revision > last {
            return Err(io::Error::other(Refusal::Backwards { snapshot: last, present: revision }));
        }
        if history != self.position.history {
            return Ok(());
        }
        if revision == last {
            if chain == wanted {
                return Ok(());
            }
            let refusal = Refusal::Diverged { revision, present: chain, snapshot: wanted };
            return Err(io::Error::other(refusal));
        }
        let next = revision.next();
        stored::for_each(&*core.database, history, revision, next, |next, event| {
            event.check(next, &chain).map(drop)
        })
    }

    /// The last log index of the snapshot, and the batch that flips to it.
    pub(crate) fn into_batch(self) -> (u64, Batch) {
        let mut batch = Batch::default();
        batch.insert(rows::POSITION_KEY, codec::encode(&self.position));
        self.members.write(&mut batch);
        (self.index, batch)
    }
}
