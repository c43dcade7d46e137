//! A unit as processes: the first of them, and all that share its lock.
//!
//! The agent takes the lock before it spawns the first process, whose standard input the locked file
//! becomes. A lock of flock(2) belongs to all duplicates of a descriptor: it is held until the last
//! process that inherited it has ended, whoever else is gone by then. So there is no moment at which a
//! process runs and its lock is free, and none without the lock is ever taken for the unit.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpgid, pidfd_getfd, pidfd_open, pidfd_send_signal,
};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::checked::Invocation;
use super::pattern::Values;
use super::template::SignalName;
use crate::driver::ExitStatus;

/// Where a program finds a listening socket that the agent opened: the first descriptor after the
/// standard ones, as sd_listen_fds(3) has it.
const LISTENER: i32 = 3;
/// For a program that checks or reloads a configuration.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);
/// Characters of what such a program says that are kept.
const COMMAND_SAYS_CHARS: usize = 240;

/// The first process of a unit: the one that is told to reload and to stop.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) pid: u32,
    /// Stays with this very process (pidfd_open(2)).
    descriptor: AsyncFd<OwnedFd>,
    /// Only a parent is told how it ends.
    child: Option<Child>,
}

/// What a program is started with.
pub(super) struct Start<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) environment: Vec<(String, String)>,
    pub(super) values: &'a Values,
    pub(super) directory: &'a Path,
    pub(super) lock: File,
    pub(super) listener: Option<&'a TcpListener>,
    pub(super) log: File,
}

impl Leader {
    /// Starts a program, in a process group of its own, so that what ends the agent's (Ctrl-C) does
    /// not end the unit.
    pub(super) fn spawn(start: Start<'_>) -> io::Result<Self> {
        let Start { invocation, environment, values, directory, lock, listener, log } = start;
        let mut command = command(invocation, values, directory);
        command
            .envs(environment)
            .stdin(Stdio::from(lock))
            .stdout(Stdio::from(log.try_clone()?))
            .stderr(Stdio::from(log))
            .process_group(0)
            .kill_on_drop(false);
        if let Some(listener) = listener {
            let parent_fd = listener.as_fd().try_clone_to_owned()?;
            command
                .fd_mappings(vec![FdMapping { parent_fd, child_fd: LISTENER }])
                .map_err(io::Error::other)?;
        }
        let mut child = command.spawn()?;
        match take_hold(&child) {
            Ok((pid, descriptor)) => Ok(Self { pid, descriptor, child: Some(child) }),
            Err(error) => {
                // What cannot be watched must not run.
                child.start_kill()?;
                Err(error)
            }
        }
    }

    /// Returns once it has ended. Safe to cancel.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        let Some(child) = &mut self.child else {
            // A pidfd becomes readable when its process ends.
            return match self.descriptor.readable().await {
                Ok(_) => ExitStatus::Unknown,
                Err(error) => {
                    tracing::error!(%error, "a found process cannot be watched");
                    std::future::pending().await
                }
            };
        };
        match child.wait().await {
            Ok(status) => status
                .code()
                .map(ExitStatus::Code)
                .or(status.signal().map(ExitStatus::Signal))
                .unwrap_or(ExitStatus::Unknown),
            Err(error) => {
                tracing::error!(%error, "a child cannot be waited for");
                ExitStatus::Unknown
            }
        }
    }

    pub(super) fn signal(&self, signal: SignalName) {
        if let Err(error) = pidfd_send_signal(self.descriptor.get_ref(), signal.into()) {
            // It has ended by itself, which is noticed elsewhere.
            tracing::debug!(pid = self.pid, ?signal, %error, "not signalled");
        }
    }

    pub(super) fn kill(&self) {
        if let Err(error) = pidfd_send_signal(self.descriptor.get_ref(), Signal::KILL) {
            tracing::debug!(pid = self.pid, %error, "not killed");
        }
    }

    /// A duplicate of the listening socket that it was started with.
    ///
    /// # Errors
    /// If it has let go of that, or the system does not let the agent have it (Yama, unless the agent
    /// has the capability `CAP_SYS_PTRACE`).
    pub(super) fn listener(&self) -> io::Result<TcpListener> {
        let flags = PidfdGetfdFlags::empty();
        let descriptor = pidfd_getfd(self.descriptor.get_ref(), LISTENER, flags)?;
        if !rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false) {
            return Err(io::Error::other("its descriptor 3 is no listening socket any more"));
        }
        Ok(TcpListener::from(descriptor))
    }
}

/// A descriptor of a child that was not waited for yet, so that its number is still its own.
fn take_hold(child: &Child) -> io::Result<(u32, AsyncFd<OwnedFd>)> {
    let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
    let descriptor = pidfd_open(process_id(pid)?, PidfdFlags::empty())?;
    Ok((pid, watched(descriptor)?))
}

