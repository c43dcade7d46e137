//! The binary under test: built by the test that first needs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;

/// The manifest of the workspace.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

/// The path of `meridian`, built from the present source into the target directory, and in the
/// profile, of the running test. Built once in a process; that takes no time where nothing changed.
///
/// # Errors
/// If it cannot be built.
pub fn binary() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!(error.clone()))
}

fn build() -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("the path of this test")?;
    // target/PROFILE/deps/TEST, or target/PROFILE/PROGRAM
    let mut above = test.ancestors().skip(1).skip_while(|folder| folder.ends_with("deps"));
    let profile = above.next().and_then(Path::file_name).and_then(|name| name.to_str());
    let profile = match profile.context("a test lies in the folder of its profile")? {
        "debug" => "dev",
        other => other,
    };
    let target = above.next().context("a profile lies in a target directory")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let built = Command::new(cargo)
        .args(["build", "--package", "meridian", "--bin", "meridian", "--profile", profile])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path", MANIFEST])
        .arg("--target-dir")
        .arg(target)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(built.status.success(), "the binary cannot be built: {}", built.status);
    let messages = String::from_utf8(built.stdout).context("cargo writes text")?;
    let built = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    built.context("cargo names what it built")?.canonicalize().context("the binary is there")
}
