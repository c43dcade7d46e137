//! A unit as a process: spawned by this process run of the agent, or adopted.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use meridian_domain::{AgentName, Incarnation};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};

use crate::driver::controlled::Instance;
use crate::driver::environment;
use crate::driver::run_directory::Intent;
use crate::driver::units::Units;
use crate::driver::{ExitStatus, UnitUser, blocking, lock_holder};

/// The process of a unit.
#[derive(Debug)]
pub(super) struct Process {
    handle: Handle,
    /// Path of the lock file, which identifies a process without a known pid.
    lock_file: PathBuf,
}

#[derive(Debug)]
enum Handle {
    /// Spawned by this process run of the agent, which gets its exit status.
    Child(Child),
    /// Adopted, and held by a pidfd, which always refers to the same process (pidfd_open(2)).
    Adopted(OwnedFd),
    /// Holds the lock of its incarnation; its pid is not known yet.
    Unknown,
}

impl Process {
    /// A process that was just spawned.
    pub(super) fn spawned(child: Child, lock_file: PathBuf) -> Self {
        Self { handle: Handle::Child(child), lock_file }
    }

    /// A process of an earlier process run of the agent, with this pid.
    pub(super) fn adopted(pid: Pid, lock_file: PathBuf) -> io::Result<Self> {
        Ok(Self { handle: Handle::adopted(pid)?, lock_file })
    }

    /// The process that holds the lock.
    pub(super) fn unknown(lock_file: PathBuf) -> Self {
        Self { handle: Handle::Unknown, lock_file }
    }

    /// Returns the pid of a spawned process that has not exited.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.handle {
            Handle::Child(child) => child.id(),
            Handle::Adopted(_) | Handle::Unknown => None,
        }
    }

    /// Kills the processes that hold the lock.
    async fn kill_lock_holders(&self) -> io::Result<()> {
        let lock_file = self.lock_file.clone();
        match blocking(move || lock_holder::kill_holders(&lock_file)).await? {
            0 => Err(io::Error::other("no process that holds its lock was found in /proc")),
            _ => Ok(()),
        }
    }
}

impl Handle {
    /// Opens a pidfd of an adopted process.
    fn adopted(pid: Pid) -> io::Result<Self> {
        Ok(Self::Adopted(pidfd_open(pid, PidfdFlags::empty())?))
    }

    fn is_dead(&self) -> bool {
        let Self::Adopted(process) = self else { return false };
        let mut readable = [PollFd::new(process, PollFlags::IN)];
        matches!(poll(&mut readable, Some(&Timespec::default())), Ok(1..))
    }
}

impl Instance for Process {
    fn is_new(&self) -> bool {
        matches!(self.handle, Handle::Child(_))
    }

    fn attach(&mut self, pid: Pid, is_locked: impl Fn() -> bool) -> io::Result<()> {
        if matches!(self.handle, Handle::Unknown) {
            let process = Handle::adopted(pid)?;
            // Only this incarnation holds its lock. If the lock is held after the pidfd was opened,
            // the process was alive then, and the pid still its own.
            if is_locked() {
                self.handle = process;
            }
        }
        Ok(())
    }

    /// Pends forever for a process that is not a child. The end of its control connection and
    /// [`has_exited`](Self::has_exited) show its exit instead.
    async fn exited(&mut self) -> ExitStatus {
        let Handle::Child(child) = &mut self.handle else { return std::future::pending().await };
        match child.wait().await {
            Ok(status) => status
                .code()
                .map(ExitStatus::Code)
                .or(status.signal().map(ExitStatus::Signal))
                .unwrap_or(ExitStatus::Unknown),
            Err(error) => {
                tracing::error!(%error, "cannot wait for a child process");
                ExitStatus::Unknown
            }
        }
    }

    fn has_exited(&self, is_locked: impl Fn() -> bool) -> bool {
        match &self.handle {
            Handle::Child(_) => false,
            Handle::Adopted(_) => self.handle.is_dead(),
            Handle::Unknown => !is_locked(),
        }
    }

    fn switch_to_lock_holder(&mut self) -> bool {
        // Another process is this incarnation, and the child exited in favor of it.
        self.handle = Handle::Unknown;
        true
    }

    async fn kill(&mut self) {
        let killed = match &mut self.handle {
            Handle::Child(child) => child.start_kill(),
            Handle::Adopted(process) => {
                pidfd_send_signal(process, Signal::KILL).map_err(Into::into)
            }
            Handle::Unknown => self.kill_lock_holders().await,
        };
        if let Err(error) = killed {
            tracing::warn!(%error, "cannot kill the unit");
        }
    }

    async fn output_tail(&self, units: &Units, incarnation: Incarnation) -> Option<String> {
        units.run.output_tail(incarnation)
    }
}

/// Program that runs as a unit. Default: this program, as `meridian unit ...`.
#[derive(Debug, Clone)]
pub struct Program {
    /// Path of the program. Default: the running program, even if its file has been replaced since.
    pub path: PathBuf,
    /// First arguments, before those that describe the unit. Default: `unit`.
    pub arguments: Vec<OsString>,
}

impl Default for Program {
    fn default() -> Self {
        // An upgrade removes the file of the running program. The link still leads to that version,
        // and agent and units should run the same one.
        let path = std::env::current_exe().ok().filter(|path| path.exists());
        Self {
            path: path.unwrap_or_else(|| PathBuf::from("/proc/self/exe")),
            arguments: vec!["unit".into()],
        }
    }
}

/// Spawns a unit. Its standard input is the listening socket, its working directory the run
/// directory, or its own if it has its own user. Of the environment, it gets only what it needs. It gets no pipe, because a pipe would break when the agent exits.
pub(super) fn spawn(
    program: &Program,
    agent: &AgentName,
    intent: &Intent,
    listener: &TcpListener,
    log: File,
    directory: &Path,
    user: Option<UnitUser>,
) -> io::Result<Child> {
    let Intent { cluster, unit, incarnation, generation, .. } = intent;
    let mut command = Command::new(&program.path);
    if let Some(UnitUser { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
        .args(&program.arguments)
        .args(["--cluster", &cluster.to_string()])
        .args(["--agent", agent.as_str()])
        .args(["--service", unit.service.as_str()])
        .args(["--region", unit.region.as_str()])
        .args(["--slot", &unit.slot.to_string()])
        .args(["--incarnation", &incarnation.to_string()])
        .args(["--generation", &generation.to_string()])
        .env_clear()
        .envs(environment::of_unit())
        .current_dir(directory)
        .stdin(Stdio::from(listener.as_fd().try_clone_to_owned()?))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .kill_on_drop(false)
        .spawn()
}
