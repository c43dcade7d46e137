//! The binary under test, and what is preloaded under it: built by the test that first needs it.

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
    once(&BUILT, || build(&["meridian", "--bin", "meridian"], "executable", is_any))
}

/// The path of the library that is preloaded under an agent whose disk or clock is to be meddled with,
/// built in the same way.
///
/// # Errors
/// If it cannot be built.
pub(super) fn library() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let is_library = |path: &str| path.ends_with("libmeridian_machine.so");
    once(&BUILT, || build(&["meridian-machine", "--lib"], "filenames", is_library))
}

fn is_any(_: &str) -> bool {
    true
}

fn once(
    built: &'static OnceLock<Result<PathBuf, String>>,
    build: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<&'static Path> {
    let built = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!(error.clone()))
}

/// Builds a target of a package, and finds what was built under a key of Cargo's messages.
fn build(package: &[&str], key: &str, is_wanted: fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("the path of this program")?;
    // target/PROFILE/deps/TEST, and target/PROFILE/PROGRAM for a program that is no test.
    let mut above = test.ancestors().skip(1).filter(|path| !path.ends_with("deps"));
    let profile = above.next().and_then(Path::file_name).and_then(|name| name.to_str());
    let profile = match profile.context("a test lies in the folder of its profile")? {
        "debug" => "dev",
        other => other,
    };
    let target = above.next().context("a profile lies in a target directory")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--profile", profile, "--package"])
        .args(package)
        .args(["--message-format", "json-render-diagnostics", "--manifest-path", MANIFEST])
        .arg("--target-dir")
        .arg(target)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(built.status.success(), "{} cannot be built: {}", package[0], built.status);
    let messages = String::from_utf8(built.stdout).context("cargo writes text")?;
    let built = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let paths = &message[key];
        let mut paths = paths.as_array().into_iter().flatten().chain([paths]);
        paths.find_map(|path| path.as_str().filter(|path| is_wanted(path)).map(PathBuf::from))
    });
    built.context("cargo names what it built")?.canonicalize().context("the binary is there")
}
