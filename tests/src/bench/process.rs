//! One process that this one started. Dropped, it is killed.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Bytes at the end of a log that are shown when a process ended by itself.
const LAST_WORDS: usize = 2_000;

/// Ticks in a second of processor time in proc(5): the same on every machine on which Linux runs by now.
const TICKS: f64 = 100.0;

/// How long a process may take to end after SIGTERM.
const TERMINATION: Duration = Duration::from_secs(3);

/// A process.
pub struct Process(Child);

impl Process {
    /// Starts it; what it prints is added to the file `log`.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        Self::start_with(command, Stdio::null(), log)
    }

    /// Starts it with something as its standard input; what it prints is added to the file `log`.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn start_with(command: &mut Command, input: Stdio, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(input).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let program = command.as_std().get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot start {program:?}"))?;
        Ok(Self(child))
    }

    /// Ends it with SIGKILL, and waits until it has ended.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.0.kill().await?)
    }

    /// Ends it with SIGTERM, and returns when it has ended or took longer than is good.
    pub fn terminate(&mut self) {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        let Some(pid) = pid else { return };
        // It fails only for a process that has ended.
        let _ = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + TERMINATION;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Complains, with the end of its `log`, if it has ended.
    ///
    /// # Errors
    /// If it has.
    pub fn check(&mut self, log: &Path) -> anyhow::Result<()> {
        let Some(status) = self.0.try_wait()? else { return Ok(()) };
        let text = fs::read(log)?;
        let end = String::from_utf8_lossy(&text[text.len().saturating_sub(LAST_WORDS)..]);
        anyhow::bail!("a process ended by itself ({status}); its last words:\n{end}")
    }

    /// Processor time that it has used, of all its threads: `utime` and `stime` of proc(5).
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        processor_time(self.pid()?)
    }

    /// The same with that of its children which run.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn family_processor_time(&self) -> anyhow::Result<Duration> {
        let children = self.about(&format!("task/{}/children", self.pid()?))?;
        let children = children.split_whitespace().map(|pid| processor_time(pid.parse()?));
        children.chain([self.processor_time()]).sum()
    }

    /// Descriptors that it has open.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn descriptors(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid()?))?.count())
    }

    /// Threads that it has.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn threads(&self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.pid()?))?.count())
    }

    /// Memory that it has, without what is shared only in name: `VmRSS` of proc(5).
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = self.about("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kibibytes.context("/proc does not tell VmRSS")?.trim().parse::<u64>()? << 10)
    }

    fn pid(&self) -> anyhow::Result<u32> {
        self.0.id().context("the process has ended")
    }

    fn about(&self, file: &str) -> anyhow::Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{file}", self.pid()?))?)
    }
}

fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in brackets, and may have anything in it.
    let (_, rest) = stat.rsplit_once(')').context("/proc does not tell a name")?;
    let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks = ticks.sum::<Result<u32, _>>()?;
    Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS))
}
