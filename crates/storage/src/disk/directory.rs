//! The data directory: whose it is, and that only one process uses it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian_domain::{ClusterId, NodeId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::codec::{self, DecodeError};
use crate::disk::durable::{self, FileError, naming};
use crate::stored;

stored! {
    StoredIdentity = 23, version 1, "identity";
}

/// Which node of which cluster a data directory belongs to. Never changes: a wiped directory is a
/// new node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node, in Raft.
    pub node: NodeId,
}

/// The stored form of an [`Identity`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredIdentity {
    /// The cluster's UUID, its bytes in the order of RFC 9562.
    pub cluster: [u8; 16],
    /// The node's number.
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

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Another process has it.
    #[error(
        "the data directory {} is in use by {}; stop that process, or give this one another \
         directory",
        path.display(),
        holder.map_or("another process".to_owned(), |pid| format!("pid {pid}"))
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process, where it said.
        holder: Option<u32>,
    },
    /// Its identity cannot be read.
    #[error(
        "{} cannot be read; wipe the directory and join as a new node",
        path.display()
    )]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: DecodeError,
    },
    /// It has data and no identity.
    #[error(
        "{} is missing, yet {} is there: the directory is not whole; \
         wipe it and join as a new node",
        path.display(),
        data.display()
    )]
    IdentityMissing {
        /// The identity file.
        path: PathBuf,
        /// What is there.
        data: PathBuf,
    },
    /// It has an identity already, and another one was to be given to it.
    #[error(
        "the data directory {} belongs to node {} of cluster {}, not to node {} of cluster {}",
        path.display(), present.node, present.cluster, given.node, given.cluster
    )]
    Taken {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        present: Identity,
        /// Whose it was to be.
        given: Identity,
    },
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A data directory that this process holds alone. It is free again once this is dropped, or the
/// process has ended in any way: the lock is the operating system's (`flock(2)`), not the file.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    identity: Option<Identity>,
    _lock: File,
}

impl DataDirectory {
    /// Takes the directory at `path`; creates it, durably, where it is missing.
    ///
    /// # Errors
    /// If another process has it, its identity is missing or damaged, or the operating system
    /// refuses.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let path = path.into();
        durable::create_directory(&path)?;
        let lock = lock(&path)?;
        let mut directory = Self { path, identity: None, _lock: lock };
        directory.identity = directory.read_identity()?;
        Ok(directory)
    }

    /// Whose it is; `None` where it is new.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Gives a new directory its identity, durably. Giving it again is no change.
    ///
    /// # Errors
    /// If it has another one, or it cannot be written durably.
    pub fn establish(&mut self, given: Identity) -> Result<(), DirectoryError> {
        match self.identity {
            Some(present) if present == given => Ok(()),
            Some(present) => Err(DirectoryError::Taken { path: self.path.clone(), present, given }),
            None => {
                let bytes = codec::encode(&StoredIdentity::from(given));
                durable::replace_file(&self.identity_path(), &bytes)?;
                self.identity = Some(given);
                Ok(())
            }
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the Raft log is.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.path.join("raft-log")
    }

    /// Where the mark of the Raft log is.
    #[must_use]
    pub fn mark_path(&self) -> PathBuf {
        self.path.join("mark")
    }

    /// Where the derived store is.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        self.path.join("database")
    }

    fn identity_path(&self) -> PathBuf {
        self.path.join("identity")
    }

    fn read_identity(&self) -> Result<Option<Identity>, DirectoryError> {
        let path = self.identity_path();
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let data = [self.mark_path(), self.log_path(), self.database_path()];
                return match data.into_iter().find(|data| data.exists()) {
                    Some(data) => Err(DirectoryError::IdentityMissing { path, data }),
                    None => Ok(None),
                };
            }
            read => read.map_err(naming("read", &path))?,
        };
        let stored: StoredIdentity =
            codec::decode(&bytes).map_err(|cause| DirectoryError::Identity { path, cause })?;
        Ok(Some(stored.into()))
    }
}

/// A process that was killed while it started another leaves a copy of itself for a moment, which holds
/// the lock with it: so often it is looked at again, with so long a pause.
const LOOKS_AFTER_DEATH: u32 = 40;
const PAUSE_AFTER_DEATH: Duration = Duration::from_millis(50);

fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(naming("open", &path))?;
    let mut looks = LOOKS_AFTER_DEATH;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(naming("lock", &path)(errno.into()).into()),
        }
        let holder = holder(&mut file);
        if holder.is_none_or(runs) || looks == 0 {
            return Err(DirectoryError::InUse { path: directory.to_path_buf(), holder });
        }
        looks -= 1;
        std::thread::sleep(PAUSE_AFTER_DEATH);
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(naming("write", &path))?;
    Ok(file)
}

/// Whether a process runs. One that is ending has no command line any more, and its locks for a moment.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The process that last took the lock, where it said. The number only informs people, and tells
/// whether waiting is of use.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u64) -> Identity {
        Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(node) }
    }

    #[test]
    fn a_directory_in_use_names_the_process_that_has_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("a/b");
        let held = DataDirectory::open(&path).expect("is new");
        let error = DataDirectory::open(&path).expect_err("is held").to_string();
        assert!(error.contains(&format!("in use by pid {}", std::process::id())), "{error}");
        assert!(error.contains("a/b"), "{error}");
        drop(held);
        DataDirectory::open(&path).expect("is free again");
    }

    #[test]
    fn a_process_that_is_ending_is_waited_for() {
        let parent = tempfile::tempdir().expect("a directory");
        let held = DataDirectory::open(parent.path()).expect("is new");
        let mut ending = std::process::Command::new("true").spawn().expect("can be started");
        let status = format!("/proc/{}/status", ending.id());
        while !std::fs::read_to_string(&status).expect("is not reaped").contains("State:\tZ") {
            std::thread::sleep(Duration::from_millis(1));
        }
        let lock = parent.path().join("lock");
        std::fs::write(lock, ending.id().to_string()).expect("can be written");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(2 * PAUSE_AFTER_DEATH);
                drop(held);
            });
            DataDirectory::open(parent.path()).expect("is free in a moment");
        });
        ending.wait().expect("has ended");
    }

    #[test]
    fn an_identity_is_given_once_and_found_again() {
        let parent = tempfile::tempdir().expect("a directory");
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
    fn data_without_an_identity_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(parent.path().join("raft-log")).expect("is new");
        let error = DataDirectory::open(parent.path()).expect_err("is not whole").to_string();
        assert!(error.contains("raft-log") && error.contains("join as a new node"), "{error}");
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let mut directory = DataDirectory::open(parent.path()).expect("is new");
        directory.establish(identity(1)).expect("has none");
        let path = directory.identity_path();
        drop(directory);
        let mut bytes = std::fs::read(&path).expect("is there");
        *bytes.last_mut().expect("is not empty") ^= 1;
        std::fs::write(&path, bytes).expect("can be written");
        let error = DataDirectory::open(parent.path()).expect_err("is damaged").to_string();
        assert!(error.contains("identity"), "{error}");
    }
}
