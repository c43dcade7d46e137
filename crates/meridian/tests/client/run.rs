//! Runs the binary.

use std::fs::File;
use std::process::{Output, Stdio};

use tokio::process::Command;

/// Result of a run.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary, with these endpoints and no other environment.
pub fn meridian(endpoints: &[String], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meridian"));
    command
        .args(arguments)
        .env_clear()
        .env("USER", "ada")
        .env("MERIDIAN_ENDPOINTS", endpoints.join(","))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs the binary until it exits.
pub async fn run(endpoints: &[String], arguments: &[&str]) -> Run {
    let output = meridian(endpoints, arguments).output().await.expect("the binary starts");
    Run::from(output)
}

/// Runs the binary with this standard output.
pub async fn run_with_stdout(endpoints: &[String], arguments: &[&str], stdout: Stdio) -> Run {
    let mut command = meridian(endpoints, arguments);
    let child = command.stdout(stdout).stderr(Stdio::piped()).spawn().expect("the binary starts");
    Run::from(child.wait_with_output().await.expect("exits"))
}

/// A standard output on a full disk, and one whose reader is gone.
pub fn broken_outputs() -> [Stdio; 2] {
    let full = File::options().write(true).open("/dev/full").expect("exists");
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    [full.into(), writer.into()]
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("is text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Run {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the exit code, and that a failure ends with a line of cause and a line of next step.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        if code != 0 {
            let lines: Vec<&str> = self.err.lines().collect();
            let [.., cause, next] = lines[..] else { panic!("{self:?}") };
            assert!(cause.starts_with("error: ") && next.starts_with("next: "), "{self:?}");
        }
        self
    }
}
