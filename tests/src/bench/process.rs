//! A child process, killed when dropped.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Maximum number of bytes of the log shown when a process exits unexpectedly.
const LOG_TAIL: usize = 2_000;

/// Clock ticks per second in proc(5): 100 on all current Linux architectures.
const TICKS: f64 = 100.0;

/// Timeout for a process to exit after SIGTERM.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(3);

/// A child process.
pub struct Process(Child);

impl Process {
    /// Starts a process; its output is appended to the file `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        Self::start_with(command, Stdio::null(), log)
    }

    /// Starts a process with the given standard input; its output is appended to the file `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_with(command: &mut Command, input: Stdio, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(input).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let program = command.as_std().get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program:?}"))?;
        Ok(Self(child))
    }

    /// Kills the process with SIGKILL, and waits for it to exit.
    ///
    /// # Errors
    /// If that fails.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.0.kill().await?)
    }

    /// Sends SIGTERM, and waits for the process to exit or for the timeout.
    pub fn terminate(&mut self) {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return };
        // Fails only if the process has already exited.
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + TERMINATION_TIMEOUT;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Checks that the process is still running.
    ///
    /// # Errors
    /// If it has exited; the error includes the end of its `log`.
    pub fn check(&mut self, log: &Path) -> anyhow::Result<()> {
        let Some(status) = self.0.try_wait()? else { return Ok(()) };
        let text = fs::read(log)?;
        let end = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL)..]);
        anyhow::bail!("the process exited unexpectedly ({status}); end of its log:\n{end}")
    }

    /// Returns the CPU time used by all its threads: `utime` and `stime` of proc(5).
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        cpu_time(self.pid()?)
    }

    /// Returns the CPU time of the process and its running children.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn total_cpu_time(&self) -> anyhow::Result<Duration> {
        let children = self.proc_file(&format!("task/{}/children", self.pid()?))?;
        let children = children.split_whitespace().map(|pid| cpu_time(pid.parse()?));
        children.chain([self.cpu_time()]).sum()
    }

    /// Returns the number of open descriptors.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()?))?.count())
    }

    /// Returns the number of threads.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn threads(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.pid()?))?.count())
    }

    /// Returns the resident memory in bytes: `VmRSS` of proc(5).
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = self.proc_file("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("/proc/PID/status has no VmRSS")?.trim().parse::<u64>()? << 10)
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.0.id().context("the process has exited")
    }

    fn proc_file(&self, file: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.pid()?))?)
    }
}

fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, which may contain any character.
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks = ticks.sum::<Result<u32, _>>()?;
    Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS))
}
