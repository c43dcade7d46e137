//! The processes that hold the lock of an incarnation, found in `/proc`.
//!
//! A process may hold a lock without a pid that its agent knows: the agent was restarted, and the
//! unit hangs. The lock identifies the process, however it was started.
//!
//! The functions block the calling thread while they scan `/proc`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process that holds a lock.
#[derive(Debug)]
pub(super) struct LockHolder {
    pub(super) pid: u32,
    /// The pidfd of the process, which never refers to another one (pidfd_open(2)).
    pub(super) pidfd: OwnedFd,
}

/// Finds every process that holds the lock at `path` through its standard input.
///
/// # Errors
/// If there is no file at `path`, or `/proc` cannot be read.
pub(super) fn holders_by_input(path: &Path) -> io::Result<Vec<LockHolder>> {
    let file = FileId::of(path)?;
    find(|pid| holds(pid, "0", file))
}

/// Kills every process that holds the lock at `path`, through any descriptor, and returns their
/// number.
///
/// # Errors
/// If there is no file at `path`, or `/proc` cannot be read.
pub(super) fn kill_holders(path: &Path) -> io::Result<usize> {
    let file = FileId::of(path)?;
    let holders = find(|pid| {
        // Of a process of another user, nothing can be read.
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut names = descriptors.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|descriptor| holds(pid, &descriptor, file))
    })?;
    for LockHolder { pid, pidfd } in &holders {
        if let Err(error) = pidfd_send_signal(pidfd, Signal::KILL) {
            tracing::debug!(pid, %error, "cannot kill the process");
        }
    }
    Ok(holders.len())
}

/// Finds every process that `holds` a lock, without this one.
fn find(holds: impl Fn(u32) -> bool) -> io::Result<Vec<LockHolder>> {
    let own = std::process::id();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != own && holds(*pid)) else { continue };
        let Ok(pidfd) = pidfd_open(process_id(pid)?, PidfdFlags::empty()) else { continue };
        // Before pidfd_open, the pid could have been reused by another process. Check again.
        if holds(pid) {
            found.push(LockHolder { pid, pidfd });
        }
    }
    Ok(found)
}

/// Device and inode number of a file (stat(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self(metadata.dev(), metadata.ino()))
    }
}

/// True if a descriptor of a process has the lock on a file. The file is not enough: any process
/// may have opened it for reading. `/proc/PID/fdinfo` shows the lock (proc(5)).
fn holds(pid: u32, descriptor: &str, file: FileId) -> bool {
    FileId::of(format!("/proc/{pid}/fd/{descriptor}")).is_ok_and(|open| open == file)
        && fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"))
            .is_ok_and(|fdinfo| is_locked(&fdinfo))
}

/// True if the `fdinfo` of a file descriptor shows a flock(2) lock.
fn is_locked(fdinfo: &str) -> bool {
    fdinfo.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}

/// Converts a process id.
///
/// # Errors
/// If no process can have this id.
pub(super) fn process_id(pid: u32) -> io::Result<Pid> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};

    use rustix::fs::{FlockOperation, flock};

    use super::*;

    /// Starts a process with this standard input and standard output.
    fn sleep(input: Stdio, output: Stdio) -> Child {
        Command::new("sleep").arg("600").stdin(input).stdout(output).spawn().unwrap()
    }

    #[test]
    fn only_processes_that_share_the_lock_are_found_and_killed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("u1.json");
        File::create(&path).unwrap();
        let lock = File::open(&path).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let mut reader = sleep(File::open(&path).unwrap().into(), Stdio::null());
        let mut by_output = sleep(Stdio::null(), lock.try_clone().unwrap().into());
        let mut by_input = sleep(lock.into(), Stdio::null());
        let found: Vec<u32> =
            holders_by_input(&path).unwrap().iter().map(|holder| holder.pid).collect();
        assert_eq!(found, [by_input.id()]);
        assert_eq!(kill_holders(&path).unwrap(), 2);
        assert_eq!(by_input.wait().unwrap().signal(), Some(9));
        assert_eq!(by_output.wait().unwrap().signal(), Some(9));
        assert_eq!(kill_holders(&path).unwrap(), 0);
        assert!(reader.try_wait().unwrap().is_none());
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
