//! Snapshots: the state at one place of the log, with the hashes of the events up to there.
//!
//! A snapshot is nothing on the disk: the rows of the derived store at the same place are its durable
//! form, which is why it counts as built only once those are synced. Sent, it is
//!
//! ```text
//! Head    what the snapshot is of, and the first event that follows
//! rows    of the state, in key order, the header last
//! events  those that the receiver lacks, in their stored form
//! ```
//!
//! The receiver says first which revision and chain hash it has. Where the sender has the same hash
//! there, only later events follow; else all that there are ([`Store::first_missing`]).

use std::sync::Arc;

use meridian_domain::{Digest, Revision, State};
use meridian_ports::HistoryError;

use crate::event_log::trimmed_rows;
use crate::rows::{self, Key, Row};
use crate::store::Store;

pub mod install;
pub mod staging;

/// Bytes of rows in one message, about: a message is closed by the row that reaches it, and a row
/// is smaller than 64 KiB.
const MESSAGE_BYTES: usize = 192 << 10;

/// The state at one place of the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(crate) state: Arc<State>,
    pub(crate) revision: Revision,
    pub(crate) chain: Digest,
    pub(crate) segments: Arc<[Digest]>,
    /// Where its rows and events are, if it was received.
    pub(crate) staged: Option<Arc<staging::Staged>>,
}

/// What a snapshot is of: the first part of its transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The last event.
    pub revision: Revision,
    /// The hash over all events up to it.
    pub chain: Digest,
    /// The hash at the end of each complete segment of events, the first segment first.
    pub segments: Arc<[Digest]>,
    /// The first event that follows in the transfer; that after `revision` if none does.
    pub first_event: Revision,
}

/// A row of the state: its key, without an epoch, and its stored form.
pub type StateRow = (Vec<u8>, Vec<u8>);

impl Snapshot {
    /// The last event.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What the snapshot is of, sent to a receiver whose events end before `first_event`.
    #[must_use]
    pub fn head(&self, first_event: Revision) -> Head {
        Head {
            revision: self.revision,
            chain: self.chain,
            segments: self.segments.clone(),
            first_event,
        }
    }

    /// The rows of the state, in messages of at most 256 KiB.
    #[must_use]
    pub fn rows(&self) -> RowMessages {
        let mut keys: Vec<Key> = rows::keys(&self.state).collect();
        keys.reverse();
        RowMessages { state: self.state.clone(), keys }
    }
}

/// The rows of a snapshot, message by message.
#[derive(Debug)]
pub struct RowMessages {
    state: Arc<State>,
    /// Those to come, the next one last.
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
    /// The first event to send with `snapshot` to a node whose last event and chain hash are `have`:
    /// the next one where the hash there is this node's too, else the oldest there is.
    ///
    /// # Errors
    /// If the snapshot's events have been trimmed since it was made, so that another one is needed,
    /// or the event log cannot be read.
    pub fn first_missing(
        &self,
        snapshot: &Snapshot,
        have: (Revision, Digest),
    ) -> Result<Revision, HistoryError> {
        let (revision, chain) = have;
        if revision > snapshot.revision {
            return Ok(snapshot.revision.next());
        }
        let kept_after = trimmed_rows(snapshot.state.header.trimmed);
        if revision >= kept_after && self.core.chain_at(revision)? == Some(chain) {
            return Ok(revision.next());
        }
        let oldest = trimmed_rows(self.core.tail().log.trimmed).next();
        if oldest > kept_after.next() {
            return Err(HistoryError::Trimmed { from: kept_after.next(), oldest });
        }
        Ok(kept_after.next())
    }
}
