//! Data directory: lock and identity.

mod lock;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use meridian_domain::{ClusterId, NodeId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::codec::{self, DecodeError, Stored};
use crate::stored;
use lock::lock;
use meridian_durable::{self as durable, FileError, naming};

stored! {
    StoredIdentity = 23, version 1, "identity";
}

/// Cluster and node that a data directory belongs to. Never changes: a wiped directory becomes a
/// new node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Cluster.
    pub cluster: ClusterId,
    /// Raft node id.
    pub node: NodeId,
}

/// Stored form of an [`Identity`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredIdentity {
    /// Bytes of the cluster's UUID, in the order of RFC 9562.
    pub cluster: [u8; 16],
    /// Raft node id.
    pub node: u64,
}

impl From<Identity> for StoredIdentity {
    fn from(identity: Identity) -> Self {
        Self { cluster: identity.cluster.0.into_bytes(), node: identity.node.0 }
    }
}

impl From<StoredIdentity> for Identity {
    fn from(stored: StoredIdentity) -> Self {
        Self { cluster: ClusterId(Uuid::from_bytes(stored.cluster)), node: NodeId(stored.node) }
    }
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has locked it.
    #[error(
        "data directory {} is in use by {}; stop that process or choose another directory",
        path.display(),
        holder.map_or("another process".to_owned(), |pid| format!("pid {pid}"))
    )]
    InUse {
        /// Data directory.
        path: PathBuf,
        /// Process id of the holder, if known. It held the lock when it was determined.
        holder: Option<u32>,
    },
    /// A file was written by newer software.
    #[error("{} was written by newer software", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Cause and next step.
        #[source]
        cause: DecodeError,
    },
    /// A file is damaged.
    #[error(
        "cannot read {}; wipe the data directory and join as a new node",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        cause: DecodeError,
    },
    /// The file of overridden addresses is damaged.
    #[error(
        "cannot read {}; remove that file, and give the addresses again",
        path.display()
    )]
    Addresses {
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        cause: DecodeError,
    },
    /// The identity file is missing although there is data.
    #[error(
        "data directory is incomplete: {} is missing although {} exists; wipe the data directory \
         and join as a new node",
        path.display(),
        data.display()
    )]
    IdentityMissing {
        /// Identity file.
        path: PathBuf,
        /// Data that exists.
        data: PathBuf,
    },
    /// The directory already has a different identity.
    #[error(
        "data directory {} belongs to node {} of cluster {}, not to node {} of cluster {}",
        path.display(), current.node, current.cluster, given.node, given.cluster
    )]
    IdentityMismatch {
        /// Data directory.
        path: PathBuf,
        /// Identity of the directory.
        current: Identity,
        /// Identity of this node.
        given: Identity,
    },
    /// The operating system returned an error.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Data directory, locked by this process. The lock (`flock(2)`) is released when this is dropped
/// or the process exits in any way.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: Option<Identity>,
    _lock: File,
}

impl DataDirectory {
    /// Locks the directory at `path`. Creates it, durably, if it is missing.
    ///
    /// # Errors
    /// If another process has locked it, it belongs to another user, its identity is missing or
    /// damaged, or the operating system returns an error.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let path = path.into();
        durable::create_directory(&path)?;
        // Before the lock: whoever may open its file could hold the lock forever.
        let was_open = durable::claim_directory(&path)?;
        let lock = lock(&path)?;
        let restricted = durable::claim_contents(&path)? + usize::from(was_open);
        if restricted > 0 {
            tracing::warn!(
                path = %path.display(), restricted,
                "files and directories were accessible to other users; now only to this one"
            );
        }
        let mut directory = Self { path, identity: None, _lock: lock };
        directory.identity = directory.read_identity()?;
        Ok(directory)
    }

    /// Returns the identity; `None` for a new directory.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Stores the identity of a new directory, durably. Does nothing if the directory already has
    /// the same identity.
    ///
    /// # Errors
    /// If the directory has a different identity, or the file cannot be written durably.
    pub fn establish(&mut self, given: Identity) -> Result<(), DirectoryError> {
        match self.identity {
            Some(current) if current == given => Ok(()),
            Some(current) => {
                let path = self.path.clone();
                Err(DirectoryError::IdentityMismatch { path, current, given })
            }
            None => {
                let bytes = codec::encode(&StoredIdentity::from(given));
                durable::replace_file(&self.identity_path(), &bytes)?;
                self.identity = Some(given);
                Ok(())
            }
        }
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the Raft log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path.join("raft-log")
    }

    /// Returns the path of the mark of the Raft log.
    #[must_use]
    pub fn mark_path(&self) -> PathBuf {
        self.path.join("mark")
    }

    /// Returns the path of the derived store.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.path.join("database")
    }

    fn identity_path(&self) -> PathBuf {
        self.path.join("identity")
    }

    fn read_identity(&self) -> Result<Option<Identity>, DirectoryError> {
        let path = self.identity_path();
        if let Some(stored) = read::<StoredIdentity>(&path)? {
            return Ok(Some(stored.into()));
        }
        let data = [self.mark_path(), self.log_path(), self.database_path()];
        match data.into_iter().find(|data| data.exists()) {
            Some(data) => Err(DirectoryError::IdentityMissing { path, data }),
            None => Ok(None),
        }
    }
}

