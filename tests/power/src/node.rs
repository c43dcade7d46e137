//! The stores of one node, opened as by `meridian_storage::open`, or with log files so small
//! that a purge removes some.

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

/// A file is full after a few entries.
const SMALL: ChunkLimits = ChunkLimits { bytes: 1 << 20, records: 8 };

/// Size of the log files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    /// The default of agents.
    Default,
    /// A few entries per file.
    Small,
}

/// The open stores of a node.
pub struct Node {
    /// The stores.
    pub stores: Stores,
    /// Blows when a store fails.
    pub fuse: Fuse,
    // After the stores: the directory lock is released last.
    _directory: DataDirectory,
}

/// Reasons why a directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum NodeOpenError {
    /// The directory was rejected.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The contents of the directory were rejected.
    #[error(transparent)]
    Stores(#[from] OpenError),
}

/// Returns the identity of the directory.
#[must_use]
pub fn identity() -> Identity {
    Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NODE }
}

/// Locks a data directory, and writes its identity if it has none.
///
/// # Errors
/// If the directory is rejected.
pub fn establish(path: &Path) -> Result<DataDirectory, NodeOpenError> {
    let mut directory = DataDirectory::open(path)?;
    directory.establish(identity())?;
    Ok(directory)
}

impl Node {
    /// Opens the stores.
    ///
    /// # Errors
    /// If they reject the directory.
    pub fn open(directory: DataDirectory, chunks: Chunks) -> Result<Self, NodeOpenError> {
        let fuse = Fuse::default();
        let stores = match chunks {
            Chunks::Default => open::open(&directory, identity(), &fuse)?,
            Chunks::Small => open::open_with(&directory, identity(), SMALL, &fuse)?,
        };
        Ok(Self { stores, fuse, _directory: directory })
    }

    /// Applies the entries after the last applied one, up to `last`, as openraft does at startup
    /// and on every commit.
    ///
    /// # Errors
    /// If entries are missing or cannot be applied.
    pub async fn apply_through(&mut self, last: u64) -> Result<()> {
        let (applied, _) = self.stores.state_machine.applied_state().await?;
        let first = applied.map_or(0, |applied| applied.index + 1);
        if first > last {
            return Ok(());
        }
        let entries = self.stores.log.try_get_log_entries(first..=last).await?;
        let ends_at = entries.last().map(|entry| entry.log_id.index);
        anyhow::ensure!(ends_at == Some(last), "the log lacks entries from {first} to {last}");
        let entries = entries.into_iter().map(|entry: EntryOf<TypeConfig>| Ok((entry, None)));
        let applied = self.stores.state_machine.apply(stream::iter(entries)).await;
        applied.with_context(|| format!("cannot apply entries from {first} to {last}"))
    }

    /// Closes both stores, the log first. Everything is durable afterwards; dropping them later has
    /// no effect.
    ///
    /// # Errors
    /// If the last writes of a store may not be durable.
    pub async fn close(&self) -> Result<()> {
        self.stores.log.close().await?;
        Ok(self.stores.store.close().await?)
    }
}
