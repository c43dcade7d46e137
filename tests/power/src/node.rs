//! The stores of one node, opened as `meridian_storage::open` does, or with a log whose files
//! are small enough that purging removes some.

use std::path::Path;

use anyhow::{Context as _, Result};
use futures::stream;
use meridian_domain::ClusterId;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError, Identity};
use meridian_storage::disk::wal::ChunkLimits;
use meridian_storage::fuse::Fuse;
use meridian_storage::open::Stores;
use meridian_storage::open::{self, OpenError};
use meridian_storage::raft::TypeConfig;
use openraft::RaftLogReader as _;
use openraft::alias::EntryOf;
use openraft::storage::RaftStateMachine as _;
use uuid::Uuid;

use crate::workload::NODE;

/// A few entries fill a file.
const SMALL: ChunkLimits = ChunkLimits { bytes: 1 << 20, records: 8 };

/// How large the files of the log are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// As agents have them.
    Roomy,
    /// Some entries.
    Small,
}

/// A node's open stores.
pub struct Node {
    /// The stores.
    pub stores: Stores,
    /// What blows when one of them fails.
    pub fuse: Fuse,
    // Behind the stores: the lock goes last.
    _directory: DataDirectory,
}

/// Why a directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The directory is refused.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// What is in it is refused.
    #[error(transparent)]
    Stores(#[from] OpenError),
}

/// Whose directory it is.
#[must_use]
pub fn identity() -> Identity {
    Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NODE }
}

/// Takes a data directory, and gives it its identity if it has none.
///
/// # Errors
/// If it is refused.
pub fn establish(path: &Path) -> Result<DataDirectory, Refusal> {
    let mut directory = DataDirectory::open(path)?;
    directory.establish(identity())?;
    Ok(directory)
}

impl Node {
    /// Opens the stores.
    ///
    /// # Errors
    /// If they are refused.
    pub fn open(directory: DataDirectory, chunks: Chunks) -> Result<Self, Refusal> {
        let fuse = Fuse::default();
        let stores = match chunks {
            Chunks::Roomy => open::open(&directory, identity(), &fuse)?,
            Chunks::Small => open::open_with(&directory, identity(), SMALL, &fuse)?,
        };
        Ok(Self { stores, fuse, _directory: directory })
    }

    /// Applies what the log has behind what is applied, up to `last`, as openraft does after a
    /// start and whenever entries are committed.
    ///
    /// # Errors
    /// If the log has them not, or they cannot be applied.
    pub async fn apply_through(&mut self, last: u64) -> Result<()> {
        let (applied, _) = self.stores.state_machine.applied_state().await?;
        let first = applied.map_or(0, |applied| applied.index + 1);
        if first > last {
            return Ok(());
        }
        let entries = self.stores.log.try_get_log_entries(first..=last).await?;
        let ends_at = entries.last().map(|entry| entry.log_id.index);
        anyhow::ensure!(ends_at == Some(last), "the log has no entries from {first} to {last}");
        let entries = entries.into_iter().map(|entry: EntryOf<TypeConfig>| Ok((entry, None)));
        let applied = self.stores.state_machine.apply(stream::iter(entries)).await;
        applied.with_context(|| format!("cannot apply entries from {first} to {last}"))
    }

    /// Closes both stores, the log first. All is durable then; that they are dropped later changes
    /// nothing.
    ///
    /// # Errors
    /// If the end of either may not be durable.
    pub async fn close(&self) -> Result<()> {
        self.stores.log.close()?;
        Ok(self.stores.store.close().await?)
    }
}
