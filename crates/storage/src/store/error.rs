//! Errors of opening the derived store.

use std::io;

use meridian_domain::Revision;

use crate::codec::DecodeError;
use crate::event_log::BrokenEvent;
use crate::rows::position::InvalidMembership;
use crate::rows::{self, RowError};

/// The derived store cannot be opened. Nothing is repaired: its content is restored from the Raft
/// log or from other nodes.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database returned an error.
    #[error("cannot read the derived store")]
    Database(#[from] io::Error),
    /// The format was written by newer software, or before the first release.
    #[error("the derived store has format {found}; only format {} is supported", rows::FORMAT)]
    UnsupportedFormat {
        /// Format of the store.
        found: u32,
    },
    /// A metadata row cannot be decoded.
    #[error("cannot decode {row} of the derived store")]
    Single {
        /// Row.
        row: &'static str,
        /// Cause.
        #[source]
        cause: DecodeError,
    },
    /// The membership is invalid.
    #[error("the derived store is damaged")]
    Membership(#[from] InvalidMembership),
    /// A state row cannot be decoded.
    #[error("cannot decode a state row of the derived store")]
    Row(#[from] RowError),
    /// State rows are missing, or there are too many.
    #[error(
        "the derived store is damaged: expected {expected} state rows at revision \
         {expected_revision}, found {found} at revision {revision}"
    )]
    Incomplete {
        /// Number of state rows found.
        found: u64,
        /// Revision in the header of the state.
        revision: Revision,
        /// Number of state rows in the position.
        expected: u64,
        /// Revision in the position.
        expected_revision: Revision,
    },
    /// A row is intact but its content is invalid.
    #[error("the derived store is damaged: invalid {what}")]
    Invalid {
        /// Invalid content.
        what: &'static str,
    },
    /// The hash of a segment is missing, or is not that of its last event.
    #[error(
        "the derived store is damaged: the hash of event segment {segment} is missing or wrong"
    )]
    Segment {
        /// Number of the segment, from 0.
        segment: u64,
    },
    /// An event is missing, damaged, or does not match the others.
    #[error("the derived store is damaged")]
    Event(#[from] BrokenEvent),
}
