//! One process that this one started. Dropped, it is killed.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, Command};

/// Bytes at the end of a log that are shown when a process ended by itself.
const LAST_WORDS: usize = 2_000;

/// Ticks in a second of processor time in proc(5): the same on every machine on which Linux runs by now.
const TICKS: f64 = 100.0;

/// A process.
pub struct Process(Child);

impl Process {
    /// Starts it; what it prints is added to the file `log`.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
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
        let stat = self.about("stat")?;
        // The second field is a name in brackets, and may have anything in it.
        let (_, rest) = stat.rsplit_once(')').context("/proc does not tell a name")?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        let ticks = ticks.sum::<Result<u32, _>>()?;
        Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS))
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
    fn about(&self, file: &str) -> anyhow::Result<String> {
        let pid = self.0.id().context("the process has ended")?;
        Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }
}
