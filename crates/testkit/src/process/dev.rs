//! A running `meridian dev`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, ensure};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::binary::binary;
use super::cli::{self, Output};
use super::running::Process;
use super::sandbox::Sandbox;
use crate::wait::{TIMEOUT, until};

/// Text before the command that restarts an agent.
const RESTART_COMMAND: &str = "to restart it:";
/// Text printed when the cluster is ready.
const READY: &str = "To try in another terminal:";

/// A running `meridian dev` and its output files.
#[derive(Debug)]
pub struct Dev {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Dev {
    /// Starts `meridian dev` in the sandbox with extra arguments, and waits until its cluster is
    /// ready.
    ///
    /// # Errors
    /// If it exits before it is ready; the error includes its standard error.
    pub async fn start(sandbox: &Sandbox, arguments: &[&str]) -> anyhow::Result<Self> {
        let stdout = sandbox.path().join("dev.out");
        let stderr = sandbox.path().join("dev.err");
        let mut command = cli::command(Self::arguments(sandbox, arguments))?;
        command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        let child = command.spawn().context("cannot start `meridian dev`")?;
        let mut dev = Self { child, stdout, stderr };
        let ready_or_exited = || std::future::ready(dev.ready_or_exited());
        let ready = until("`meridian dev` to be ready", ready_or_exited).await;
        ensure!(ready, "`meridian dev` exited: {}", dev.stderr());
        Ok(dev)
    }

    /// Returns true if it is ready, false if it exited, and `None` while it is starting.
    fn ready_or_exited(&mut self) -> Option<bool> {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        let ready = self.stdout().contains(READY);
        (ready || ended).then_some(ready && !ended)
    }

    /// Runs `meridian dev` in the sandbox to completion, for arguments that it rejects.
    ///
    /// # Errors
    /// If it cannot be run, or does not exit in time.
    pub async fn run_to_exit(sandbox: &Sandbox, arguments: &[&str]) -> anyhow::Result<Output> {
        // Build the binary before the timeout starts.
        binary()?;
        let run = cli::run(Self::arguments(sandbox, arguments));
        timeout(TIMEOUT, run).await.context("`meridian dev` did not exit")?
    }

    fn arguments(sandbox: &Sandbox, extra: &[&str]) -> Vec<String> {
        let (data, base) = (sandbox.data(), sandbox.base().to_string());
        let data = data.to_string_lossy();
        let mut arguments = vec!["dev", "--data-dir", &data, "--address-base", &base];
        arguments.extend(extra);
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// Returns the standard output so far: the table of agents, and the events.
    #[must_use]
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Returns the standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits until the restart command of an agent is printed, and returns it.
    pub async fn restart_command(&self, agent: &str) -> String {
        let folder = format!("/{agent}/");
        until("`meridian dev` to print the restart command", async || {
            let stderr = self.stderr();
            let line = stderr.rsplit(RESTART_COMMAND).find_map(|text| {
                text.trim_start().lines().next().filter(|line| line.contains(&folder))
            });
            line.map(str::to_owned)
        })
        .await
    }

    /// Runs a command line in a shell, as a user would in another terminal.
    ///
    /// # Errors
    /// If there is no shell.
    pub fn run_in_shell(line: &str) -> anyhow::Result<Child> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("cannot run sh")
    }

    /// Waits until `meridian dev` exits by itself, and returns its exit status and its standard error.
    ///
    /// # Errors
    /// If it does not exit in time.
    pub async fn exited(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = timeout(TIMEOUT, self.child.wait()).await;
        Ok((status.context("`meridian dev` did not exit")??, self.stderr()))
    }

    /// Stops `meridian dev` with SIGTERM, and returns its exit status.
    ///
    /// # Errors
    /// If it does not exit in time.
    pub async fn stop(mut self, sandbox: &Sandbox) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().context("`meridian dev` is not running")?;
        let processes = Process::all_within(sandbox.path())?;
        let process = processes.into_iter().find(|process| process.pid() == pid);
        process.context("`meridian dev` is not running")?.terminate();
        let ended = timeout(TIMEOUT, self.child.wait()).await;
        Ok(ended.context("`meridian dev` did not stop")??)
    }
}
