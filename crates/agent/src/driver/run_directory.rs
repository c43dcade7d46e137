//! The run directory: the files of this machine's units.
//!
//! | file | content |
//! | --- | --- |
//! | `u7.json` | the [`Intent`] to run incarnation 7, synced before the spawn; also its lock file |
//! | `u7.sock` | control socket |
//! | `u7.log` | standard output and error; after a crash, kept until the next start or the stop |
//! | `u7.log.1` | the log before its last rotation, in the module `log` |
//! | `u7.json.new` | an intent whose write was interrupted |
//! | `u7.d/` | command driver: configuration and other files of the program |
//! | `u7.d/` | Docker driver: the container's only mount: its sockets, a hard link to `u7.json` |
//! | `u7.d/` | built-in driver, if the unit has its own user: the same, without the listener |
//!
//! Everything belongs to the agent's user, except what a unit with its own user writes: its
//! directory, and its intent, which it locks. That user cannot create or replace anything else, so
//! the agent, which is root then, never follows a name that a unit chose.
//!
//! This is the state of one machine, not of the cluster: it is never copied, and if it is lost,
//! only the running units are lost. Intents have the format of the module `checked_file`, with
//! `"version":1`. An intent that cannot be read (newer version, corruption) matters only for a unit
//! that does not respond: a unit that responds is adopted with the identity that it reports.
//!
//! A free lock means that the process is dead: the process of a unit holds the lock from its first
//! moments to its exit. Files are deleted under the lock (the module `lock` of `meridian-gateway`
//! explains why).

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use meridian_domain::{ClusterId, Generation, Incarnation, UnitId};
use meridian_durable::{claim_contents, claim_directory};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::UnitUser;
use crate::checked_file::{self, ReadError};
use crate::planted::{Bug, planted};

mod log;

#[cfg(feature = "docker")]
pub(super) use log::MAX_LOG_BYTES;

/// Name of the directory, in that of a unit, of a program with its own user.
pub(super) const PROGRAM_DIRECTORY: &str = "program";
/// Permission of others to pass through a directory.
const PASSAGE: u32 = 0o011;

/// The intent to run a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// Always 1. Later versions may add fields without raising it.
    pub(super) version: u32,
    pub(super) cluster: ClusterId,
    pub(super) unit: UnitId,
    pub(super) incarnation: Incarnation,
    /// Generation of the agent that spawned the unit.
    pub(super) generation: Generation,
    pub(super) address: SocketAddr,
    /// Driver that started the unit, the only one that can control it.
    #[serde(default, skip_serializing_if = "DriverKind::is_builtin")]
    pub(super) driver: DriverKind,
}

/// Kind of driver that started a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DriverKind {
    #[default]
    Builtin,
    /// Since 0.1.
    Command,
    /// Since 0.1.
    Docker,
}

impl DriverKind {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_builtin(&self) -> bool {
        *self == Self::Builtin
    }
}

impl fmt::Display for DriverKind {
    /// Formats the name of the driver in the configuration file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builtin => "builtin",
            Self::Command => "command",
            Self::Docker => "docker",
        })
    }
}

/// State of an incarnation's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Held by a process of the incarnation.
    Held,
    /// Not held.
    Free,
}

/// An open run directory.
#[derive(Debug)]
pub(super) struct RunDirectory {
    path: PathBuf,
    handle: File,
}

