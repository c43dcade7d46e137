//! What runs: found in /proc, held by descriptors.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::binary::binary;

/// How long a killed process may take to be gone.
const GONE: Duration = Duration::from_secs(20);

/// A process of the binary under test. The descriptor stays with this very process, so that no
/// signal ever meets another one of the same number.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    /// Its arguments, behind the name of the program.
    arguments: Vec<String>,
    directory: PathBuf,
    /// When it began, in ticks since the machine did.
    began: u64,
    handle: OwnedFd,
}

/// A unit that runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitProcess {
    /// Its service.
    pub service: String,
    /// Its region.
    pub region: String,
    /// Its assignment.
    pub incarnation: u64,
    /// Its process.
    pub pid: u32,
}

impl Process {
    /// Every process of the binary under test that works on something within `directory`: that was
    /// given a path there, or was started there.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn all_within(directory: &Path) -> anyhow::Result<Vec<Self>> {
        let binary = binary()?;
        let entries = fs::read_dir("/proc").context("/proc")?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // One that ends while it is looked at is not there.
        let found = pids.filter_map(|pid| Self::look(pid).filter(|_| runs(pid, binary)));
        Ok(found.filter(|process| process.works_on(directory)).collect())
    }

    fn look(pid: u32) -> Option<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        // The handle first: if the number passes to another process, what is read is not believed,
        // because a dead process has no arguments.
        let handle = pidfd_open(number, PidfdFlags::empty()).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.next()?;
        let arguments = arguments.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        // Field 22 of proc_pid_stat(5); the second one, in parentheses, may hold anything.
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let began = status.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        let process = Self { pid, arguments, directory, began, handle };
        (!process.has_ended()).then_some(process)
    }

    /// Whether it was started in that directory: as a unit is in its agent's.
    #[must_use]
    pub fn works_within(&self, directory: &Path) -> bool {
        self.directory.starts_with(directory)
    }

    /// Whether it was started in that directory, or was given a path there.
    pub(super) fn works_on(&self, directory: &Path) -> bool {
        let names = |argument: &String| Path::new(argument).starts_with(directory);
        self.directory.starts_with(directory) || self.arguments.iter().any(names)
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it began: the order of two processes, and nothing else.
    #[must_use]
    pub fn began(&self) -> u64 {
        self.began
    }

    /// Its arguments, behind the name of the program.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The unit that it is, if it is one.
    #[must_use]
    pub fn unit(&self) -> Option<UnitProcess> {
        let mut words = self.arguments.iter();
        words.next().filter(|word| *word == "unit")?;
        let value = |name: &str| {
            let at = self.arguments.iter().position(|word| word == name)?;
            self.arguments.get(at + 1).cloned()
        };
        Some(UnitProcess {
            service: value("--service")?,
            region: value("--region")?,
            incarnation: value("--incarnation")?.parse().ok()?,
            pid: self.pid,
        })
    }

    /// Kills it with SIGKILL, and returns when it has ended.
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL);
        let limit = Timespec::try_from(GONE).context("is a time")?;
        let mut descriptors = [PollFd::new(&self.handle, PollFlags::IN)];
        // The end of a child of this process interrupts the call.
        let ended = retry_on_intr(|| poll(&mut descriptors, Some(&limit)))?;
        ensure!(ended == 1, "process {} was killed and did not end within {GONE:?}", self.pid);
        Ok(())
    }

    /// Tells it to stop in order, with SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Freezes it, with SIGSTOP: to the others it is as good as cut off. It goes on until its first
    /// thread runs again and finds the signal, which is waited for.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        while !self.has_ended() && !self.is_stopped() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_stopped(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    }

    /// Ends the freezing.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut descriptors = [PollFd::new(&self.handle, PollFlags::IN)];
        retry_on_intr(|| poll(&mut descriptors, Some(&Timespec::default()))) != Ok(0)
    }

    fn signal(&self, signal: Signal) {
        // It fails only for a process that has ended already.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

/// Whether the process runs that program, which may have been built anew since.
fn runs(pid: u32, program: &Path) -> bool {
    let Ok(path) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    let path = path.to_string_lossy();
    Path::new(path.strip_suffix(" (deleted)").unwrap_or(&path)) == program
}
