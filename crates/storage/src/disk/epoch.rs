//! Epoch of a data directory: the file `epoch`, which is missing in epoch 0 and replaced atomically.
//!
//! An agent enters an epoch when it joins a cluster in that epoch, or when an operator recovers the
//! cluster on it. The file is the commit point of a recovery: once it is durable with
//! [`Recovery::pending`], the agent completes the recovery before it starts Raft again, whatever was
//! interrupted (see [`crate::recovery`]).

use std::path::PathBuf;

use meridian_domain::{Actor, Epoch, Reason};
use meridian_durable as durable;
use serde::{Deserialize, Serialize};

use super::directory::{self, DataDirectory, DirectoryError};
use crate::codec;
use crate::stored;

stored! {
    LocalEpoch = 24, version 1, "epoch";
}

/// Epoch that a data directory belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalEpoch {
    /// The epoch.
    pub epoch: Epoch,
    /// Recovery that started the epoch, if it was done on this agent.
    pub recovery: Option<Recovery>,
}

/// Recovery of a cluster on this agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Operator who recovered the cluster.
    pub actor: Actor,
    /// Reason given by the operator.
    pub reason: Reason,
    /// Set until this node is the only voter in its Raft log.
    pub pending: bool,
}

impl LocalEpoch {
    /// Creates the epoch of an agent that joined a cluster in `epoch`.
    #[must_use]
    pub fn joined(epoch: Epoch) -> Self {
        Self { epoch, recovery: None }
    }

    /// Returns true if a recovery was started and is not complete.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| recovery.pending)
    }
}

impl DataDirectory {
    /// Returns the epoch of the directory.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read.
    pub fn epoch(&self) -> Result<LocalEpoch, DirectoryError> {
        Ok(directory::read(&self.epoch_path())?.unwrap_or_default())
    }

    /// Stores the epoch, durably.
    ///
    /// # Errors
    /// If the file cannot be written durably.
    pub fn store_epoch(&self, epoch: &LocalEpoch) -> Result<(), DirectoryError> {
        durable::replace_file(&self.epoch_path(), &codec::encode(epoch))?;
        Ok(())
    }

    fn epoch_path(&self) -> PathBuf {
        self.path().join("epoch")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_in_epoch_0_until_another_epoch_is_stored() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let directory = DataDirectory::open(parent.path()).expect("is new");
        assert_eq!(directory.epoch().expect("can be read"), LocalEpoch::default());
        let recovery = Recovery {
            actor: Actor::new("ada@host").expect("is valid"),
            reason: Reason::new("two disks lost").expect("is valid"),
            pending: true,
        };
        let recovered = LocalEpoch { epoch: Epoch(1), recovery: Some(recovery) };
        directory.store_epoch(&recovered).expect("can be written");
        drop(directory);
        let directory = DataDirectory::open(parent.path()).expect("is free");
        assert_eq!(directory.epoch().expect("can be read"), recovered);
        assert!(recovered.is_pending());
    }

    #[test]
    fn a_damaged_epoch_is_rejected() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let directory = DataDirectory::open(parent.path()).expect("is new");
        directory.store_epoch(&LocalEpoch::joined(Epoch(1))).expect("can be written");
        let path = directory.epoch_path();
        let mut bytes = std::fs::read(&path).expect("exists");
        *bytes.last_mut().expect("is not empty") ^= 1;
        std::fs::write(&path, bytes).expect("can be written");
        directory.epoch().expect_err("is damaged");
    }
}
