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
use crate::wait::{PATIENCE, until};

/// What stands before the line that starts an agent again.
const LINE_FOLLOWS: &str = "to start it again:";
/// What is printed once the cluster can be used.
const READY: &str = "To try in another terminal:";

/// A `meridian dev` that runs, and what it has said.
#[derive(Debug)]
pub struct Dev {
    child: Child,
    data: PathBuf,
    said: PathBuf,
}

impl Dev {
    /// Starts it in the sandbox, with further arguments, and returns once its cluster can be used.
    ///
    /// # Errors
    /// What it said, if it ends before.
    pub async fn start(sandbox: &Sandbox, arguments: &[&str]) -> anyhow::Result<Self> {
        let (data, said) = (sandbox.path().join("dev.out"), sandbox.path().join("dev.err"));
        let mut command = cli::command(Self::arguments(sandbox, arguments))?;
        command.stdout(File::create(&data)?).stderr(File::create(&said)?);
        let child = command.spawn().context("`meridian dev` cannot be started")?;
        let mut dev = Self { child, data, said };
        let begun = || std::future::ready(dev.begun());
        let ready = until("`meridian dev` to be ready", begun).await;
        ensure!(ready, "`meridian dev` ended: {}", dev.said());
        Ok(dev)
    }

    /// Whether it is ready, or has ended before it was; nothing while neither is so.
    fn begun(&mut self) -> Option<bool> {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)));
        let ready = self.data().contains(READY);
        (ready || ended).then_some(ready && !ended)
    }

    /// Runs it in the sandbox to its end, where it is expected to refuse.
    ///
    /// # Errors
    /// If it cannot be run.
    pub async fn refused(sandbox: &Sandbox, arguments: &[&str]) -> anyhow::Result<Output> {
        // Built before the clock runs.
        binary()?;
        let run = cli::run(Self::arguments(sandbox, arguments));
        timeout(PATIENCE, run).await.context("`meridian dev` goes on")?
    }

    fn arguments(sandbox: &Sandbox, further: &[&str]) -> Vec<String> {
        let (data, base) = (sandbox.data(), sandbox.base().to_string());
        let data = data.to_string_lossy();
        let mut arguments = vec!["dev", "--data-dir", &data, "--address-base", &base];
        arguments.extend(further);
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// What it wrote as data: the table of agents, and the events.
    #[must_use]
    pub fn data(&self) -> String {
        fs::read_to_string(&self.data).unwrap_or_default()
    }

    /// What it wrote for people.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// The line that it says starts this agent again, once it says one.
    pub async fn line_of(&self, agent: &str) -> String {
        let folder = format!("/{agent}/");
        until("`meridian dev` to say how an agent is started again", async || {
            let said = self.said();
            let line = said.rsplit(LINE_FOLLOWS).find_map(|text| {
                text.trim_start().lines().next().filter(|line| line.contains(&folder))
            });
            line.map(str::to_owned)
        })
        .await
    }

    /// Has a shell run a line, as a person would in another terminal.
    ///
    /// # Errors
    /// If there is no shell.
    pub fn type_in(line: &str) -> anyhow::Result<Child> {
        let mut command = Command::new("sh");
        command.args(["-c", line]).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("no shell")
    }

    /// Tells it to stop, with SIGTERM, and returns how it ended.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn stop(mut self, sandbox: &Sandbox) -> anyhow::Result<ExitStatus> {
        let pid = self.child.id().context("`meridian dev` runs")?;
        let processes = Process::all_within(sandbox.path())?;
        let process = processes.into_iter().find(|process| process.pid() == pid);
        process.context("`meridian dev` runs")?.terminate();
        let ended = timeout(PATIENCE, self.child.wait()).await;
        Ok(ended.context("`meridian dev` does not stop")??)
    }
}