impl RunDirectory {
    /// Opens the directory. Creates it if missing. Others lose access to it and to what this user
    /// has in it.
    ///
    /// # Errors
    /// If it belongs to another user, or the operating system returns an error.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let was_open = claim_directory(path)?;
        let restricted = claim_contents(path)? + usize::from(was_open);
        if restricted > 0 {
            tracing::warn!(
                path = %path.display(), restricted,
                "files and directories were accessible to other users; now only to this one"
            );
        }
        let path = path.canonicalize()?;
        let handle = File::open(&path)?;
        Ok(Self { path, handle })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns every incarnation that has a file.
    pub(super) fn incarnations(&self) -> io::Result<BTreeSet<Incarnation>> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| {
                let (stem, kind) = name.strip_prefix('u')?.split_once('.')?;
                KINDS.contains(&kind).then(|| stem.parse().ok()).flatten()
            });
            found.extend(number.map(Incarnation));
        }
        Ok(found)
    }

    /// Makes an intent durable.
    pub(super) fn record(&self, intent: &Intent) -> io::Result<()> {
        checked_file::replace(&self.path, &name(intent.incarnation, "json"), intent)
    }

    pub(super) fn intent(&self, incarnation: Incarnation) -> Result<Intent, ReadError> {
        checked_file::read(&self.file(incarnation, "json"))
    }

    /// Deletes the files of units that have exited. Returns the units that run.
    ///
    /// # Errors
    /// If a unit of another driver than `own` runs: only that driver can stop it.
    pub(super) fn clear_exited(&self, own: DriverKind) -> io::Result<Vec<Incarnation>> {
        let mut running = Vec::new();
        for incarnation in self.incarnations()? {
            if planted(Bug::AdoptByPid) && self.pid(incarnation).is_some() {
                running.push(incarnation);
                continue;
            }
            match self.clear(incarnation, true)? {
                Lock::Held => running.push(incarnation),
                Lock::Free => {
                    tracing::info!(%incarnation, "unit exited without an agent")
                }
            }
        }
        let other = running.iter().find_map(|incarnation| {
            let driver = self.intent(*incarnation).ok()?.driver;
            (driver != own).then_some((incarnation, driver))
        });
        match other {
            None => Ok(running),
            Some((incarnation, driver)) => Err(io::Error::other(format!(
                "unit incarnation {incarnation} was started by driver {driver} and still runs: \
                 start the agent with that driver, stop the agent with drain_on_stop, then change \
                 drivers"
            ))),
        }
    }

    /// Takes the lock of an incarnation whose intent was recorded. The lock belongs to the file and
    /// its duplicates: a process that inherits one belongs to the incarnation.
    pub(super) fn take_lock(&self, incarnation: Incarnation) -> io::Result<File> {
        // Read-only: the file becomes the standard input of a program that knows nothing about it.
        let file = File::open(self.file(incarnation, "json"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// Path of the lock file of an incarnation.
    pub(super) fn lock_file(&self, incarnation: Incarnation) -> PathBuf {
        self.file(incarnation, "json")
    }

    /// Path of the directory with the unit's own files.
    pub(super) fn unit_directory(&self, incarnation: Incarnation) -> PathBuf {
        self.file(incarnation, "d")
    }

    /// Checks whether a process of this incarnation runs.
    pub(super) fn lock(&self, incarnation: Incarnation) -> io::Result<Lock> {
        self.with_lock(incarnation, || Ok(()))
    }

    /// Deletes the files of an exited unit, its logs only `with_log`. Deletes nothing if the lock is
    /// held.
    pub(super) fn clear(&self, incarnation: Incarnation, with_log: bool) -> io::Result<Lock> {
        self.with_lock(incarnation, || {
            let kinds = KINDS.iter().filter(|kind| with_log || !kind.starts_with("log"));
            kinds.map(|kind| self.file(incarnation, kind)).try_for_each(remove)
        })
    }

    /// Runs `action` under the lock, so that no process can become this incarnation meanwhile. Does
    /// not run it if the lock is held.
    fn with_lock(
        &self,
        incarnation: Incarnation,
        action: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Lock> {
        let path = self.file(incarnation, "json");
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            // Without an intent, nothing can be or become this incarnation.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return action().map(|()| Lock::Free);
            }
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => action().map(|()| Lock::Free),
            Err(Errno::WOULDBLOCK) => Ok(Lock::Held),
            Err(error) => Err(error.into()),
        }
    }

    /// Path of a control socket. Its length does not depend on the directory's path, because the
    /// address of a Unix socket has at most 108 bytes (unix(7)).
    pub(super) fn socket(&self, incarnation: Incarnation) -> PathBuf {
        let directory = self.handle.as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{directory}/{}", name(incarnation, "sock")))
    }

    /// Creates the directory of an incarnation whose intent was recorded, with a hard link to its
    /// lock file in it. A container, or a unit with its own user, has access to nothing else.
    pub(super) fn create_unit_directory(&self, incarnation: Incarnation) -> io::Result<PathBuf> {
        let directory = self.unit_directory(incarnation);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let lock = directory.join(name(incarnation, "json"));
        fs::hard_link(self.file(incarnation, "json"), lock)?;
        Ok(directory)
    }

    /// Gives the directory of an incarnation, and its lock file, to the unit's own user.
    pub(super) fn give_to(&self, incarnation: Incarnation, user: UnitUser) -> io::Result<()> {
        for path in [self.file(incarnation, "json"), self.unit_directory(incarnation)] {
            chown(path, Some(user.uid), Some(user.gid))?;
        }
        Ok(())
    }

    /// Lets other users pass through this directory and the data directory, to files that belong to
    /// them. They can list neither.
    pub(super) fn allow_passage(&self) -> io::Result<()> {
        for path in self.path.parent().into_iter().chain([self.path.as_path()]) {
            let mode = fs::metadata(path)?.permissions().mode();
            fs::set_permissions(path, Permissions::from_mode(mode | PASSAGE))?;
        }
        Ok(())
    }

    /// Path of the control socket of a running unit: in its own directory if it has one.
    pub(super) fn control_socket(&self, incarnation: Incarnation) -> PathBuf {
        match self.unit_directory(incarnation).is_dir() {
            true => self.unit_directory_socket(incarnation, "sock"),
            false => self.socket(incarnation),
        }
    }

    /// User of a running program of the command driver, if it has its own.
    pub(super) fn program_user(&self, incarnation: Incarnation) -> Option<UnitUser> {
        let own = self.unit_directory(incarnation).join(PROGRAM_DIRECTORY);
        let metadata = fs::metadata(own).ok().filter(fs::Metadata::is_dir)?;
        Some(UnitUser { uid: metadata.uid(), gid: metadata.gid() })
    }

    /// Path of the socket of a program of the command driver that has its own user.
    pub(super) fn program_socket(&self, incarnation: Incarnation) -> PathBuf {
        let directory = self.handle.as_raw_fd();
        let (outer, inner) = (name(incarnation, "d"), name(incarnation, "sock"));
        PathBuf::from(format!("/proc/self/fd/{directory}/{outer}/{PROGRAM_DIRECTORY}/{inner}"))
    }

    /// Like [`socket`](Self::socket), for a socket in the unit's directory.
    pub(super) fn unit_directory_socket(&self, incarnation: Incarnation, kind: &str) -> PathBuf {
        let directory = self.handle.as_raw_fd();
        let (outer, inner) = (name(incarnation, "d"), name(incarnation, kind));
        PathBuf::from(format!("/proc/self/fd/{directory}/{outer}/{inner}"))
    }

    /// Records the pid of a started process, for [`Bug::AdoptByPid`](crate::planted::Bug).
    pub(super) fn record_pid(&self, incarnation: Incarnation, pid: u32) {
        drop(fs::write(self.file(incarnation, "pid"), pid.to_string()));
    }

    /// Returns the recorded pid if a process has it.
    pub(super) fn pid(&self, incarnation: Incarnation) -> Option<Pid> {
        let number = fs::read_to_string(self.file(incarnation, "pid")).ok()?;
        let pid = Pid::from_raw(number.parse().ok()?)?;
        test_kill_process(pid).is_ok().then_some(pid)
    }

    fn file(&self, incarnation: Incarnation, kind: &str) -> PathBuf {
        self.path.join(name(incarnation, kind))
    }
}

/// Kinds of files, in the order in which they are deleted. The intent is last, so that after a
/// crash in between, the remaining files are still found.
const KINDS: [&str; 6] = ["log.1", "log", "sock", "d", "json.new", "json"];

fn name(incarnation: Incarnation, kind: &str) -> String {
    format!("u{incarnation}.{kind}")
}

fn remove(path: PathBuf) -> io::Result<()> {
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(path),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;
