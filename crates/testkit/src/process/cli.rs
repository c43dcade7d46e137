//! The command line, as scripts use it.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::Value;
use tokio::process::Command;

use super::binary::binary;

/// What a command did.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote as data.
    pub data: String,
    /// What it wrote for people.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

impl Output {
    /// This, if the exit code is 0.
    ///
    /// # Errors
    /// What the command said otherwise.
    pub fn done(self) -> anyhow::Result<Self> {
        match self.code {
            Some(0) => Ok(self),
            code => Err(anyhow!("exit code {code:?}: {}", self.said.trim())),
        }
    }

    /// The data, as one value.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_str(&self.data).with_context(|| format!("is not JSON: {}", self.data))
    }

    /// The data, as a value a line.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json_lines(&self) -> anyhow::Result<Vec<Value>> {
        let lines = self.data.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().with_context(|| format!("are not JSON: {}", self.data))
    }
}

/// The binary, with the arguments; nothing of this process' environment configures it.
pub(super) fn command(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<Command> {
    command_in(None, arguments)
}

/// The same, within a network namespace.
pub(super) fn command_in(
    namespace: Option<&str>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<Command> {
    let mut command = match namespace {
        None => Command::new(binary()?),
        Some(namespace) => {
            // It becomes the binary: the process stays the same.
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(binary()?);
            command
        }
    };
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MERIDIAN_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Runs the binary to its end, with no terminal.
///
/// # Errors
/// If it cannot be run.
pub async fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> anyhow::Result<Output> {
    let began = Instant::now();
    let output = command(arguments)?.kill_on_drop(true).output().await;
    let output = output.context("the binary cannot be run")?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Output {
        code: output.status.code(),
        data: text(&output.stdout),
        said: text(&output.stderr),
        took: began.elapsed(),
    })
}
