//! Snapshots: the state at one position of the log, with the chain hashes of the events up to
//! there.
//!
//! A snapshot is not stored: the rows of the derived store at the same position are its durable
//! form, so it counts as built only once these are synced. It is transferred as
//!
//! ```text
//! Head    description of the snapshot, and the first event that is transferred
//! rows    state rows in key order, the header last
//! events  those that the receiver is missing, in their stored form
//! ```
//!
//! The receiver first reports its last revision and chain hash. If the sender has the same hash at
//! that revision, only later events follow; otherwise all events that exist
//! ([`Store::first_missing`]).

use std::sync::Arc;

use meridian_domain::{Digest, Revision, State};
use meridian_ports::HistoryError;

use crate::event_log::trimmed_rows;
use crate::rows::{self, Key, Row};
use crate::store::Store;

pub mod install;
pub mod staging;

/// Approximate maximum size of the rows in one message in bytes: a message ends with the row that
/// reaches it, and a row is smaller than 64 KiB.
const MESSAGE_BYTES: usize = 192 << 10;

/// State at one position of the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    pub(crate) revision: Revision,
    pub(crate) chain: Digest,
    pub(crate) segments: Arc<[Digest]>,
    /// Staged rows and events, if the snapshot was received.
    pub(crate) staged: Option<Arc<staging::Staged>>,
}

/// Description of a snapshot: the first part of its transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Last event.
    pub revision: Revision,
    /// Chain hash over all events up to it.
    pub chain: Digest,
    /// Chain hash at the end of each complete segment of events, the first segment first.
    pub segments: Arc<[Digest]>,
    /// First event in the transfer; the one after `revision` if there is none.
    pub first_event: Revision,
}

/// State row: its key, without an epoch, and its stored form.
pub type StateRow = (Vec<u8>, Vec<u8>);

impl Snapshot {
    /// Returns the last event.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the description of the snapshot for a receiver whose events end before
    /// `first_event`.
    #[must_use]
    pub fn head(&self, first_event: Revision) -> Head {
        Head {
            revision: self.revision,
            chain: self.chain,
            segments: self.segments.clone(),
            first_event,
        }
    }

    /// Returns the state rows, in messages of at most 256 KiB.
    #[must_use]
    pub fn rows(&self) -> RowMessages {
        let mut keys: Vec<Key> = rows::keys(&self.state).collect();
        keys.reverse();
        RowMessages { state: self.state.clone(), keys }
    }
}

/// Iterator over the state rows of a snapshot, message by message.
#[derive(Debug)]
pub struct RowMessages {
    state: Arc<State>,
    /// Remaining keys in reverse order.
    keys: Vec<Key>,
}

impl Iterator for RowMessages {
    type Item = Vec<StateRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while bytes < MESSAGE_BYTES
            && let Some(key) = self.keys.pop()
        {
            let value = Row::of(&self.state, &key).value().unwrap_or_default();
            let key = key.bytes();
            bytes += key.len() + value.len();
            rows.push((key, value));
        }
        (!rows.is_empty()).then_some(rows)
    }
}

impl Store {
    /// Returns the first event to send with `snapshot` to a node whose last event and chain hash
    /// are `have`: the next one if the hash there is the same on this node, otherwise the oldest
    /// one that exists.
    ///
    /// # Errors
    /// If events of the snapshot were trimmed since it was made, so that a newer snapshot is
    /// needed, or if the event log cannot be read.
    pub fn first_missing(
        &self,
        snapshot: &Snapshot,
        have: (Revision, Digest),
    ) -> Result<Revision, HistoryError> {
        let (revision, chain) = have;
        if revision > snapshot.revision {
            return Ok(snapshot.revision.next());
        }
        let trimmed = trimmed_rows(snapshot.state.header.trimmed);
        if revision >= trimmed && self.core.chain_at(revision)? == Some(chain) {
            return Ok(revision.next());
        }
        let oldest = trimmed_rows(self.core.tail().log.trimmed).next();
        if oldest > trimmed.next() {
            return Err(HistoryError::Trimmed { from: trimmed.next(), oldest });
        }
        Ok(trimmed.next())
    }
}
