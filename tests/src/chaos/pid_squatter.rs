//! A process that takes a chosen process id.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// The last allocated process id; the kernel continues with the next free one (pid_namespaces(7)).
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// Maximum attempts: other processes fork concurrently and may take the id.
const ATTEMPTS: usize = 500;
/// The program to run.
const PROGRAM: &str = "sleep";

/// A process with a chosen process id, killed when this is dropped.
pub struct PidSquatter(Child);

impl PidSquatter {
    /// Checks that process ids can be chosen.
    ///
    /// # Errors
    /// If they cannot, for lack of root privileges.
    pub fn check_supported() -> anyhow::Result<()> {
        let opened = File::options().write(true).open(LAST_PID);
        opened.map(drop).context("choosing a process id needs root privileges")
    }

    /// Starts a process with the given id. Returns `None` if the id is in use, or was taken by
    /// another process each time.
    ///
    /// # Errors
    /// If no process can be started or the id cannot be set.
    pub fn with(pid: u32) -> anyhow::Result<Option<Self>> {
        for _ in 0..ATTEMPTS {
            if exists(pid) {
                return Ok(None);
            }
            let mut last = File::options().write(true).open(LAST_PID).context(LAST_PID)?;
            last.write_all((pid - 1).to_string().as_bytes()).context(LAST_PID)?;
            let child = Command::new(PROGRAM).arg("3600").stdin(Stdio::null()).spawn();
            // Dropping it kills the process.
            let squatter = Self(child.with_context(|| format!("cannot start {PROGRAM}"))?);
            if squatter.pid() == pid {
                return Ok(Some(squatter));
            }
        }
        Ok(None)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Describes what happened to the process; empty if it is undisturbed.
    ///
    /// # Errors
    /// If /proc cannot be read.
    pub fn harm(&mut self) -> anyhow::Result<String> {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let state = status.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        let state = state.context("/proc/PID/stat has no state")?;
        if state == 'Z' {
            return Ok(format!("exited: {}", self.0.wait()?));
        }
        Ok(if "Tt".contains(state) { "was stopped".to_owned() } else { String::new() })
    }
}

impl Drop for PidSquatter {
    fn drop(&mut self) {
        // Fails only if the process has already exited.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns true if a process has this id, including a zombie that was not reaped yet.
pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    #[test]
    fn a_squatter_takes_a_free_process_id_and_reports_harm() {
        if let Err(error) = PidSquatter::check_supported() {
            return eprintln!("skipped: {error:#}");
        }
        let mut exited = Command::new("true").spawn().expect("`true` can be run");
        let pid = exited.id();
        exited.wait().expect("it exits");
        let Some(mut squatter) = PidSquatter::with(pid).expect("the id can be chosen") else {
            return eprintln!("skipped: another process took the id");
        };
        assert_eq!(squatter.pid(), pid);
        assert_eq!(squatter.harm().expect("/proc is readable"), "");
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a valid pid");
        kill_process(number, Signal::STOP).expect("the signal is sent");
        while squatter.harm().expect("/proc is readable") != "was stopped" {}
        kill_process(number, Signal::TERM).expect("the signal is sent");
        kill_process(number, Signal::CONT).expect("the signal is sent");
        while !squatter.harm().expect("/proc is readable").starts_with("exited") {}
    }
}
