//! Receives a snapshot beside what is there.

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

/// Why a snapshot is not taken. Nothing of this node has changed; the sender may try again.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// Another one is being received.
    #[error("another snapshot is being received")]
    Busy,
    /// The parts do not make a whole.
    #[error("the snapshot is not whole: {0}")]
    NotWhole(&'static str),
    /// A row cannot be read.
    #[error("the snapshot has a row that cannot be read")]
    Row(#[from] RowError),
    /// An event cannot be read.
    #[error("the snapshot has an event that cannot be read")]
    Event(#[from] BrokenEvent),
    /// The events do not add up to the hashes in the head.
    #[error("the events of the snapshot do not add up to its hash at revision {revision}")]
    Chain {
        /// The first revision with another hash.
        revision: Revision,
    },
    /// The event before the first one sent is not on this node.
    #[error("the snapshot's events begin at {first}, this node's end at {end}")]
    Gap {
        /// The first event sent.
        first: Revision,
        /// The last event here.
        end: Revision,
    },
    /// This node is stopping.
    #[error("the snapshot cannot be stored")]
    Storage(#[from] io::Error),
}

/// A snapshot on its way in. Dropped, it leaves nothing that can be seen.
#[derive(Debug)]
pub struct Staging {
    head: Head,
    state: State,
    /// The key of the last row.
    last_key: Vec<u8>,
    rows_done: bool,
    /// The last event received, or the one before the first.
    revision: Revision,
    chain: Digest,
    staged: Staged,
}

/// Where a received snapshot is.
pub(crate) struct Staged {
    store: Store,
    /// Under which number its state rows are.
    pub(crate) epoch: u64,
    /// Under which number its events are: the present one where they go on from there, else the
    /// same number as that of the epoch.
    pub(crate) history: u64,
    /// Whether its rows are in use, and must stay.
    installed: std::sync::atomic::AtomicBool,
    /// Kept until it is installed or dropped: the next one may write the same keys.
    _turn: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Staged(epoch {}, history {})", self.epoch, self.history)
    }
}

impl Staged {
    pub(crate) fn keep(&self) {
        self.installed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if *self.installed.get_mut() {
            return;
        }
        // Events that were staged behind the present ones stay: they are overwritten before anything
        // points at them. Where the queue is full, the next start finds the rest.
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
    /// Begins to receive the snapshot that `head` tells of.
    ///
    /// # Errors
    /// If another one is being received, the head contradicts itself, or this node is stopping.
    pub fn stage(&self, head: Head) -> Result<Staging, StagingError> {
        self.core.check()?;
        let turn = self.core.staging.clone().try_acquire_owned();
        let turn = turn.map_err(|_| StagingError::Busy)?;
        if head.segments.len() as u64 != head.revision.0 / SEGMENT_EVENTS {
            return Err(StagingError::NotWhole("it has too few or too many segment hashes"));
        }
        if head.first_event == Revision(0) || head.first_event > head.revision.next() {
            return Err(StagingError::NotWhole("its first event is not one of its events"));
        }
        let staged = Staged {
            store: self.clone(),
            epoch: self.next_number(),
            history: self.core.tail().log.history,
            installed: false.into(),
            _turn: turn,
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
    /// Takes rows of the state, in key order. Returns once they are written.
    ///
    /// # Errors
    /// If they are not rows, are out of order, or cannot be written.
    pub async fn rows(&mut self, rows: Vec<StateRow>) -> Result<(), StagingError> {
        let mut batch = Batch::default();
        for (key, value) in rows {
            if self.rows_done || key <= self.last_key {
                return Err(StagingError::NotWhole("its rows are not in order"));
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

    /// With the header, the last row, it is known which events are trimmed, and so what the events
    /// to come must follow on.
    fn end_rows(&mut self, batch: &mut Batch) -> Result<(), StagingError> {
        self.rows_done = true;
        if self.state.header.revision != self.head.revision {
            return Err(StagingError::NotWhole("its state is of another revision"));
        }
        if self.state.header.trimmed > self.head.revision {
            return Err(StagingError::NotWhole("more events are trimmed than there were"));
        }
        let before = self.revision;
        let end = self.staged.store.core.tail().log.revision;
        let present = self.staged.store.core.chain_at(before).map_err(io::Error::other)?;
        let differs = self.head_chain(before).is_some_and(|theirs| present != Some(theirs));
        if before == trimmed_rows(self.state.header.trimmed) && (before != end || differs) {
            // All the events there are, though this node has others: they are damaged, or so old
            // that those in between are trimmed. Nothing of them is used any more.
            self.staged.history = self.staged.epoch;
            let segments = before.0 / SEGMENT_EVENTS;
            self.chain = self.head_chain(before).unwrap_or_default();
            for (segment, chain) in (0..segments).zip(self.head.segments.iter().copied()) {
                let key = rows::segment_key(self.staged.history, segment);
                batch.insert(key, codec::encode(&SegmentEnd { chain }));
            }
            return Ok(());
        }
        self.chain = present.ok_or(StagingError::Gap { first: before.next(), end })?;
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

    /// The chain hash that the head tells of `revision`, where it does.
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

    /// Takes stored records of events, in order, after all rows. Returns once they are written.
    ///
    /// # Errors
    /// If they are not the next events, do not add up to the head's hashes, or cannot be written.
    pub async fn events(&mut self, records: Vec<Bytes>) -> Result<(), StagingError> {
        if !self.rows_done {
            return Err(StagingError::NotWhole("its events come before the end of its rows"));
        }
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            let revision = self.revision.next();
            if revision > self.head.revision {
                return Err(StagingError::NotWhole("it has more events than its head says"));
            }
            decode_record(revision, &record)?;
            let event = StoredEvent::following(&self.chain, record.into());
            self.revision = revision;
            self.chain = event.chain();
            if self.head_chain(revision).is_some_and(|wanted| wanted != self.chain) {
                return Err(StagingError::Chain { revision });
            }
            events.push((revision, event));
        }
        self.write(Batch::default(), events).await
    }

    /// The received snapshot, ready to be handed to Raft, which has it installed. Nothing of it can
    /// be seen before that, and nothing is left of it if that does not happen.
    ///
    /// # Errors
    /// If something of it is missing.
    pub fn finish(self) -> Result<Snapshot, StagingError> {
        if !self.rows_done {
            return Err(StagingError::NotWhole("its rows end early"));
        }
        if self.revision != self.head.revision {
            return Err(StagingError::NotWhole("its events end early"));
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
