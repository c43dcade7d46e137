//! Errors of opening the Raft log.

use std::io;
use std::path::PathBuf;

use crate::disk::mark::MarkError;
use meridian_durable::FileError;

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// A record is damaged.
    #[error(
        "{} is damaged: record at offset {offset}: {cause}; \
         wipe the data directory and join as a new node",
        path.display()
    )]
    Damaged {
        /// File of the chunk.
        path: PathBuf,
        /// Offset of the record in the file, in bytes.
        offset: usize,
        /// Cause.
        cause: String,
    },
    /// raft-log cannot open or read the log.
    #[error(
        "cannot open the Raft log in {}; wipe the data directory and join as a new node",
        path.display()
    )]
    RaftLog {
        /// Directory of the chunks.
        path: PathBuf,
        /// Error of raft-log, with chunk and offset.
        #[source]
        cause: io::Error,
    },
    /// A record was written by newer software.
    #[error("{} was written by newer software", path.display())]
    Unsupported {
        /// File of the chunk.
        path: PathBuf,
        /// Cause and next step.
        #[source]
        cause: io::Error,
    },
    /// Entries are missing in the middle or at the start.
    #[error(
        "the Raft log in {} has a gap: index {missing} is missing, last purged index {}, \
         last index {}; wipe the data directory and join as a new node",
        path.display(),
        purged.map_or("none".to_owned(), |index| index.to_string()),
        last.map_or("none".to_owned(), |index| index.to_string())
    )]
    Gap {
        /// Directory of the chunks.
        path: PathBuf,
        /// First missing index.
        missing: u64,
        /// Last purged index.
        purged: Option<u64>,
        /// Last index.
        last: Option<u64>,
    },
    /// Acknowledged data is missing.
    #[error(
        "the Raft log in {} does not reach its mark: acknowledged data is lost: expected \
         {expected}, found {found}; wipe the data directory and join as a new node",
        path.display()
    )]
    BehindMark {
        /// Directory of the chunks.
        path: PathBuf,
        /// Vote or entry in the mark.
        expected: String,
        /// Vote or entry found in the log.
        found: String,
    },
    /// The log exists but its mark does not.
    #[error(
        "{} is missing although {} exists; wipe the data directory and join as a new node",
        mark.display(), path.display()
    )]
    MarkMissing {
        /// Directory of the chunks.
        path: PathBuf,
        /// Path of the missing mark.
        mark: PathBuf,
    },
    /// The mark cannot be used.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The operating system returned an error.
    #[error(transparent)]
    File(#[from] FileError),
}
