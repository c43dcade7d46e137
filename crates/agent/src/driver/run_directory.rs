//! The run directory: what this machine's units leave on disk.
//!
//! | file | content |
//! | --- | --- |
//! | `u7.json` | why incarnation 7 runs (an [`Intent`]), synced before it is spawned; its lock file |
//! | `u7.sock` | its control socket |
//! | `u7.log` | its standard output and error; kept after a crash until it starts again or is stopped |
//! | `u7.json.new` | an intent that was not finished |
//! | `u7.d/` | the files of a unit that is another program: its configuration, what it keeps itself |
//! | `u7.d/` | of a unit in a container, all that it sees: a second name of `u7.json`, and its sockets |
//!
//! This is the state of one machine, not of the cluster: it is never copied, and nothing is lost with
//! it but the units that run. Intents are in the form that the module `durable` describes, with
//! `"version":1`. One that cannot be read (a newer version, damage) only hides a unit that does not
//! answer: a unit that answers is adopted by what it says.
//!
//! A lock that is free means that the process is dead: whoever holds it does so from its first moments
//! to its end. Files are deleted under the lock (see `meridian-gateway`, module `lock`, for why).

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use meridian_domain::{ClusterId, Generation, Incarnation, UnitId};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

use super::last_words;
use crate::durable::{self, ReadError};
use crate::planted::{Bug, planted};

/// Bytes at the end of a log in which its last line is looked for.
const LOG_TAIL_BYTES: u64 = 4096;

/// Why a unit runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// Always 1. A later version may add fields without raising it.
    pub(super) version: u32,
    pub(super) cluster: ClusterId,
    pub(super) unit: UnitId,
    pub(super) incarnation: Incarnation,
    /// The generation of the agent that spawned it.
    pub(super) generation: Generation,
    pub(super) address: SocketAddr,
    /// What started it, and can therefore talk to it.
    #[serde(default, skip_serializing_if = "DriverKind::is_builtin")]
    pub(super) driver: DriverKind,
}

/// Which driver started a unit.
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

/// What holds an incarnation's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// A process that is this incarnation.
    Held,
    /// Nobody.
    Free,
}

/// The directory.
#[derive(Debug)]
pub(super) struct RunDirectory {
    path: PathBuf,
    handle: File,
}

