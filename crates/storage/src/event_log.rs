//! The event log of this node: its newest events in memory, with the hashes over all of them.
//!
//! Events are appended when their entry is applied, and can be read at once. The rows behind them
//! follow as soon as this node's own Raft log holds the entry durably; until then, and for a while
//! longer, they are kept here. Watchers are nearly always served from here.

use std::collections::VecDeque;

use bytes::Bytes;
use meridian_domain::{Digest, EventRecord, Revision};
use sha2::Digest as _;

use crate::codec::{self, DecodeError};
use crate::rows::{HASH_BYTES, SEGMENT_EVENTS};

pub mod stored;

/// Bytes of written events that stay in memory: some ten thousand events, more than a watcher that
/// keeps up is ever behind.
const CACHE_BYTES: usize = 4 << 20;

/// An event as rows have it: the stored record, then the chain hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent(Bytes);

/// A row of the event log is not what its key says.
#[derive(Debug, thiserror::Error)]
pub enum BrokenEvent {
    /// Too short for a record and a hash.
    #[error("event {revision} is cut short")]
    Short {
        /// The event that the key names.
        revision: Revision,
    },
    /// The record cannot be decoded.
    #[error("event {revision} cannot be read")]
    Record {
        /// The event that the key names.
        revision: Revision,
        /// Why.
        #[source]
        cause: DecodeError,
    },
    /// The record is of another event.
    #[error("event {found} stands in the place of event {revision}")]
    Misplaced {
        /// The event that the key names.
        revision: Revision,
        /// The event that the record is of.
        found: Revision,
    },
    /// The hash does not follow from the hash before and the record.
    #[error("the chain of events is broken at event {revision}: its hash should be {expected}")]
    Chain {
        /// The event.
        revision: Revision,
        /// What follows from the events.
        expected: Digest,
    },
    /// No row has it.
    #[error("event {revision} is missing")]
    Missing {
        /// The event.
        revision: Revision,
    },
}

impl From<BrokenEvent> for std::io::Error {
    fn from(error: BrokenEvent) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// The chain hash of the event whose stored record is `record` and that follows on `chain`.
#[must_use]
pub fn next_hash(chain: &Digest, record: &[u8]) -> Digest {
    let mut hasher = sha2::Sha256::new();
    hasher.update(chain.0);
    hasher.update(record);
    Digest(hasher.finalize().into())
}

impl StoredEvent {
    /// The event with this stored record, following on `chain`.
    #[must_use]
    pub fn following(chain: &Digest, mut record: Vec<u8>) -> Self {
        let hash = next_hash(chain, &record);
        record.reserve_exact(HASH_BYTES);
        record.extend_from_slice(&hash.0);
        Self(record.into())
    }

    /// The event in its stored form: the record, then the chain hash.
    #[must_use]
    pub fn row(&self) -> &[u8] {
        &self.0
    }

    /// The stored record.
    #[must_use]
    pub fn record(&self) -> Bytes {
        self.0.slice(..self.0.len() - HASH_BYTES)
    }

    /// The chain hash.
    #[must_use]
    pub fn chain(&self) -> Digest {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(&self.0[self.0.len() - HASH_BYTES..]);
        Digest(hash)
    }

    /// The event itself, which must be that of `revision`.
    ///
    /// # Errors
    /// If it cannot be decoded or is another one.
    pub fn decode(&self, revision: Revision) -> Result<EventRecord, BrokenEvent> {
        decode_record(revision, &self.record())
    }

    /// Checks that the hash follows on `before`, and returns it.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(&self, revision: Revision, before: &Digest) -> Result<Digest, BrokenEvent> {
        let expected = next_hash(before, &self.record());
        if self.chain() == expected {
            Ok(expected)
        } else {
            Err(BrokenEvent::Chain { revision, expected })
        }
    }
}

/// The event whose stored record this is, which must be that of `revision`.
///
/// # Errors
/// If it cannot be decoded or is another one.
pub fn decode_record(revision: Revision, record: &[u8]) -> Result<EventRecord, BrokenEvent> {
    let decoded: EventRecord =
        codec::decode(record).map_err(|cause| BrokenEvent::Record { revision, cause })?;
    if decoded.revision == revision {
        Ok(decoded)
    } else {
        Err(BrokenEvent::Misplaced { revision, found: decoded.revision })
    }
}

/// Where events are to be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// Here they are.
    Memory(Vec<StoredEvent>),
    /// In the database, under this history, up to and without this revision.
    Database(u64, Revision),
}

/// The event log as far as it is in memory.
#[derive(Debug)]
pub struct EventLog {
    /// Under which number its rows are.
    pub history: u64,
    /// The last event.
    pub revision: Revision,
    /// The chain hash of the last event.
    pub chain: Digest,
    /// The chain hash at the end of each complete segment, the first segment first.
    pub segments: Vec<Digest>,
    /// The last event that can no longer be read.
    pub trimmed: Revision,
    /// The newest events; the last of them is `revision`.
    recent: VecDeque<StoredEvent>,
    recent_bytes: usize,
    /// The last event whose row is in the database.
    written: Revision,
}

impl EventLog {
    /// A log all of whose events, up to `revision`, are in the database.
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

    /// Adds the next event.
    pub fn append(&mut self, record: &EventRecord) -> StoredEvent {
        debug_assert_eq!(record.revision, self.revision.next(), "events follow each other");
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

    /// The oldest event in memory, or the next one if there is none.
    fn first_recent(&self) -> Revision {
        Revision(self.revision.0 + 1 - self.recent.len() as u64)
    }

    /// Notes that the rows of all events up to `revision` are in the database, and forgets the
    /// oldest of those as far as memory is short.
    pub fn note_written(&mut self, revision: Revision) {
        self.written = self.written.max(revision);
        while self.recent_bytes > CACHE_BYTES && self.first_recent() <= self.written {
            let oldest = self.recent.pop_front();
            self.recent_bytes -= oldest.map_or(0, |event| event.row().len());
        }
    }

    /// The last event whose row is in the database.
    #[must_use]
    pub fn written(&self) -> Revision {
        self.written
    }

    /// Where to read up to `limit` events from `from` on.
    #[must_use]
    pub fn locate(&self, from: Revision, limit: usize) -> Place {
        let first = self.first_recent();
        if from < first {
            return Place::Database(self.history, first);
        }
        let skipped = usize::try_from(from.0 - first.0).unwrap_or(usize::MAX);
        Place::Memory(self.recent.iter().skip(skipped).take(limit).cloned().collect())
    }

    /// The chain hash at `revision`, where it can be said without the database.
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
            Place::Memory(events) => events.first().map(StoredEvent::chain),
            Place::Database(..) => None,
        }
    }
}

/// The chain hash that the first event of `segment` follows on. `segments` must reach that far.
#[must_use]
pub fn chain_before_segment(segments: &[Digest], segment: u64) -> Digest {
    match segment.checked_sub(1) {
        None => Digest::default(),
        Some(before) => segments[usize::try_from(before).expect("segments are held in memory")],
    }
}

/// The last event that is not kept where everything up to `trimmed` may go: only whole segments go,
/// so that the chain of what is left starts at a segment's hash.
#[must_use]
pub fn trimmed_rows(trimmed: Revision) -> Revision {
    Revision(trimmed.0 / SEGMENT_EVENTS * SEGMENT_EVENTS)
}
