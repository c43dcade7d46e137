//! Event log of this node: its newest events in memory, with the chain hashes of all events.
//!
//! Events are appended when their entry is applied, and are readable immediately. Their rows are
//! written as soon as the node's own Raft log holds the entry durably. Events stay in memory until
//! then and for a while after, so nearly all watches are served from memory.

use std::collections::VecDeque;

use bytes::Bytes;
use meridian_domain::{Digest, EventRecord, Revision};
use sha2::Digest as _;

use crate::codec::{self, DecodeError};
use crate::rows::{self, HASH_BYTES, KeyRange, SEGMENT_EVENTS};

pub mod stored;

/// Maximum size in bytes of the written events that stay in memory: about ten thousand events, more
/// than a watcher that keeps up is ever behind.
const CACHE_BYTES: usize = 4 << 20;

/// Event in its stored form: the stored record, then the chain hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent(Bytes);

/// A row of the event log does not match its key.
#[derive(Debug, thiserror::Error)]
pub enum BrokenEvent {
    /// The row is too short for a record and a hash.
    #[error("the row of event {revision} is truncated")]
    Short {
        /// Event named by the key.
        revision: Revision,
    },
    /// The record cannot be decoded.
    #[error("cannot decode event {revision}")]
    Record {
        /// Event named by the key.
        revision: Revision,
        /// Cause.
        #[source]
        cause: DecodeError,
    },
    /// The record is that of another event.
    #[error("event {found} found in place of event {revision}")]
    Misplaced {
        /// Event named by the key.
        revision: Revision,
        /// Event of the record.
        found: Revision,
    },
    /// The hash does not match the previous hash and the record.
    #[error("chain hash mismatch at event {revision}: expected {expected}")]
    Chain {
        /// Event with the wrong hash.
        revision: Revision,
        /// Hash computed from the events.
        expected: Digest,
    },
    /// No row contains the event.
    #[error("event {revision} is missing")]
    Missing {
        /// Missing event.
        revision: Revision,
    },
}

impl From<BrokenEvent> for std::io::Error {
    fn from(error: BrokenEvent) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Returns the chain hash of the event with the stored record `record` that follows the chain hash
/// `chain`.
#[must_use]
pub fn next_hash(chain: &Digest, record: &[u8]) -> Digest {
    let mut hasher = sha2::Sha256::new();
    hasher.update(chain.0);
    hasher.update(record);
    Digest(hasher.finalize().into())
}

impl StoredEvent {
    /// Creates the event with this stored record that follows the chain hash `chain`.
    #[must_use]
    pub fn following(chain: &Digest, mut record: Vec<u8>) -> Self {
        let hash = next_hash(chain, &record);
        record.reserve_exact(HASH_BYTES);
        record.extend_from_slice(&hash.0);
        Self(record.into())
    }

    /// Returns the stored form: the record, then the chain hash.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.0
    }

    /// Returns the stored record.
    #[must_use]
    pub fn record(&self) -> Bytes {
        self.0.slice(..self.0.len() - HASH_BYTES)
    }

    /// Returns the chain hash.
    #[must_use]
    pub fn chain(&self) -> Digest {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&self.0[self.0.len() - HASH_BYTES..]);
        Digest(hash)
    }

    /// Decodes the event, which must be that of `revision`.
    ///
    /// # Errors
    /// If the record cannot be decoded or is that of another event.
    pub fn decode(&self, revision: Revision) -> Result<EventRecord, BrokenEvent> {
        decode_record(revision, &self.record())
    }

    /// Checks that the hash follows the chain hash `before`, and returns it.
    ///
    /// # Errors
    /// If the hash does not match.
    pub fn check(&self, revision: Revision, before: &Digest) -> Result<Digest, BrokenEvent> {
        let expected = next_hash(before, &self.record());
        if self.chain() == expected {
            Ok(expected)
        } else {
            Err(BrokenEvent::Chain { revision, expected })
        }
    }
}

/// Decodes a stored record, which must be that of `revision`.
///
/// # Errors
/// If the record cannot be decoded or is that of another event.
pub fn decode_record(revision: Revision, record: &[u8]) -> Result<EventRecord, BrokenEvent> {
    let decoded: EventRecord =
        codec::decode(record).map_err(|cause| BrokenEvent::Record { revision, cause })?;
    if decoded.revision == revision {
        Ok(decoded)
    } else {
        Err(BrokenEvent::Misplaced { revision, found: decoded.revision })
    }
}

/// Source to read events from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// Events in memory.
    Memory(Vec<StoredEvent>),
    /// Events in the database, with this history, before this revision.
    Database(u64, Revision),
}