/// Returns the value in a file of a data directory; `None` if there is no such file.
///
/// # Errors
/// If the file is damaged or cannot be read, or newer software wrote it.
pub(super) fn read<T: Stored>(path: &Path) -> Result<Option<T>, DirectoryError> {
    let bytes = match durable::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(naming("read", path))?,
    };
    codec::decode(&bytes).map(Some).map_err(|cause| {
        let path = path.to_path_buf();
        match cause {
            DecodeError::Newer { .. } => DirectoryError::Unsupported { path, cause },
            _ => DirectoryError::Damaged { path, cause },
        }
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::Duration;

    use super::lock::LOCK_RETRY_INTERVAL;
    use super::*;

    fn identity(node: u64) -> Identity {
        Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(node) }
    }

    #[test]
    fn the_error_for_a_locked_directory_names_its_holder() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let path = parent.path().join("a/b");
        let held = DataDirectory::open(&path).expect("is new");
        let error = DataDirectory::open(&path).expect_err("is held").to_string();
        assert!(error.contains(&format!("in use by pid {}", std::process::id())), "{error}");
        assert!(error.contains("a/b"), "{error}");
        drop(held);
        DataDirectory::open(&path).expect("is free again");
    }

    #[test]
    fn opening_waits_for_a_process_that_is_exiting() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let held = DataDirectory::open(parent.path()).expect("is new");
        let mut exiting = std::process::Command::new("true").spawn().expect("can be spawned");
        let status = format!("/proc/{}/status", exiting.id());
        while !std::fs::read_to_string(&status).expect("is not reaped").contains("State:\tZ") {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lock = parent.path().join("lock");
        std::fs::write(lock, exiting.id().to_string()).expect("can be written");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(2 * LOCK_RETRY_INTERVAL);
                drop(held);
            });
            DataDirectory::open(parent.path()).expect("becomes free");
        });
        exiting.wait().expect("has exited");
    }

    #[test]
    fn a_process_that_does_not_hold_the_lock_is_never_named_as_its_holder() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let _held = DataDirectory::open(parent.path()).expect("is new");
        let mut innocent = std::process::Command::new("sleep").arg("60").spawn().expect("spawned");
        // As if its process id were that of an earlier agent.
        std::fs::write(parent.path().join("lock"), innocent.id().to_string()).expect("written");
        let error = DataDirectory::open(parent.path()).expect_err("is held");
        innocent.kill().and_then(|()| innocent.wait()).expect("is killed");
        assert!(matches!(error, DirectoryError::InUse { holder: None, .. }), "{error}");
    }

    #[test]
    fn a_data_directory_is_accessible_only_to_its_user() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let path = parent.path().join("data");
        let mode = |path: &Path| std::fs::metadata(path).expect("exists").mode() & 0o777;
        drop(DataDirectory::open(&path).expect("is new"));
        assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));
        for (path, mode) in [(path.join("lock"), 0o644), (path.clone(), 0o755)] {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("is own");
        }
        drop(DataDirectory::open(&path).expect("is free"));
        assert_eq!((mode(&path), mode(&path.join("lock"))), (0o700, 0o600));
    }

    #[test]
    fn an_identity_is_stored_once_and_kept() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let mut directory = DataDirectory::open(parent.path()).expect("is new");
        assert_eq!(directory.identity(), None);
        directory.establish(identity(1)).expect("has none");
        directory.establish(identity(1)).expect("has the same");
        directory.establish(identity(2)).expect_err("has another");
        drop(directory);
        let directory = DataDirectory::open(parent.path()).expect("is free");
        assert_eq!(directory.identity(), Some(identity(1)));
    }

    #[test]
    fn data_without_an_identity_is_rejected() {
        let parent = tempfile::tempdir().expect("can create a directory");
        std::fs::create_dir(parent.path().join("raft-log")).expect("is new");
        let error = DataDirectory::open(parent.path()).expect_err("is incomplete").to_string();
        assert!(error.contains("raft-log") && error.contains("join as a new node"), "{error}");
    }

    #[test]
    fn a_damaged_identity_and_one_of_newer_software_are_rejected() {
        let parent = tempfile::tempdir().expect("can create a directory");
        let mut directory = DataDirectory::open(parent.path()).expect("is new");
        directory.establish(identity(1)).expect("has none");
        let path = directory.identity_path();
        drop(directory);
        let intact = std::fs::read(&path).expect("exists");
        let mut bytes = intact.clone();
        *bytes.last_mut().expect("is not empty") ^= 1;
        std::fs::write(&path, bytes).expect("can be written");
        let error = DataDirectory::open(parent.path()).expect_err("is damaged").to_string();
        assert!(error.contains("identity") && error.contains("wipe"), "{error}");
        let mut bytes = intact;
        codec::tests::raise_version(&mut bytes);
        std::fs::write(&path, bytes).expect("can be written");
        let error = DataDirectory::open(parent.path()).expect_err("is newer");
        let error = error_reporter::Report::new(error).to_string();
        assert!(error.contains("run the newer software") && !error.contains("wipe"), "{error}");
    }
}