/// Registers a descriptor with the runtime.
#[allow(
    deprecated,
    reason = "its replacement is unsafe, for types that may change their descriptor"
)]
fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// A process that shares a unit's lock.
struct Holder {
    pid: u32,
    descriptor: OwnedFd,
}

/// The first process of the unit that holds the lock at `path`, if it is alive. Its children may
/// outlive it.
pub(super) fn find_leader(path: &Path) -> io::Result<Option<Leader>> {
    let is_first = |holder: &Holder| {
        let pid = process_id(holder.pid).ok();
        pid.is_some_and(|pid| getpgid(Some(pid)).is_ok_and(|group| group == pid))
    };
    let Some(Holder { pid, descriptor }) = holders(path)?.into_iter().find(is_first) else {
        return Ok(None);
    };
    Ok(Some(Leader { pid, descriptor: watched(descriptor)?, child: None }))
}

/// Kills every process that holds the lock at `path`. How many there were.
pub(super) fn kill_holders(path: &Path) -> io::Result<usize> {
    let holders = holders(path)?;
    for Holder { pid, descriptor } in &holders {
        if let Err(error) = pidfd_send_signal(descriptor, Signal::KILL) {
            tracing::debug!(pid, %error, "not killed");
        }
    }
    Ok(holders.len())
}

/// Every process that holds the lock at `path` by its standard input. Reads a lot of `/proc`.
///
/// The path of the file alone says nothing: whoever reads the file has that. That the lock itself goes
/// with the descriptor is what `/proc/PID/fdinfo` says (proc(5)).
fn holders(path: &Path) -> io::Result<Vec<Holder>> {
    let file = fs::metadata(path)?;
    let own = std::process::id();
    let holds = |pid: u32| {
        let input = fs::metadata(format!("/proc/{pid}/fd/0"));
        input.is_ok_and(|input| (input.dev(), input.ino()) == (file.dev(), file.ino()))
            && fs::read_to_string(format!("/proc/{pid}/fdinfo/0"))
                .is_ok_and(|said| is_locked(&said))
    };
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.filter(|pid| *pid != own && holds(*pid)) else { continue };
        let Ok(descriptor) = pidfd_open(process_id(pid)?, PidfdFlags::empty()) else { continue };
        // The number could have gone to another process since, which the descriptor would then be of.
        if holds(pid) {
            found.push(Holder { pid, descriptor });
        }
    }
    Ok(found)
}

/// Whether a descriptor has a lock, from its `fdinfo`.
fn is_locked(fdinfo: &str) -> bool {
    fdinfo.lines().any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}

fn process_id(pid: u32) -> io::Result<Pid> {
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    number.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Runs a program that has to end soon and without an error.
///
/// # Errors
/// With what it said, if it failed.
pub(super) async fn run(
    invocation: &Invocation,
    values: &Values,
    directory: &Path,
) -> io::Result<()> {
    let mut command = command(invocation, values, directory);
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let program = invocation.program.display();
    let Ok(output) = timeout(COMMAND_LIMIT, command.output()).await else {
        return Err(io::Error::other(format!("{program} took more than {COMMAND_LIMIT:?}")));
    };
    let output = output?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace('\n', " ");
    let said: String = said.chars().filter(|c| !c.is_control()).take(COMMAND_SAYS_CHARS).collect();
    Err(io::Error::other(format!("{program}: {}, and says: {said}", output.status)))
}

fn command(invocation: &Invocation, values: &Values, directory: &Path) -> Command {
    let mut command = Command::new(&invocation.program);
    let arguments = invocation.arguments.iter().map(|pattern| OsString::from(pattern.fill(values)));
    command.args(arguments).env_clear().current_dir(directory);
    command
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Hup => Self::HUP,
            SignalName::Int => Self::INT,
            SignalName::Quit => Self::QUIT,
            SignalName::Term => Self::TERM,
            SignalName::Usr1 => Self::USR1,
            SignalName::Usr2 => Self::USR2,
            SignalName::Winch => Self::WINCH,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use rustix::fs::{FlockOperation, flock};

    use super::*;

    #[test]
    fn only_processes_that_share_the_lock_are_found_and_killed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("u1.json");
        File::create(&path).unwrap();
        let lock = File::open(&path).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let sleep = |input: File| {
            std::process::Command::new("sleep").arg("600").stdin(input).spawn().unwrap()
        };
        let mut reader = sleep(File::open(&path).unwrap());
        let mut unit = sleep(lock);
        let found: Vec<u32> = holders(&path).unwrap().iter().map(|holder| holder.pid).collect();
        assert_eq!(found, [unit.id()]);
        assert_eq!(kill_holders(&path).unwrap(), 1);
        assert_eq!(unit.wait().unwrap().signal(), Some(9));
        assert!(holders(&path).unwrap().is_empty());
        assert!(reader.try_wait().unwrap().is_none());
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
