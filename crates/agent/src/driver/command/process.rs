//! The processes of a unit: its main process, and all processes that share its lock.
//!
//! The agent takes the lock before it spawns the main process, which gets the locked file as its
//! standard input. A flock(2) lock belongs to all duplicates of a file descriptor: it is held until
//! the last process that inherited one has exited. So the lock is never free while a process of the
//! unit runs, and a process without the lock is never mistaken for one of the unit.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{
    PidfdFlags, PidfdGetfdFlags, Signal, getpgid, pidfd_getfd, pidfd_open, pidfd_send_signal,
};
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::checked::Invocation;
use super::files::UnitFiles;
use super::pattern::Values;
use super::template::SignalName;
use crate::driver::lock_holder::{LockHolder, holders_by_input, process_id};
use crate::driver::{ExitStatus, UnitUser};

/// File descriptor at which a program finds a listening socket that the agent opened: the first one
/// after the standard descriptors, as in sd_listen_fds(3).
const LISTENER_FD: i32 = 3;
/// Timeout of a command that checks or reloads a configuration.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum length of such a command's output in an error message, in characters.
const MAX_OUTPUT_CHARS: usize = 240;

/// The main process of a unit: the process that the agent spawned, and signals to reload and to
/// stop.
#[derive(Debug)]
pub(super) struct MainProcess {
    pub(super) pid: u32,
    /// The pidfd of the process, which never refers to another one (pidfd_open(2)).
    pidfd: AsyncFd<OwnedFd>,
    /// Set for a child of this process. Only a parent gets the exit status.
    child: Option<Child>,
}

/// Options of [`MainProcess::spawn`].
pub(super) struct SpawnOptions<'a> {
    pub(super) invocation: &'a Invocation,
    pub(super) environment: Vec<(String, String)>,
    pub(super) values: &'a Values,
    pub(super) directory: &'a Path,
    pub(super) user: Option<UnitUser>,
    pub(super) lock: File,
    pub(super) listener: Option<&'a TcpListener>,
    pub(super) log: File,
}

impl MainProcess {
    /// Spawns a program in its own process group, so that a signal to the agent's group (Ctrl-C)
    /// does not reach the unit.
    pub(super) fn spawn(options: SpawnOptions<'_>) -> io::Result<Self> {
        let SpawnOptions { invocation, environment, values, directory, user, lock, listener, log } =
            options;
        let mut command = command(invocation, values, directory, user);
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
                .fd_mappings(vec![FdMapping { parent_fd, child_fd: LISTENER_FD }])
                .map_err(io::Error::other)?;
        }
        let mut child = command.spawn()?;
        match open_pidfd(&child) {
            Ok((pid, pidfd)) => Ok(Self { pid, pidfd, child: Some(child) }),
            Err(error) => {
                // A process without a supervisor must not run.
                child.start_kill()?;
                Err(error)
            }
        }
    }

    /// Returns once it has exited. Cancel-safe.
    pub(super) async fn exited(&mut self) -> ExitStatus {
        let Some(child) = &mut self.child else {
            // A pidfd becomes readable when its process ends.
            return match self.pidfd.readable().await {
                Ok(_) => ExitStatus::Unknown,
                Err(error) => {
                    tracing::error!(%error, "cannot observe an adopted process");
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
                tracing::error!(%error, "cannot wait for a child process");
                ExitStatus::Unknown
            }
        }
    }

    pub(super) fn signal(&self, signal: SignalName) {
        if let Err(error) = pidfd_send_signal(self.pidfd.get_ref(), signal.into()) {
            // It has already exited, which the supervisor notices on its own.
            tracing::debug!(pid = self.pid, ?signal, %error, "cannot signal the process");
        }
    }

    pub(super) fn kill(&self) {
        if let Err(error) = pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL) {
            tracing::debug!(pid = self.pid, %error, "cannot kill the process");
        }
    }

    /// Duplicates the listening socket that the process was started with.
    ///
    /// # Errors
    /// If the process has closed it, or the system denies access (Yama, unless the agent has the
    /// capability `CAP_SYS_PTRACE`).
    pub(super) fn listener(&self) -> io::Result<TcpListener> {
        let flags = PidfdGetfdFlags::empty();
        let descriptor = pidfd_getfd(self.pidfd.get_ref(), LISTENER_FD, flags)?;
        if !rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false) {
            return Err(io::Error::other(
                "file descriptor 3 of the process is not a listening socket",
            ));
        }
        Ok(TcpListener::from(descriptor))
    }
}

/// Opens a pidfd of a child that was not waited for yet, so that the pid is still its own.
fn open_pidfd(child: &Child) -> io::Result<(u32, AsyncFd<OwnedFd>)> {
    let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
    let pidfd = pidfd_open(process_id(pid)?, PidfdFlags::empty())?;
    Ok((pid, register(pidfd)?))
}

/// Registers a file descriptor with the runtime.
#[allow(
    deprecated,
    reason = "the replacement is unsafe, for types whose file descriptor may change"
)]
fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// Finds the main process among those that hold the lock at `path`. Returns `None` if it has
/// exited: its children may outlive it.
pub(super) fn find_main_process(path: &Path) -> io::Result<Option<MainProcess>> {
    let leads_its_group = |holder: &LockHolder| {
        let pid = process_id(holder.pid).ok();
        pid.is_some_and(|pid| getpgid(Some(pid)).is_ok_and(|group| group == pid))
    };
    let holder = holders_by_input(path)?.into_iter().find(leads_its_group);
    holder
        .map(|LockHolder { pid, pidfd }| {
            Ok(MainProcess { pid, pidfd: register(pidfd)?, child: None })
        })
        .transpose()
}

/// Runs a command to completion.
///
/// # Errors
/// If the command fails or times out. The error contains its output.
pub(super) async fn run(
    invocation: &Invocation,
    values: &Values,
    files: &UnitFiles,
) -> io::Result<()> {
    let mut command = command(invocation, values, &files.program_directory(), files.user());
    command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
    let program = invocation.program.display();
    let Ok(output) = timeout(COMMAND_TIMEOUT, command.output()).await else {
        return Err(io::Error::other(format!("{program} timed out after {COMMAND_TIMEOUT:?}")));
    };
    let output = output?;
    if output.status.success() {
        return Ok(());
    }
    let output_bytes = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&output_bytes).replace('\n', " ");
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_OUTPUT_CHARS).collect();
    Err(io::Error::other(format!("{program} failed with {}: {text}", output.status)))
}

fn command(
    invocation: &Invocation,
    values: &Values,
    directory: &Path,
    user: Option<UnitUser>,
) -> Command {
    let mut command = Command::new(&invocation.program);
    let arguments = invocation.arguments.iter().map(|pattern| OsString::from(pattern.fill(values)));
    command.args(arguments).env_clear().current_dir(directory);
    if let Some(UnitUser { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
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
