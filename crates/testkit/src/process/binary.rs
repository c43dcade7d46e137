//! The binary under test and the preloaded library, built by the first test that needs them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, anyhow, ensure};
use serde_json::Value;

/// Manifest of the workspace.
const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

/// Returns the path of `meridian`, built from the current source with the target directory and
/// profile of the running test. Built once per process; an up-to-date build is a no-op.
///
/// # Errors
/// If the build fails.
pub fn binary() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, || build(&["meridian", "--bin", "meridian"], "executable", any_path))
}

/// Returns the path of the library that injects disk and clock faults into an agent, built like
/// [`binary`].
///
/// # Errors
/// If the build fails.
pub(super) fn library() -> anyhow::Result<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let is_library = |path: &str| path.ends_with("libmeridian_machine.so");
    once(&BUILT, || build(&["meridian-machine", "--lib"], "filenames", is_library))
}

fn any_path(_: &str) -> bool {
    true
}

fn once(
    built: &'static OnceLock<Result<PathBuf, String>>,
    build: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<&'static Path> {
    let built = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_deref().map_err(|error| anyhow!(error.clone()))
}

/// Builds a target of a package, and returns the first wanted path under `key` in Cargo's messages.
fn build(package: &[&str], key: &str, is_wanted: fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let test = env::current_exe().context("path of the test program")?;
    // The path is target/PROFILE/deps/TEST for a test, and target/PROFILE/PROGRAM for other
    // programs.
    let mut above = test.ancestors().skip(1).filter(|path| !path.ends_with("deps"));
    let profile = above.next().and_then(Path::file_name).and_then(|name| name.to_str());
    let profile = match profile.context("the test program is not in a profile directory")? {
        "debug" => "dev",
        other => other,
    };
    let target = above.next().context("the profile directory has no parent")?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        if is_of_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    let built = command
        .args(["build", "--profile", profile, "--package"])
        .args(package)
        .args(["--message-format", "json-render-diagnostics", "--manifest-path", MANIFEST])
        .arg("--target-dir")
        .arg(target)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(built.status.success(), "cannot build {}: {}", package[0], built.status);
    let messages = String::from_utf8(built.stdout).context("cargo output is not UTF-8")?;
    let built = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let paths = &message[key];
        let mut paths = paths.as_array().into_iter().flatten().chain([paths]);
        paths.find_map(|path| path.as_str().filter(|path| is_wanted(path)).map(PathBuf::from))
    });
    built
        .context("cargo reported no matching artifact")?
        .canonicalize()
        .context("resolving the artifact path")
}

/// Returns true for a variable that Cargo sets for the package under test. A build script that depends
/// on it would run again, and once more in the next build without it.
fn is_of_package(variable: &str) -> bool {
    variable == "OUT_DIR"
        || ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|it| variable.starts_with(it))
}
