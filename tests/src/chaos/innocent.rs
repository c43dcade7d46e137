//! A process of somebody else's, with a process id of one's choice.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// The last process id that was given away: the next one is the one behind it (pid_namespaces(7)).
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// Others fork meanwhile, so the next one may be theirs.
const ATTEMPTS: usize = 500;
/// What it is.
const PROGRAM: &str = "sleep";

/// It runs until this is dropped, if nobody does it any harm.
pub struct Innocent(Child);

impl Innocent {
    /// Whether process ids can be chosen here.
    ///
    /// # Errors
    /// If not: only root may.
    pub fn possible() -> anyhow::Result<()> {
        let opened = File::options().write(true).open(LAST_PID);
        opened.map(drop).context("choosing a process id needs root")
    }

    /// One with that process id; none if somebody else has it, or took it each time.
    ///
    /// # Errors
    /// If no process can be started, or none chosen.
    pub fn with(pid: u32) -> anyhow::Result<Option<Self>> {
        for _ in 0..ATTEMPTS {
            if exists(pid) {
                return Ok(None);
            }
            let mut last = File::options().write(true).open(LAST_PID).context(LAST_PID)?;
            last.write_all((pid - 1).to_string().as_bytes()).context(LAST_PID)?;
            let child = Command::new(PROGRAM).arg("3600").stdin(Stdio::null()).spawn();
            // Dropped, it ends.
            let innocent = Self(child.with_context(|| format!("{PROGRAM} cannot be started"))?);
            if innocent.pid() == pid {
                return Ok(Some(innocent));
            }
        }
        Ok(None)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// What was done to it; empty if nothing was.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn harm(&mut self) -> anyhow::Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        let state = state.context("a process has a state")?;
        if state == 'Z' {
            return Ok(format!("ended: {}", self.0.wait()?));
        }
        Ok(if "Tt".contains(state) { "was stopped".to_owned() } else { String::new() })
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        // What has ended already cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a process has that id, if only until its parent has noticed its end.
pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    #[test]
    fn it_has_the_id_of_a_process_that_ended_and_tells_what_is_done_to_it() {
        if let Err(error) = Innocent::possible() {
            return eprintln!("skipped: {error:#}");
        }
        let mut ended = Command::new("true").spawn().expect("is there");
        let pid = ended.id();
        ended.wait().expect("ends");
        let Some(mut innocent) = Innocent::with(pid).expect("may be chosen") else {
            return eprintln!("skipped: somebody else took the process id");
        };
        assert_eq!(innocent.pid(), pid);
        assert_eq!(innocent.harm().expect("is known"), "");
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("is one");
        kill_process(number, Signal::STOP).expect("is stopped");
        while innocent.harm().expect("is known") != "was stopped" {}
        kill_process(number, Signal::TERM).expect("is ended");
        kill_process(number, Signal::CONT).expect("is ended");
        while !innocent.harm().expect("is known").starts_with("ended") {}
    }
}
