//! Running processes, found in /proc and held by pidfd.

use std::fs;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::binary::binary;

/// Timeout for a killed process to exit.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);

/// State of an established connection in /proc/PID/net/tcp.
const ESTABLISHED: &str = "01";

/// A process of the binary under test. The pidfd refers to this process only, so a signal never
/// reaches another process that reuses the pid.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    /// Arguments after the program name.
    arguments: Vec<String>,
    directory: PathBuf,
    /// Start time in clock ticks since boot.
    start_time: u64,
    handle: OwnedFd,
}

/// A running unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitProcess {
    /// Its service.
    pub service: String,
    /// Its region.
    pub region: String,
    /// Incarnation of the unit.
    pub incarnation: u64,
    /// Process id.
    pub pid: u32,
}

impl Process {
    /// Returns all processes of the binary under test that work on `directory`: their working
    /// directory or one of their arguments is a path within it.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn all_within(directory: &Path) -> anyhow::Result<Vec<Self>> {
        let binary = binary()?;
        let entries = fs::read_dir("/proc").context("cannot read /proc")?;
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        // Processes that exit meanwhile are skipped.
        let found = pids.filter_map(|pid| Self::open(pid).filter(|_| runs_program(pid, binary)));
        Ok(found.filter(|process| process.works_on(directory)).collect())
    }

    fn open(pid: u32) -> Option<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw)?;
        // Open the pidfd first: if the pid is reused before the reads below, the original process
        // has ended and the final check discards the result.
        let handle = pidfd_open(number, PidfdFlags::empty()).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let mut arguments = line.split(|byte| *byte == 0);
        arguments.next()?;
        let arguments = arguments.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        let directory = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        // Field 22 of proc_pid_stat(5); the second field, in parentheses, may contain any
        // character.
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_time = status.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
        let process = Self { pid, arguments, directory, start_time, handle };
        (!process.has_ended()).then_some(process)
    }

    /// Returns true if its working directory is within `directory`, as that of a unit is in its
    /// agent's.
    #[must_use]
    pub fn works_within(&self, directory: &Path) -> bool {
        self.directory.starts_with(directory)
    }

    /// Returns true if its working directory or one of its arguments is within `directory`.
    pub(super) fn works_on(&self, directory: &Path) -> bool {
        let names = |argument: &String| Path::new(argument).starts_with(directory);
        self.directory.starts_with(directory) || self.arguments.iter().any(names)
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the start time, which is only meaningful to order processes.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// Returns the arguments after the program name.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Returns the unit that the process runs, if any.
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

    /// Returns true if a connection to this address is established in the network namespace of the
    /// process, according to proc_pid_net(5).
    ///
    /// # Errors
    /// If the process has exited.
    pub fn sees_connection_to(&self, address: SocketAddrV4) -> anyhow::Result<bool> {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", self.pid))
            .with_context(|| format!("process {} has exited", self.pid))?;
        let ip = u32::from_ne_bytes(address.ip().octets());
        let remote = format!("{ip:08X}:{:04X}", address.port());
        let established = |line: &str| {
            let mut fields = line.split_whitespace().skip(2);
            fields.next() == Some(&remote) && fields.next() == Some(ESTABLISHED)
        };
        Ok(table.lines().any(established))
    }

    /// Kills the process with SIGKILL, and waits for it to exit.
    ///
    /// # Errors
    /// If it does not exit in time.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL);
        let limit = Timespec::try_from(KILL_TIMEOUT).context("invalid timeout")?;
        let mut descriptors = [PollFd::new(&self.handle, PollFlags::IN)];
        // SIGCHLD interrupts the poll.
        let ended = retry_on_intr(|| poll(&mut descriptors, Some(&limit)))?;
        ensure!(
            ended == 1,
            "process {} did not exit within {KILL_TIMEOUT:?} after SIGKILL",
            self.pid
        );
        Ok(())
    }

    /// Requests a graceful shutdown with SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGHUP, as a closed terminal or a service manager does.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Freezes the process with SIGSTOP, which looks like a partition to the others. Waits until
    /// the signal has taken effect, because the process keeps running until then.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        while !self.has_ended() && !self.is_frozen() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Returns true if the process is [frozen](Self::freeze).
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:\tT"))
    }

    /// Resumes a frozen process with SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Returns true if the process has exited.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let mut descriptors = [PollFd::new(&self.handle, PollFlags::IN)];
        retry_on_intr(|| poll(&mut descriptors, Some(&Timespec::default()))) != Ok(0)
    }

    fn signal(&self, signal: Signal) {
        // Fails only if the process has already exited.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

/// Returns true if the process runs the program, even if the file was replaced by a rebuild since.
fn runs_program(pid: u32, program: &Path) -> bool {
    let Ok(path) = fs::read_link(format!("/proc/{pid}/exe")) else { return false };
    let path = path.to_string_lossy();
    Path::new(path.strip_suffix(" (deleted)").unwrap_or(&path)) == program
}