/// In-memory part of the event log.
#[derive(Debug)]
pub struct EventLog {
    /// History of its rows.
    pub history: u64,
    /// Last event.
    pub revision: Revision,
    /// Chain hash of the last event.
    pub chain: Digest,
    /// Chain hash at the end of each complete segment, the first segment first.
    pub segments: Vec<Digest>,
    /// Last event that can no longer be read.
    pub trimmed: Revision,
    /// Newest events, up to `revision`.
    recent: VecDeque<StoredEvent>,
    recent_bytes: usize,
    /// Last event whose row is in the database.
    written: Revision,
}

impl EventLog {
    /// Creates a log whose events, up to `revision`, are all in the database.
    #[must_use]
    pub fn stored(history: u64, revision: Revision, chain: Digest, segments: Vec<Digest>) -> Self {
        Self {
            history,
            revision,
            chain,
            segments,
            trimmed: Revision(0),
            recent: VecDeque::new(),
            recent_bytes: 0,
            written: revision,
        }
    }

    /// Appends the next event.
    pub fn append(&mut self, record: &EventRecord) -> StoredEvent {
        debug_assert_eq!(record.revision, self.revision.next(), "events are contiguous");
        let event = StoredEvent::following(&self.chain, codec::encode(record));
        self.chain = event.chain();
        self.revision = record.revision;
        if self.revision.0.is_multiple_of(SEGMENT_EVENTS) {
            self.segments.push(self.chain);
        }
        self.recent_bytes += event.row().len();
        self.recent.push_back(event.clone());
        event
    }

    /// Returns the oldest event in memory, or the next event if there is none.
    fn first_recent(&self) -> Revision {
        Revision(self.revision.0 + 1 - self.recent.len() as u64)
    }

    /// Records that the rows of all events up to `revision` are in the database, and evicts the
    /// oldest of these events while the cache is over its limit.
    pub fn mark_written(&mut self, revision: Revision) {
        self.written = self.written.max(revision);
        while self.recent_bytes > CACHE_BYTES && self.first_recent() <= self.written {
            let oldest = self.recent.pop_front();
            self.recent_bytes -= oldest.map_or(0, |event| event.row().len());
        }
    }

    /// Returns the last event whose row is in the database.
    #[must_use]
    pub fn written(&self) -> Revision {
        self.written
    }

    /// Returns the source of up to `limit` events from `from` on.
    #[must_use]
    pub fn locate(&self, from: Revision, limit: usize) -> Source {
        let first = self.first_recent();
        if from < first {
            return Source::Database(self.history, first);
        }
        let skipped = usize::try_from(from.0 - first.0).unwrap_or(usize::MAX);
        Source::Memory(self.recent.iter().skip(skipped).take(limit).cloned().collect())
    }

    /// Returns the chain hash at `revision`, if it is known without reading the database.
    #[must_use]
    pub fn chain_at(&self, revision: Revision) -> Option<Digest> {
        if revision == self.revision {
            return Some(self.chain);
        }
        if revision > self.revision {
            return None;
        }
        if revision.0.is_multiple_of(SEGMENT_EVENTS) {
            return Some(chain_before_segment(&self.segments, revision.0 / SEGMENT_EVENTS));
        }
        match self.locate(revision, 1) {
            Source::Memory(events) => events.first().map(StoredEvent::chain),
            Source::Database(..) => None,
        }
    }
}

/// Returns the chain hash that the first event of `segment` follows. `segments` must contain the
/// segment before it.
#[must_use]
pub fn chain_before_segment(segments: &[Digest], segment: u64) -> Digest {
    match segment.checked_sub(1) {
        None => Digest::default(),
        Some(before) => segments[usize::try_from(before).expect("segments are held in memory")],
    }
}

/// Returns the last event whose row may be removed if everything up to `trimmed` may. Only whole
/// segments are removed, so that the chain of the remaining events starts at a segment hash.
#[must_use]
pub fn trimmed_rows(trimmed: Revision) -> Revision {
    Revision(trimmed.0 / SEGMENT_EVENTS * SEGMENT_EVENTS)
}

/// Returns the keys of the event rows that may be removed if everything up to `trimmed` may: those
/// of earlier histories, and those of `history` up to [`trimmed_rows`].
#[must_use]
pub fn removable_keys(history: u64, trimmed: Revision) -> KeyRange {
    let first_kept = rows::event_key(history, trimmed_rows(trimmed).next());
    rows::event_keys(0..u64::MAX).start..first_kept
}
