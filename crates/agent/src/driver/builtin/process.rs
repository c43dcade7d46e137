//! A unit as a process: spawned by this life of the agent, or found.

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
use crate::driver::controlled::Body;
use crate::driver::run_directory::Intent;
use crate::driver::units::Units;

/// The process of a unit.
#[derive(Debug)]
pub(super) enum Process {
    /// Spawned by this life of the agent, which is told how it ends.
    Child(Child),
    /// Found, and held by a descriptor that stays with this very process (pidfd_open(2)).
    Found(OwnedFd),
    /// It holds its lock; more is not known yet.
    Unknown,
}

impl Process {
    /// Takes hold of a found process.
    pub(super) fn find(pid: Pid) -> io::Result<Self> {
        Ok(Self::Found(pidfd_open(pid, PidfdFlags::empty())?))
    }

    fn is_dead(&self) -> bool {
        let Self::Found(process) = self else { return false };
        let mut readable = [PollFd::new(process, PollFlags::IN)];
        matches!(poll(&mut readable, Some(&Timespec::default())), Ok(1..))
    }
}

impl Body for Process {
    fn is_new(&self) -> bool {
        matches!(self, Self::Child(_))
    }

    fn take_hold(&mut self, pid: Pid, is_locked: impl Fn() -> bool) -> io::Result<()> {
        if matches!(self, Self::Unknown) {
            let process = Self::find(pid)?;
            // Only this incarnation holds its lock. So it was alive after `find`, and the process
            // id was still its own.
            if is_locked() {
                *self = process;
            }
        }
        Ok(())
    }

    /// Never for another process than a child: its connection ends with it, and
    /// [`is_gone`](Self::is_gone) then says the rest.
    async fn ended(&mut self) -> ExitStatus {
        let Self::Child(child) = self else { return std::future::pending().await };
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

    fn is_gone(&self, is_locked: impl Fn() -> bool) -> bool {
        match self {
            Self::Child(_) => false,
            Self::Found(_) => self.is_dead(),
            Self::Unknown => !is_locked(),
        }
    }

    fn is_displaced(&mut self) -> bool {
        // Somebody else is this incarnation, and the child made way for it.
        *self = Self::Unknown;
        true
    }

    async fn kill(&mut self) {
        let killed = match self {
            Self::Child(child) => child.start_kill(),
            Self::Found(process) => pidfd_send_signal(process, Signal::KILL).map_err(Into::into),
            Self::Unknown => Err(io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = killed {
            tracing::warn!(%error, "a unit could not be killed");
        }
    }

    async fn last_words(&self, units: &Units, incarnation: Incarnation) -> Option<String> {
        units.run.last_words(incarnation)
    }
}

/// What is run for each unit: by default this program itself, as `meridian unit ...`.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program. Default: the one that runs now, even if its file was replaced meanwhile.
    pub path: PathBuf,
    /// Its first arguments, before those that describe the unit. Default: `unit`.
    pub arguments: Vec<OsString>,
}

impl Default for Program {
    fn default() -> Self {
        // An upgrade removes the file of the running program. The link still leads to it, and agent
        // and units should be of one version.
        let path = std::env::current_exe().ok().filter(|path| path.exists());
        Self {
            path: path.unwrap_or_else(|| PathBuf::from("/proc/self/exe")),
            arguments: vec!["unit".into()],
        }
    }
}

/// Spawns a unit: the listening socket is its standard input, the run directory its working
/// directory, and nothing of it is a pipe that would break with the agent.
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
