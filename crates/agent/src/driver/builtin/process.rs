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

use crate::driver::ExitStatus;
use crate::driver::controlled::Instance;
use crate::driver::run_directory::Intent;
use crate::driver::units::Units;

/// The process of a unit.
#[derive(Debug)]
pub(super) enum Process {
    /// Spawned by this process run of the agent, which gets its exit status.
    Child(Child),
    /// Adopted, and held by a pidfd, which always refers to the same process (pidfd_open(2)).
    Adopted(OwnedFd),
    /// Holds the lock of its incarnation; its pid is not known yet.
    Unknown,
}

impl Process {
    /// Opens a pidfd of an adopted process.
    pub(super) fn find(pid: Pid) -> io::Result<Self> {
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
        matches!(self, Self::Child(_))
    }

    fn attach(&mut self, pid: Pid, is_locked: impl Fn() -> bool) -> io::Result<()> {
        if matches!(self, Self::Unknown) {
            let process = Self::find(pid)?;
            // Only this incarnation holds its lock. If the lock is held after `find`, the process
            // was alive then, and the pid still its own.
            if is_locked() {
                *self = process;
            }
        }
        Ok(())
    }

    /// Pends forever for a process that is not a child. The end of its control connection and
    /// [`has_exited`](Self::has_exited) show its exit instead.
    async fn exited(&mut self) -> ExitStatus {
        let Self::Child(child) = self else { return std::future::pending().await };
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
        match self {
            Self::Child(_) => false,
            Self::Adopted(_) => self.is_dead(),
            Self::Unknown => !is_locked(),
        }
    }

    fn switch_to_lock_holder(&mut self) -> bool {
        // Another process is this incarnation, and the child exited in favor of it.
        *self = Self::Unknown;
        true
    }

    async fn kill(&mut self) {
        let killed = match self {
            Self::Child(child) => child.start_kill(),
            Self::Adopted(process) => pidfd_send_signal(process, Signal::KILL).map_err(Into::into),
            Self::Unknown => Err(io::ErrorKind::NotFound.into()),
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
/// directory. It gets no pipe, because a pipe would break when the agent exits.
pub(super) fn spawn(
    program: &Program,
    agent: &AgentName,
    intent: &Intent,
    listener: &TcpListener,
    log: File,
    directory: &Path,
) -> io::Result<Child> {
    let Intent { cluster, unit, incarnation, generation, .. } = intent;
    Command::new(&program.path)
        .args(&program.arguments)
        .args(["--cluster", &cluster.to_string()])
        .args(["--agent", agent.as_str()])
        .args(["--service", unit.service.as_str()])
        .args(["--region", unit.region.as_str()])
        .args(["--slot", &unit.slot.to_string()])
        .args(["--incarnation", &incarnation.to_string()])
        .args(["--generation", &generation.to_string()])
        .current_dir(directory)
        .stdin(Stdio::from(listener.as_fd().try_clone_to_owned()?))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .kill_on_drop(false)
        .spawn()
}
