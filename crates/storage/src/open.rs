//! Opens what a node has on disk, and checks that its parts are of one whole before any is used.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::disk::database::Database;
use crate::disk::directory::{DataDirectory, Identity};
use crate::disk::durable::is_remediable;
use crate::disk::journal::Journal;
use crate::disk::sled_database::{self, SledDatabase};
use crate::disk::wal::{ChunkLimits, Wal, WalError};
use crate::fuse::Fuse;
use crate::log_store::LogStore;
use crate::state_machine::StateMachine;
use crate::store::{self, LogGap, Store};

/// Stores of a node, opened and verified.
pub struct Stores {
    /// The Raft log and the vote.
    pub log: LogStore,
    /// Applies committed entries to `store`.
    pub state_machine: StateMachine,
    /// The state and the events that the applied entries add up to.
    pub store: Store,
}

/// Why a node's data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The Raft log is damaged, or cannot be read.
    #[error(transparent)]
    Log(#[from] WalError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] sled_database::OpenError),
    /// The derived store is damaged, cannot be read, or does not meet the Raft log.
    #[error(
        "what is in {} cannot be used; unless newer software wrote it, wipe the data directory and \
         join as a new node",
        path.display()
    )]
    Derived {
        /// The folder of the database.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: AssembleError,
    },
    /// The operating system refused what the derived store asked of it; nothing is wrong with it.
    #[error("what is in {} cannot be used at present", path.display())]
    Hindered {
        /// The folder of the database.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: AssembleError,
    },
}

impl OpenError {
    fn of_derived(path: PathBuf, cause: AssembleError) -> Self {
        match &cause {
            AssembleError::Store(store::OpenError::Database(error)) if is_remediable(error) => {
                Self::Hindered { path, cause }
            }
            AssembleError::Store(_) | AssembleError::Gap(_) => Self::Derived { path, cause },
        }
    }
}

/// Why opened parts are not put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The derived store is damaged, or cannot be read.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// It and the Raft log are whole and do not meet.
    #[error(transparent)]
    Gap(#[from] LogGap),
}

/// Opens the stores in `directory`, whose identity is `identity`. Blocks while it reads; to be called
/// within a tokio runtime.
///
/// # Errors
/// If the data is damaged or incomplete: nothing is repaired here, and the error says which way leads
/// back.
pub fn open(
    directory: &DataDirectory,
    identity: Identity,
    fuse: &Fuse,
) -> Result<Stores, OpenError> {
    open_with(directory, identity, ChunkLimits::default(), fuse)
}

/// As [`open`], with a log that is cut into files otherwise.
///
/// # Errors
/// As those of [`open`].
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

/// Puts opened stores together, whatever they are kept on.
///
/// # Errors
/// If they are damaged or do not meet.
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
    Ok(Stores { log, state_machine, store })
}