impl RunDirectory {
    /// Opens it, creating it where there is none, for this user alone.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = path.canonicalize()?;
        let handle = File::open(&path)?;
        Ok(Self { path, handle })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Every incarnation that has a file.
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
        durable::replace(&self.path, &name(intent.incarnation, "json"), intent)
    }

    pub(super) fn intent(&self, incarnation: Incarnation) -> Result<Intent, ReadError> {
        durable::read(&self.file(incarnation, "json"))
    }

    /// Deletes what dead units left, and returns those that live.
    ///
    /// # Errors
    /// If one lives that another driver than `own` started, which alone could stop it.
    pub(super) fn clear_dead(&self, own: DriverKind) -> io::Result<Vec<Incarnation>> {
        let mut living = Vec::new();
        for incarnation in self.incarnations()? {
            if planted(Bug::AdoptByPid) && self.pid(incarnation).is_some() {
                living.push(incarnation);
                continue;
            }
            match self.clear(incarnation, true)? {
                Lock::Held => living.push(incarnation),
                Lock::Free => tracing::info!(%incarnation, "a unit died while no agent ran"),
            }
        }
        let other = living.iter().find_map(|incarnation| {
            let driver = self.intent(*incarnation).ok()?.driver;
            (driver != own).then_some((incarnation, driver))
        });
        match other {
            None => Ok(living),
            Some((incarnation, driver)) => Err(io::Error::other(format!(
                "unit incarnation {incarnation} still runs, and another driver ({driver:?}) started \
                 it: start the agent with that one, and stop it with drain_on_stop, before you \
                 change drivers"
            ))),
        }
    }

    /// Takes the lock of an incarnation whose intent was recorded. Whoever has the file, or a
    /// duplicate of it, is the incarnation.
    pub(super) fn take_lock(&self, incarnation: Incarnation) -> io::Result<File> {
        // Not for writing: it becomes the standard input of a program that knows nothing of it.
        let file = File::open(self.file(incarnation, "json"))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// The lock file of an incarnation.
    pub(super) fn lock_file(&self, incarnation: Incarnation) -> PathBuf {
        self.file(incarnation, "json")
    }

    /// Where a unit that is another program keeps its files.
    pub(super) fn unit_directory(&self, incarnation: Incarnation) -> PathBuf {
        self.file(incarnation, "d")
    }

    /// Whether a process is this incarnation.
    pub(super) fn lock(&self, incarnation: Incarnation) -> io::Result<Lock> {
        self.locked(incarnation, || Ok(()))
    }

    /// Deletes what a dead process left; nothing if one is alive. The log goes only `with_log`.
    pub(super) fn clear(&self, incarnation: Incarnation, with_log: bool) -> io::Result<Lock> {
        self.locked(incarnation, || {
            let kinds = KINDS.iter().filter(|kind| with_log || **kind != "log");
            kinds.map(|kind| self.file(incarnation, kind)).try_for_each(remove)
        })
    }

    /// Does `what` while nobody can become this incarnation, if nobody is.
    fn locked(
        &self,
        incarnation: Incarnation,
        what: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<Lock> {
        let path = self.file(incarnation, "json");
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            // Without an intent, nothing can be or become this incarnation.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return what().map(|()| Lock::Free);
            }
            Err(error) => return Err(error),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => what().map(|()| Lock::Free),
            Err(Errno::WOULDBLOCK) => Ok(Lock::Held),
            Err(error) => Err(error.into()),
        }
    }

    /// The path of a control socket, short whatever the directory is called: the address of a Unix
    /// socket has at most 108 bytes (unix(7)).
    pub(super) fn socket(&self, incarnation: Incarnation) -> PathBuf {
        let directory = self.handle.as_raw_fd();
        PathBuf::from(format!("/proc/self/fd/{directory}/{}", name(incarnation, "sock")))
    }

    /// Gives an incarnation whose intent was recorded a directory of its own, with a second name of
    /// its lock file in it: so it can be shown no more than that.
    #[cfg(feature = "docker")]
    pub(super) fn isolate(&self, incarnation: Incarnation) -> io::Result<PathBuf> {
        let directory = self.unit_directory(incarnation);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let lock = directory.join(name(incarnation, "json"));
        fs::hard_link(self.file(incarnation, "json"), lock)?;
        Ok(directory)
    }

    /// Like [`socket`](Self::socket), for a socket in the directory of a unit.
    #[cfg(feature = "docker")]
    pub(super) fn inner_socket(&self, incarnation: Incarnation, kind: &str) -> PathBuf {
        let directory = self.handle.as_raw_fd();
        let (outer, inner) = (name(incarnation, "d"), name(incarnation, kind));
        PathBuf::from(format!("/proc/self/fd/{directory}/{outer}/{inner}"))
    }

    /// The file that takes what a unit writes.
    pub(super) fn log(&self, incarnation: Incarnation) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.file(incarnation, "log"))
    }

    /// The last line that a unit wrote.
    pub(super) fn last_words(&self, incarnation: Incarnation) -> Option<String> {
        let mut file = File::open(self.file(incarnation, "log")).ok()?;
        let length = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES))).ok()?;
        let mut tail = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut tail).ok()?;
        last_words::last_line(&String::from_utf8_lossy(&tail))
    }

    /// Writes down which process was started, for [`Bug::AdoptByPid`](crate::planted::Bug).
    pub(super) fn note_pid(&self, incarnation: Incarnation, pid: u32) {
        drop(fs::write(self.file(incarnation, "pid"), pid.to_string()));
    }

    /// The process with the number that was written down, if there is one.
    pub(super) fn pid(&self, incarnation: Incarnation) -> Option<Pid> {
        let number = fs::read_to_string(self.file(incarnation, "pid")).ok()?;
        let pid = Pid::from_raw(number.parse().ok()?)?;
        test_kill_process(pid).is_ok().then_some(pid)
    }

    fn file(&self, incarnation: Incarnation, kind: &str) -> PathBuf {
        self.path.join(name(incarnation, kind))
    }
}

