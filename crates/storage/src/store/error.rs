//! What can be wrong with a derived store that is to be opened.

use std::io;

use meridian_domain::Revision;

use crate::codec::DecodeError;
use crate::event_log::BrokenEvent;
use crate::rows::position::NotAMembership;
use crate::rows::{self, RowError};

/// Why a derived store is not opened. Nothing is repaired: what it held comes back from the Raft
/// log or from other nodes.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database failed.
    #[error("the derived store cannot be read")]
    Database(#[from] io::Error),
    /// Written by newer software, or before the first release.
    #[error("the derived store has format {found}; this software reads {} alone", rows::FORMAT)]
    OtherFormat {
        /// Its format.
        found: u32,
    },
    /// A single row cannot be read.
    #[error("the derived store is damaged: {what}")]
    Single {
        /// Which row.
        what: &'static str,
        /// Why.
        #[source]
        cause: DecodeError,
    },
    /// The membership makes no sense.
    #[error("the derived store is damaged")]
    Membership(#[from] NotAMembership),
    /// A row of the state cannot be read.
    #[error("the derived store is damaged")]
    Row(#[from] RowError),
    /// Rows of the state are missing, or there are too many.
    #[error(
        "the derived store is damaged: it has {found} state rows at revision {revision}, \
         and its position says {wanted} at revision {wanted_revision}"
    )]
    Incomplete {
        /// Rows found.
        found: u64,
        /// The revision in the state's header.
        revision: Revision,
        /// Rows that the position tells of.
        wanted: u64,
        /// Its revision.
        wanted_revision: Revision,
    },
    /// A row is whole, and what it says cannot be.
    #[error("the derived store is damaged: {what} cannot be")]
    Impossible {
        /// What cannot be.
        what: &'static str,
    },
    /// A segment's hash is missing, or is not that of its last event.
    #[error(
        "the derived store is damaged: the hash of event segment {segment} is missing or wrong"
    )]
    Segment {
        /// The segment's number, from 0.
        segment: u64,
    },
    /// An event is missing, damaged, or does not fit the others.
    #[error("the derived store is damaged")]
    Event(#[from] BrokenEvent),
}
