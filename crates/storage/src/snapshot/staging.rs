//! Staging of a received snapshot next to the current state.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use meridian_domain::{Digest, Revision, State};
use tokio::sync::OwnedSemaphorePermit;

use super::{Head, Snapshot, StateRow};
use crate::codec;
use crate::disk::database::Batch;
use crate::event_log::{BrokenEvent, StoredEvent, decode_record, trimmed_rows};
use crate::rows::position::SegmentEnd;
use crate::rows::{self, Row, RowError, SEGMENT_EVENTS};
use crate::store::Store;
use crate::store::incoming::Chunk;
use crate::store::writer::Job;

/// The snapshot is rejected. Nothing has changed on this node; the sender may retry.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// Another snapshot is being received.
    #[error("another snapshot is being received")]
    Busy,
    /// The parts of the snapshot are inconsistent or incomplete.
    #[error("invalid snapshot: {0}")]
    Invalid(&'static str),
    /// A row cannot be decoded.
    #[error("invalid row in the snapshot")]
    Row(#[from] RowError),
    /// An event cannot be decoded.
    #[error("invalid event in the snapshot")]
    Event(#[from] BrokenEvent),
    /// The events do not match the hashes in the head.
    #[error("chain hash mismatch in the snapshot at revision {revision}")]
    Chain {
        /// First revision with a different hash.
        revision: Revision,
    },
    /// The events of the snapshot do not continue those of this node.
    #[error("missing events: the snapshot starts at event {first}, this node ends at event {end}")]
    Gap {
        /// First event in the snapshot.
        first: Revision,
        /// Last event on this node.
        end: Revision,
    },
    /// The snapshot cannot be stored: this node is stopping.
    #[error("cannot store the snapshot")]
    Storage(#[from] io::Error),
}

/// Snapshot that is being received. Dropping it leaves nothing visible.
#[derive(Debug)]
pub struct Staging {
    head: Head,
    state: State,
    /// Key of the last row.
    last_key: Vec<u8>,
    rows_done: bool,
    /// Last received event, or the one before the first.
    revision: Revision,
    chain: Digest,
    staged: Staged,
}

/// Staged rows and events of a received snapshot.
pub(crate) struct Staged {
    store: Store,
    /// Epoch of its state rows.
    pub(crate) epoch: u64,
    /// History of its events: the current one if they continue it, otherwise the same number as the
    /// epoch.
    pub(crate) history: u64,
    /// Set when its rows are in use and must not be deleted.
    installed: std::sync::atomic::AtomicBool,
    /// Held until the snapshot is installed or dropped: the next one may write the same keys.
    _permit: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staged(epoch {}, history {})", self.epoch, self.history)
    }
}

impl Staged {
    pub(crate) fn mark_installed(&self) {
        self.installed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if *self.installed.get_mut() {
            return;
        }
        // Events that were staged after the current ones remain: they are overwritten before
        // anything refers to them. If the queue is full, the next start deletes the rest.
        let numbers = self.epoch..self.epoch + 1;
        let garbage = vec![
            rows::state_keys(numbers.clone()),
            rows::event_keys(numbers.clone()),
            rows::segment_keys(numbers),
        ];
        drop(self.store.jobs.try_send(Job::Sweep(garbage)));
    }
}

impl Store {
    /// Starts receiving the snapshot described by `head`.
    ///
    /// # Errors
    /// If another snapshot is being received, the head is inconsistent, or this node is stopping.
    pub fn stage(&self, head: Head) -> Result<Staging, StagingError> {
        self.core.fuse.check()?;
        let permit = self.core.staging.clone().try_acquire_owned();
        let permit = permit.map_err(|_| StagingError::Busy)?;
        if head.segments.len() as u64 != head.revision.0 / SEGMENT_EVENTS {
            return Err(StagingError::Invalid("wrong number of segment hashes"));
        }
        if head.first_event == Revision(0) || head.first_event > head.revision.next() {
            return Err(StagingError::Invalid("first event out of range"));
        }
        let staged = Staged {
            store: self.clone(),
            epoch: self.next_number(),
            history: self.core.tail().log.history,
            installed: false.into(),
            _permit: permit,
        };
        Ok(Staging {
            revision: Revision(head.first_event.0 - 1),
            chain: Digest::default(),
            head,
            state: State::default(),
            last_key: Vec::new(),
            rows_done: false,
            staged,
        })
    }
}

impl Staging {
    /// Adds state rows, in key order. Returns after they are written.
    ///
    /// # Errors
    /// If a row is invalid or out of order, or the rows cannot be written.
    pub async fn rows(&mut self, rows: Vec<StateRow>) -> Result<(), StagingError> {
        let mut batch = Batch::default();
        for (key, value) in rows {
            if self.rows_done || key <= self.last_key {
                return Err(StagingError::Invalid("rows out of order"));
            }
            let row = Row::decode(&key, &value)?;
            let done = matches!(row, Row::Header(_));
            row.put(&mut self.state);
            batch.insert(rows::state_key(self.staged.epoch, &key), value);
            self.last_key = key;
            if done {
                self.end_rows(&mut batch)?;
            }
        }
        self.write(batch, Vec::new()).await
    }

    /// Completes the rows. The header, which is the last row, states which events are trimmed, and
    /// therefore which hash the following events must continue.
    fn end_rows(&mut self, batch: &mut Batch) -> Result<(), StagingError> {
        self.rows_done = true;
        if self.state.header.revision != self.head.revision {
            return Err(StagingError::Invalid("revision mismatch between the state and the head"));
        }
        if self.state.header.trimmed > self.head.revision {
            return Err(StagingError::Invalid("more events are trimmed than exist"));
        }
        let before = self.revision;
        let end = self.staged.store.core.tail().log.revision;
        let own = self.staged.store.core.chain_at(before).map_err(io::Error::other)?;
        let differs = self.head_chain(before).is_some_and(|theirs| own != Some(theirs));
        if before == trimmed_rows(self.state.header.trimmed) && (before != end || differs) {
            // The snapshot has all events that exist, although this node has others: those are
            // damaged, or so old that the ones in between are trimmed. None of them is used
            // anymore.
            self.staged.history = self.staged.epoch;
            let segments = before.0 / SEGMENT_EVENTS;
            self.chain = self.head_chain(before).unwrap_or_default();
            for (segment, chain) in (0..segments).zip(self.head.segments.iter().copied()) {
                let key = rows::segment_key(self.staged.history, segment);
                batch.insert(key, codec::encode(&SegmentEnd { chain }));
            }
            return Ok(());
        }
        self.chain = own.ok_or(StagingError::Gap { first: before.next(), end })?;
        let log = &self.staged.store.core.tail().log;
        let segments = self.head.segments.iter().zip(&log.segments);
        let known = usize::try_from(before.0 / SEGMENT_EVENTS).unwrap_or(usize::MAX);
        match segments.take(known).position(|(theirs, ours)| theirs != ours) {
            Some(at) => {
                Err(StagingError::Chain { revision: Revision((at as u64 + 1) * SEGMENT_EVENTS) })
            }
            None => Ok(()),
        }
    }

    /// Returns the chain hash at `revision`, if the head contains it.
    fn head_chain(&self, revision: Revision) -> Option<Digest> {
        if revision == self.head.revision {
            return Some(self.head.chain);
        }
        let segment = usize::try_from(revision.0 / SEGMENT_EVENTS).unwrap_or(usize::MAX);
        match revision.0.is_multiple_of(SEGMENT_EVENTS) {
            true => segment.checked_sub(1).and_then(|last| self.head.segments.get(last)).copied(),
            false => None,
        }
    }

    /// Adds stored records of events, in order, after all rows. Returns after they are written.
    ///
    /// # Errors
    /// If the records are not the next events or do not match the hashes in the head, or cannot be
    /// written.
    pub async fn events(&mut self, records: Vec<Bytes>) -> Result<(), StagingError> {
        if !self.rows_done {
            return Err(StagingError::Invalid("events before the end of the rows"));
        }
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            let revision = self.revision.next();
            if revision > self.head.revision {
                return Err(StagingError::Invalid("more events than the head states"));
            }
            decode_record(revision, &record)?;
            let event = StoredEvent::following(&self.chain, record.into());
            self.revision = revision;
            self.chain = event.chain();
            if self.head_chain(revision).is_some_and(|expected| expected != self.chain) {
                return Err(StagingError::Chain { revision });
            }
            events.push((revision, event));
        }
        self.write(Batch::default(), events).await
    }

    /// Returns the received snapshot, ready to be passed to Raft, which installs it. Nothing of it
    /// is visible before that, and nothing of it remains if it is dropped instead.
    ///
    /// # Errors
    /// If the snapshot is incomplete.
    pub fn finish(self) -> Result<Snapshot, StagingError> {
        if !self.rows_done {
            return Err(StagingError::Invalid("incomplete rows"));
        }
        if self.revision != self.head.revision {
            return Err(StagingError::Invalid("incomplete events"));
        }
        if self.chain != self.head.chain {
            return Err(StagingError::Chain { revision: self.revision });
        }
        Ok(Snapshot {
            state: Arc::new(self.state),
            revision: self.head.revision,
            chain: self.head.chain,
            segments: self.head.segments,
            staged: Some(Arc::new(self.staged)),
        })
    }

    async fn write(
        &self,
        rows: Batch,
        events: Vec<(Revision, StoredEvent)>,
    ) -> Result<(), StagingError> {
        let chunk = Chunk { history: self.staged.history, rows, events };
        Ok(self.staged.store.request(|reply| Job::Stage { chunk, reply }).await?)
    }
}
