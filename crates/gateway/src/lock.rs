//! The lock file: at most one process is a given incarnation, and it ends when nobody wants it.
//!
//! The agent writes the file, with the reason why the unit runs, before it spawns the unit. The unit
//! takes its lock (flock(2)) and never lets go of it. An agent that finds the lock free takes it,
//! deletes the file and then unlocks. So a unit that was spawned by an agent's previous life and comes
//! late finds no file, or one without a name, or one that a newer generation wrote for another
//! process, and exits: a crash of the agent at any point leaves no unit too many.
//!
//! Of the file's content, the unit reads the generation alone: one line, a checksum, a blank, and JSON
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

/// How often a unit looks whether it is still wanted.
const LOOK: Duration = Duration::from_secs(1);

/// Why a unit may not run.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Nobody wants it any more, or nobody ever did.
    #[error("{path} does not exist: no agent wants this unit")]
    Unwanted {
        /// The lock file.
        path: PathBuf,
    },
    /// It is wanted, but by another life of the agent, which spawned a process of its own.
    #[error("{path} was written by generation {found}, and this unit was spawned by {spawned}")]
    Late {
        /// The lock file.
        path: PathBuf,
        /// The generation that wrote the file.
        found: Generation,
        /// The generation that spawned this process.
        spawned: Generation,
    },
    /// Another process is this incarnation.
    #[error("{path} is locked: incarnation {incarnation} runs already")]
    Taken {
        /// The lock file.
        path: PathBuf,
        /// The incarnation.
        incarnation: Incarnation,
    },
    /// The file cannot be opened or locked.
    #[error("{path} cannot be locked")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Intent {
    generation: Generation,
}

/// The lock on an incarnation. Held until the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Where the run directory was when the lock was taken, and which one it was.
    place: PathBuf,
    directory: Identity,
}

/// Which file or directory it is, whatever its name: its device and number, by stat(2).
type Identity = (u64, u64);

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
                return Err(LockError::Unwanted { path });
            }
            Err(source) => return Err(LockError::Io { path, source }),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(LockError::Taken { path, incarnation }),
            Err(error) => return Err(LockError::Io { path, source: error.into() }),
        }
        let place = std::path::absolute(directory).and_then(|it| Ok((identity(&it)?, it)));
        let (directory, place) = match place {
            Ok(place) => place,
            Err(source) => return Err(LockError::Io { path, source }),
        };
        let lock = Self { file, place, directory };
        match lock.is_deleted().and_then(|deleted| Ok((deleted, lock.generation()?))) {
            Ok((true, _)) => Err(LockError::Unwanted { path }),
            Ok((false, found)) if found != spawned => Err(LockError::Late { path, found, spawned }),
            Ok((false, _)) => Ok(lock),
            Err(source) => Err(LockError::Io { path, source }),
        }
    }

    /// The generation that wrote the file.
    fn generation(&self) -> io::Result<Generation> {
        let line = io::read_to_string(&self.file)?;
        let json = line.split_once(' ').map_or("", |(_, json)| json);
        Ok(serde_json::from_str::<Intent>(json)?.generation)
    }

    fn is_deleted(&self) -> io::Result<bool> {
        Ok(fstat(&self.file)?.st_nlink == 0)
    }

    /// Whether another run directory is where this one was: the agent's disk was replaced, or its data
    /// moved away, and it has begun anew. As long as there is none, the disk may come back.
    fn is_replaced(&self) -> io::Result<bool> {
        match identity(&self.place) {
            Ok(present) => Ok(present != self.directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn why_unwanted(&self) -> io::Result<Option<&'static str>> {
        Ok(match (self.is_deleted()?, self.is_replaced()?) {
            (true, _) => Some("its lock file was deleted"),
            (false, true) => Some("its run directory was replaced by another one"),
            (false, false) => None,
        })
    }

    /// Returns once no agent can want this process any more, with the reason; never if that cannot be
    /// known.
    pub(crate) async fn unwanted(&self) -> &'static str {
        loop {
            tokio::time::sleep(LOOK).await;
            match self.why_unwanted() {
                Ok(Some(why)) => return why,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the lock file cannot be examined"),
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
