//! Processes of the agents.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use meridian_durable::private_file;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::directory::{config_path, log_path};
use super::layout::Plan;
use crate::cli::CONFIG_VARIABLE;
use crate::client::quote;
use crate::config::key::KEYS;
use crate::daemon::REMOVED;

/// Maximum time for an agent to shut down before it is killed.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(12);
/// Interval of checks for the end of a process.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Number of bytes at the end of a log that are read for its last lines.
const TAIL_BYTES: u64 = 4096;

/// The binary of the agents, which is this one.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// Returns the binary of this process.
    ///
    /// # Errors
    /// If the operating system does not report its path.
    pub fn of_this_process() -> io::Result<Self> {
        std::env::current_exe().map(Self)
    }

    /// Uses the binary at this path.
    #[cfg(test)]
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the command that puts the binary on the PATH as `meridian`; `None` if it is there.
    #[must_use]
    pub fn on_path(&self) -> Option<String> {
        let found = std::env::var_os("PATH").and_then(|path| {
            std::env::split_paths(&path)
                .map(|folder| folder.join("meridian"))
                .find(|it| it.is_file())
        });
        if found.and_then(|found| found.canonicalize().ok()).is_some_and(|found| found == self.0) {
            return None;
        }
        let folder = self.0.parent().unwrap_or(Path::new("/"));
        let within = std::env::current_dir().ok();
        let within = within.and_then(|directory| folder.strip_prefix(directory).ok());
        Some(match within {
            Some(relative) => format!("export PATH=\"$PWD/{}:$PATH\"", relative.display()),
            None => format!("export PATH=\"{}:$PATH\"", folder.display()),
        })
    }

    /// Returns the path, quoted for a shell.
    #[must_use]
    pub fn quoted(&self) -> String {
        quote(&self.0.to_string_lossy())
    }

    /// Returns the command that starts an agent, quoted for a shell.
    #[must_use]
    pub fn agent_line(&self, plan: &Plan) -> String {
        let config = config_path(plan);
        format!("{} agent --config {}", self.quoted(), quote(&config.to_string_lossy()))
    }

    /// Starts an agent in its own process group, so that Ctrl-C signals only this process, which
    /// then stops the agents gracefully.
    ///
    /// # Errors
    /// If the process cannot be spawned.
    pub fn start_agent(&self, plan: &Plan) -> io::Result<Child> {
        let log = private_file().create(true).append(true).open(log_path(plan))?;
        let mut command = Command::new(&self.0);
        command
            .args(["agent", "--config"])
            .arg(config_path(plan))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        // Variables would override the configuration files, and would be the same for every agent.
        for variable in KEYS.iter().map(|key| key.variable()) {
            command.env_remove(variable);
        }
        command.env_remove(CONFIG_VARIABLE).spawn()
    }
}

/// A handle to a process that never signals another process that reuses its pid.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// Opens a handle to the running process with this pid.
    ///
    /// # Errors
    /// If there is no such process, or it cannot be opened.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Sends SIGTERM, and returns once the process has ended. Kills it after a timeout, or when
    /// `forced` is cancelled.
    pub async fn stop(&self, forced: &CancellationToken) {
        self.signal(Signal::TERM);
        tokio::select! {
            () = self.ended() => return,
            () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => {}
            () = forced.cancelled() => {}
        }
        self.signal(Signal::KILL);
        self.ended().await;
    }

    async fn ended(&self) {
        while !self.has_ended() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn has_ended(&self) -> bool {
        // The descriptor becomes readable when the process ends (pidfd_open(2)). An error of poll counts
        // as the end, so that `stop` cannot hang.
        let mut descriptors = [PollFd::new(&self.0, PollFlags::IN)];
        let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut descriptors, Some(&no_wait)) != Ok(0)
    }

    fn signal(&self, signal: Signal) {
        // Fails only if the process has already ended.
        let _ = pidfd_send_signal(&self.0, signal);
    }
}

/// Describes how a process ended.
#[must_use]
pub fn describe(status: &io::Result<ExitStatus>) -> String {
    // The standard library prints `exit status: 1` and `signal: 9 (SIGKILL)`.
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Returns true if the agent with this log ended because its cluster removed it.
#[must_use]
pub fn was_removed(log: &Path) -> bool {
    last_lines(log).iter().any(|line| line.contains(REMOVED))
}

/// Returns the last two non-empty lines of a log.
#[must_use]
pub fn last_lines(log: &Path) -> Vec<String> {
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(2)..].iter().map(|line| (*line).to_owned()).collect()
}
