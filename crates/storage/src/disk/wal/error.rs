//! Why a log is refused.

use std::io;
use std::path::PathBuf;

use crate::disk::durable::FileError;
use crate::disk::mark::MarkError;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// A record is damaged.
    #[error(
        "the record at offset {offset} of {} is damaged ({cause}); \
         wipe the data directory and join as a new node",
        path.display()
    )]
    Damaged {
        /// The chunk.
        path: PathBuf,
        /// Where the record begins in it, in bytes.
        offset: usize,
        /// What is wrong.
        cause: String,
    },
    /// raft-log refuses it.
    #[error(
        "the Raft log in {} cannot be opened; wipe the data directory and join as a new node",
        path.display()
    )]
    Refused {
        /// The folder of the chunks.
        path: PathBuf,
        /// What raft-log says, with chunk and offset.
        #[source]
        cause: io::Error,
    },
    /// Entries are missing in the middle, or at the beginning.
    #[error(
        "the Raft log in {} has a gap: index {missing} is missing, purged up to {}, the last is \
         {}; wipe the data directory and join as a new node",
        path.display(),
        purged.map_or("none".to_owned(), |index| index.to_string()),
        last.map_or("none".to_owned(), |index| index.to_string())
    )]
    Gap {
        /// The folder of the chunks.
        path: PathBuf,
        /// The first index that is not there.
        missing: u64,
        /// The last index that was purged.
        purged: Option<u64>,
        /// The last index.
        last: Option<u64>,
    },
    /// Something acknowledged is gone.
    #[error(
        "the Raft log in {} does not reach its mark: it ends with {found}, and {wanted} was \
         durable; acknowledged data is lost; wipe the data directory and join as a new node",
        path.display()
    )]
    BehindMark {
        /// The folder of the chunks.
        path: PathBuf,
        /// What the mark says.
        wanted: String,
        /// What the log has.
        found: String,
    },
    /// There is a log and no mark.
    #[error(
        "{} is missing, yet there is a Raft log in {}; wipe the data directory and join as a \
         new node",
        mark.display(), path.display()
    )]
    MarkMissing {
        /// The folder of the chunks.
        path: PathBuf,
        /// Where the mark should be.
        mark: PathBuf,
    },
    /// The mark cannot be used.
    #[error(transparent)]
    Mark(#[from] MarkError),
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}
