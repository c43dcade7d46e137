//! One agent as a process of the operating system.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::home::{config_path, log_path};
use super::layout::Plan;
use crate::agent::REMOVED;
use crate::cli::CONFIG_VARIABLE;
use crate::client::quote;
use crate::config::key::KEYS;

/// How long an agent may take to stop by itself: a little more than it gives itself.
const PATIENCE: Duration = Duration::from_secs(12);
/// How often a process is looked at that was told to stop.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes at the end of a log in which the last lines are looked for.
const TAIL_BYTES: u64 = 4096;

/// The program that runs the agents: this one.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// The program that runs now.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn of_this_process() -> io::Result<Self> {
        std::env::current_exe().map(Self)
    }

    /// Its path, quoted for a shell.
    #[must_use]
    pub fn quoted(&self) -> String {
        quote(&self.0.to_string_lossy())
    }

    /// The command line that starts an agent, quoted for a shell.
    #[must_use]
    pub fn agent_line(&self, plan: &Plan) -> String {
        let config = config_path(plan);
        format!("{} agent --config {}", self.quoted(), quote(&config.to_string_lossy()))
    }

    /// Starts an agent, in a process group of its own: Ctrl-C is for this process, which then stops
    /// the agents in order.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn start_agent(&self, plan: &Plan) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(log_path(plan))?;
        let mut command = Command::new(&self.0);
        command
            .args(["agent", "--config"])
            .arg(config_path(plan))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        // They would count for every agent alike, and more than the files.
        for variable in KEYS.iter().map(|key| key.variable()) {
            command.env_remove(variable);
        }
        command.env_remove(CONFIG_VARIABLE).spawn()
    }
}

/// A process that can be told to stop without ever meeting another one with its number.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// A handle to the process with this number, if it runs.
    ///
    /// # Errors
    /// If it does not, or the operating system refuses.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Has the process stop, and returns when it has ended: by itself, or killed once it was given
    /// long enough or `impatient` is cancelled.
    pub async fn stop(&self, impatient: &CancellationToken) {
        self.signal(Signal::TERM);
        tokio::select! {
            () = self.ended() => return,
            () = tokio::time::sleep(PATIENCE) => {}
            () = impatient.cancelled() => {}
        }
        self.signal(Signal::KILL);
        self.ended().await;
    }

    async fn ended(&self) {
        while !self.has_ended() {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn has_ended(&self) -> bool {
        // The descriptor is readable from the end of the process on (pidfd_open(2)). One that cannot
        // be polled is as good as none.
        let mut descriptors = [PollFd::new(&self.0, PollFlags::IN)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut descriptors, Some(&at_once)) != Ok(0)
    }

    fn signal(&self, signal: Signal) {
        // It fails only for a process that has ended already.
        let _ = pidfd_send_signal(&self.0, signal);
    }
}

/// How a process ended, for people.
#[must_use]
pub fn describe(status: &io::Result<ExitStatus>) -> String {
    // The standard library says `exit status: 1` and `signal: 9 (SIGKILL)`.
    match status {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Whether the agent of this log ended because its cluster had removed it.
#[must_use]
pub fn was_removed(log: &Path) -> bool {
    last_words(log).iter().any(|line| line.contains(REMOVED))
}

/// The last lines of a log, two at most.
#[must_use]
pub fn last_words(log: &Path) -> Vec<String> {
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
