//! The lock file: at most one process runs an incarnation, and it stops when no agent can want it.
//!
//! The agent writes the file, with the reason why the unit runs, before it spawns the unit. The
//! unit takes its lock (flock(2)) and holds it until the process exits. An agent that finds the
//! file unlocked locks it, deletes it and then unlocks it. So a unit that an earlier process run of
//! the agent spawned and that starts late finds no file, a deleted file, or a file that a newer
//! generation wrote for another process, and exits. A crash of the agent at any point therefore
//! leaves no surplus unit.
//!
//! The unit reads only the generation from the file: one line with a checksum, a space, and JSON
//! that has the field `generation` in every version.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use meridian_domain::{Generation, Incarnation};
use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::Errno;
use serde::Deserialize;

/// Interval at which a unit checks whether an agent can still want it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Error returned when an incarnation cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file does not exist: the agent removed the unit, or never wanted it.
    #[error("lock file {path} not found: no agent wants this unit")]
    Missing {
        /// The lock file.
        path: PathBuf,
    },
    /// Another process run of the agent wrote the file for a process that it spawned itself.
    #[error("lock file {path} is of agent generation {found}, but {spawned} spawned this unit")]
    StaleGeneration {
        /// The lock file.
        path: PathBuf,
        /// Generation that wrote the file.
        found: Generation,
        /// Generation that spawned this process.
        spawned: Generation,
    },
    /// Another process runs this incarnation.
    #[error("lock file {path} is locked: incarnation {incarnation} is already running")]
    AlreadyRunning {
        /// The lock file.
        path: PathBuf,
        /// The incarnation.
        incarnation: Incarnation,
    },
    /// The file cannot be opened, read or locked.
    #[error("failed to lock {path}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The underlying I/O error.
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Intent {
    generation: Generation,
}

/// Lock on an incarnation, held until the process exits.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Absolute path of the run directory when the lock was taken.
    directory: PathBuf,
    directory_id: FileId,
}

/// Device and inode number (stat(2)), which identify a file or directory whatever its name.
type FileId = (u64, u64);

impl Lock {
    /// Locks `incarnation` for a process that an agent of generation `spawned` started.
    pub(crate) fn acquire(
        directory: &Path,
        incarnation: Incarnation,
        spawned: Generation,
    ) -> Result<Self, LockError> {
        let path = directory.join(format!("u{incarnation}.json"));
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LockError::Missing { path });
            }
            Err(source) => return Err(LockError::Io { path, source }),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::AlreadyRunning { path, incarnation }),
            Err(error) => return Err(LockError::Io { path, source: error.into() }),
        }
        let identified =
            std::path::absolute(directory).and_then(|path| Ok((file_id(&path)?, path)));
        let (directory_id, directory) = match identified {
            Ok(identified) => identified,
            Err(source) => return Err(LockError::Io { path, source }),
        };
        let lock = Self { file, directory, directory_id };
        match lock.is_deleted().and_then(|deleted| Ok((deleted, lock.generation()?))) {
            Ok((true, _)) => Err(LockError::Missing { path }),
            Ok((false, found)) if found != spawned => {
                Err(LockError::StaleGeneration { path, found, spawned })
            }
            Ok((false, _)) => Ok(lock),
            Err(source) => Err(LockError::Io { path, source }),
        }
    }

    /// Returns the generation that wrote the file.
    fn generation(&self) -> io::Result<Generation> {
        let line = io::read_to_string(&self.file)?;
        let json = line.split_once(' ').map_or("", |(_, json)| json);
        Ok(serde_json::from_str::<Intent>(json)?.generation)
    }

    fn is_deleted(&self) -> io::Result<bool> {
        Ok(fstat(&self.file)?.st_nlink == 0)
    }

    /// Returns true if another directory is at the path of the run directory: the agent's disk was
    /// replaced or its data was moved, and an agent started over there. If there is no directory at
    /// all, the disk may come back.
    fn is_replaced(&self) -> io::Result<bool> {
        match file_id(&self.directory) {
            Ok(present) => Ok(present != self.directory_id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn obsolete_reason(&self) -> io::Result<Option<&'static str>> {
        Ok(match (self.is_deleted()?, self.is_replaced()?) {
            (true, _) => Some("lock file deleted"),
            (false, true) => Some("run directory replaced"),
            (false, false) => None,
        })
    }

    /// Waits until no agent can want this process anymore, and returns the reason. Never returns
    /// while that cannot be determined.
    pub(crate) async fn obsolete(&self) -> &'static str {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            match self.obsolete_reason() {
                Ok(Some(reason)) => return reason,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "failed to check the lock file"),
            }
        }
    }
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
