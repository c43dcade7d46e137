//! The command line, as scripts use it.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use tokio::process::Command;

use super::binary::binary;

/// Result of a command.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Run time of the command.
    pub elapsed: Duration,
}

impl Output {
    /// Returns the output if the exit code is 0.
    ///
    /// # Errors
    /// If the exit code is not 0; the error includes the standard error.
    pub fn success(self) -> anyhow::Result<Self> {
        match self.code {
            Some(0) => Ok(self),
            code => Err(anyhow!("exit code {code:?}: {}", self.stderr.trim())),
        }
    }

    /// Parses the standard output as one JSON value.
    ///
    /// # Errors
    /// If it is not valid JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {}", self.stdout))
    }

    /// Parses the standard output as JSON lines.
    ///
    /// # Errors
    /// If any line is not valid JSON.
    pub fn json_lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.stdout.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().with_context(|| format!("not JSON lines: {}", self.stdout))
    }
}

/// Returns a command that runs the binary without any `MERIDIAN_` environment variable.
pub(super) fn command(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<Command> {
    command_in(None, arguments)
}

/// Returns the same command, run in a network namespace.
pub(super) fn command_in(
    namespace: Option<&str>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<Command> {
    let mut command = match namespace {
        None => Command::new(binary()?),
        Some(namespace) => {
            // `ip netns exec` replaces itself with the binary, so the process id stays the same.
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(binary()?);
            command
        }
    };
    command.args(arguments).stdin(Stdio::null());
    Ok(without_variables(command))
}

/// Returns the same command, run by a shell that first runs `preparation`.
pub(super) fn command_prepared_by(
    preparation: &str,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<Command> {
    // The shell replaces itself with the binary, so the process id stays the same.
    let mut command = Command::new("sh");
    let script = format!("{preparation} && exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(binary()?).args(arguments).stdin(Stdio::null());
    Ok(without_variables(command))
}

fn without_variables(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MERIDIAN_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to completion, without a terminal.
///
/// # Errors
/// If the binary cannot be run.
pub async fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Output> {
    let began = Instant::now();
    let output = command(arguments)?.kill_on_drop(true).output().await;
    let output = output.context("cannot run the binary")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Output {
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
        elapsed: began.elapsed(),
    })
}