/// In the order in which they are deleted: an intent goes last, so that a crash in between leaves
/// something to find the rest by.
const KINDS: [&str; 5] = ["log", "sock", "d", "json.new", "json"];

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
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use meridian_domain::{RegionName, ServiceName};

    use super::*;

    fn intent() -> Intent {
        Intent {
            version: 1,
            cluster: ClusterId(uuid::Uuid::nil()),
            unit: UnitId {
                service: ServiceName::new("contoso").unwrap(),
                region: RegionName::new("westeurope").unwrap(),
                slot: 2,
            },
            incarnation: Incarnation(7),
            generation: Generation(3),
            address: "127.0.1.1:8080".parse().unwrap(),
            driver: DriverKind::Builtin,
        }
    }

    #[test]
    fn the_stored_form_of_version_1_stays() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        run.record(&intent()).unwrap();
        let stored = fs::read_to_string(root.path().join("u7.json")).unwrap();
        assert_eq!(
            stored.split_once(' ').unwrap().1,
            concat!(
                r#"{"version":1,"cluster":"00000000-0000-0000-0000-000000000000","#,
                r#""unit":{"service":"contoso","region":"westeurope","slot":2},"incarnation":7,"#,
                r#""generation":3,"address":"127.0.1.1:8080"}"#,
                "\n"
            )
        );
        assert_eq!(run.intent(Incarnation(7)).unwrap(), intent());
    }

    #[test]
    fn a_living_unit_of_another_driver_is_an_error_and_a_dead_one_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        run.record(&Intent { driver: DriverKind::Command, ..intent() }).unwrap();
        fs::create_dir(run.unit_directory(Incarnation(7))).unwrap();
        let held = run.take_lock(Incarnation(7)).unwrap();
        assert_eq!(run.clear_dead(DriverKind::Command).unwrap(), [Incarnation(7)]);
        let error = run.clear_dead(DriverKind::Builtin).unwrap_err();
        assert!(error.to_string().contains("another driver (Command)"), "{error}");
        drop(held);
        assert_eq!(run.clear_dead(DriverKind::Builtin).unwrap(), []);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_living_process_holds_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        run.record(&intent()).unwrap();
        let held = File::open(root.path().join("u7.json")).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(run.clear(Incarnation(7), true).unwrap(), Lock::Held);
        assert!(run.intent(Incarnation(7)).is_ok());
        drop(held);
        assert_eq!(run.clear(Incarnation(7), true).unwrap(), Lock::Free);
        assert!(run.incarnations().unwrap().is_empty());
    }

    #[test]
    fn only_names_of_this_kind_are_incarnations() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        for name in ["u1.json", "u2.log", "u3.sock", "u4.json.new", "u5.txt", "ux.json", "note"] {
            File::create(root.path().join(name)).unwrap();
        }
        let found: Vec<u64> = run.incarnations().unwrap().iter().map(|i| i.0).collect();
        assert_eq!(found, [1, 2, 3, 4]);
    }

    #[test]
    fn the_last_words_are_the_last_line_with_something_in_it() {
        let root = tempfile::tempdir().unwrap();
        let run = RunDirectory::open(root.path()).unwrap();
        assert_eq!(run.last_words(Incarnation(7)), None);
        fs::write(root.path().join("u7.log"), "x\n".repeat(9_000) + "Error: no\t luck\n\n")
            .unwrap();
        assert_eq!(run.last_words(Incarnation(7)).unwrap(), "Error: no luck");
    }
}
