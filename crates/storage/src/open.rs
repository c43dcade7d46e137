//! Opens the stores of a node, and verifies that they belong together before any of them is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::codec;
use crate::disk::database::Database;
use crate::disk::directory::{DataDirectory, Identity};
use crate::disk::is_remediable;
use crate::disk::journal::Journal;
use crate::disk::sled_database::{self, SledDatabase};
use crate::disk::wal::{ChunkLimits, Wal, WalError};
use crate::fuse::Fuse;
use crate::log_store::LogStore;
use crate::rows;
use crate::state_machine::StateMachine;
use crate::store::{self, LogGap, Store};

/// Stores of a node, opened and verified.
pub struct Stores {
    /// Raft log and vote.
    pub log: LogStore,
    /// Applies committed entries to `store`.
    pub state_machine: StateMachine,
    /// State and event log.
    pub store: Store,
}

/// The data of a node cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The Raft log is damaged or cannot be read.
    #[error(transparent)]
    Log(#[from] WalError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] sled_database::OpenError),
    /// The derived store was written by newer software.
    #[error("the data in {} was written by newer software", path.display())]
    Unsupported {
        /// Directory of the database.
        path: PathBuf,
        /// Cause.
        #[source]
        cause: AssembleError,
    },
    /// The derived store is damaged, cannot be read, or does not match the Raft log.
    #[error(
        "cannot use the data in {}; unless newer software wrote it, wipe the data directory and \
         join as a new node",
        path.display()
    )]
    Derived {
        /// Directory of the database.
        path: PathBuf,
        /// Cause.
        #[source]
        cause: AssembleError,
    },
    /// The operating system failed an operation of the derived store. Its data is not the cause.
    #[error("cannot access the data in {}; fix the cause and start the agent again", path.display())]
    Unavailable {
        /// Directory of the database.
        path: PathBuf,
        /// Cause.
        #[source]
        cause: AssembleError,
    },
}

impl OpenError {
    fn of_derived(path: PathBuf, cause: AssembleError) -> Self {
        match &cause {
            AssembleError::Store(store::OpenError::Database(error)) if is_remediable(error) => {
                Self::Unavailable { path, cause }
            }
            AssembleError::Store(store::OpenError::UnsupportedFormat { found })
                if *found > rows::FORMAT =>
            {
                Self::Unsupported { path, cause }
            }
            AssembleError::Store(_) if codec::is_newer(&cause) => Self::Unsupported { path, cause },
            AssembleError::Store(_) | AssembleError::Gap(_) => Self::Derived { path, cause },
        }
    }
}

/// The opened stores cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The derived store is damaged or cannot be read.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The derived store and the Raft log are both intact, but entries between them are missing.
    #[error(transparent)]
    Gap(#[from] LogGap),
}

/// Opens the stores in `directory`, which belongs to `identity`. Reads all of the state and blocks
/// while doing so. Must be called within a tokio runtime.
///
/// # Errors
/// If the data is damaged or incomplete. Nothing is repaired; the error states how to recover.
pub fn open(
    directory: &DataDirectory,
    identity: Identity,
    fuse: &Fuse,
) -> Result<Stores, OpenError> {
    open_with(directory, identity, ChunkLimits::default(), fuse)
}

/// Opens the stores like [`open`], with custom limits for the files of the Raft log.
///
/// # Errors
/// Same as [`open`].
pub fn open_with(
    directory: &DataDirectory,
    identity: Identity,
    limits: ChunkLimits,
    fuse: &Fuse,
) -> Result<Stores, OpenError> {
    let journal = Wal::open(directory, identity, limits, fuse.clone())?;
    let path = directory.database_path();
    let database = SledDatabase::open(&path, fuse.clone())?;
    assemble(Box::new(journal), Arc::new(database), fuse)
        .map_err(|cause| OpenError::of_derived(path, cause))
}

/// Assembles opened stores, on any implementation of [`Journal`] and [`Database`].
///
/// # Errors
/// If the derived store is damaged, or does not match the log.
pub fn assemble(
    journal: Box<dyn Journal>,
    database: Arc<dyn Database>,
    fuse: &Fuse,
) -> Result<Stores, AssembleError> {
    let bounds = journal.bounds();
    let synced = Arc::new(AtomicU64::new(0));
    let log = LogStore::new(journal, fuse.clone(), synced.clone());
    let (store, state_machine) = Store::open(database, log.flushed(), synced, fuse.clone())?;
    let first = bounds.purged.map_or(0, |purged| purged.index + 1);
    store.verify_against_log(first, bounds.last.map(|last| last.index))?;
    store.verify_end_of_log(bounds.last)?;
    Ok(Stores { log, state_machine, store })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::DecodeError;

    #[test]
    fn a_derived_store_of_newer_software_is_not_to_be_wiped() {
        let cause = DecodeError::Newer { name: "position", supported: 2, found: 3 };
        for error in [
            store::OpenError::UnsupportedFormat { found: rows::FORMAT + 1 },
            store::OpenError::Single { row: "the position", cause },
        ] {
            let error = OpenError::of_derived("database".into(), error.into());
            assert!(matches!(error, OpenError::Unsupported { .. }), "{error}");
        }
        let older = store::OpenError::UnsupportedFormat { found: rows::FORMAT - 1 };
        let error = OpenError::of_derived("database".into(), older.into());
        assert!(matches!(error, OpenError::Derived { .. }), "{error}");
    }
}
