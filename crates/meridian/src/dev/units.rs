//! Shutdown of units, which outlive their agent.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use meridian_agent::driver::{
    self, Builtin, BuiltinConfig, KILL_TIMEOUT, Program, Traffic, UnitLimits,
};
use meridian_agent::generation;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError};
use tokio_util::sync::CancellationToken;

use super::directory::data_path;
use super::layout::Plan;
use super::process::Handle;
use crate::daemon::RUN_DIRECTORY;

/// Maximum time for the units of an agent to stop. The driver kills units that exceed their drain
/// timeout.
const STOP_TIMEOUT: Duration = BuiltinConfig::DRAIN_TIMEOUT.saturating_add(KILL_TIMEOUT);

/// Stops any agent that still uses the data directory of `plan`, then drains all units that were started
/// from it.
///
/// # Errors
/// A message that names the agent.
pub async fn stop_all(plan: &Plan, forced: &CancellationToken) -> Result<(), String> {
    let failure = |cause: &dyn std::error::Error| {
        format!("the units of agent {} may still be running: {cause}", plan.name)
    };
    if !data_path(plan).exists() {
        return Ok(());
    }
    let directory = take(plan, forced).await.map_err(|error| failure(&error))?;
    let Some(identity) = directory.identity() else {
        return Ok(());
    };
    let generation = generation::raise(directory.path()).map_err(|error| failure(&error))?;
    let driver = Builtin::open(BuiltinConfig {
        cluster: identity.cluster,
        agent: plan.name.clone(),
        generation,
        directory: directory.path().join(RUN_DIRECTORY),
        gateway: IpAddr::V4(plan.address),
        program: Program::default(),
        limits: UnitLimits::default(),
        traffic: Traffic::default(),
        user: None,
        drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
    });
    let driver = driver.await.map_err(|error| failure(&error))?;
    match tokio::time::timeout(STOP_TIMEOUT, driver::stop_all(&driver)).await {
        Ok(stopped) => stopped.map_err(|error| failure(&error)),
        Err(elapsed) => Err(failure(&elapsed)),
    }
}

/// Takes an agent's data directory; stops the agent that holds it, if one was started by hand.
async fn take(plan: &Plan, forced: &CancellationToken) -> Result<DataDirectory, DirectoryError> {
    match DataDirectory::open(data_path(plan)) {
        Err(DirectoryError::InUse { path, holder: Some(pid) }) => {
            let handle = Handle::open(pid);
            // The pid was determined before the handle was opened. The handle is that of the holder
            // only if the same pid still holds the lock. A copy of a process that ended can hold its
            // lock for a moment, under a pid that may be reused: so only an agent is stopped.
            let still = DataDirectory::open(&path);
            match (handle, still) {
                (Ok(handle), Err(DirectoryError::InUse { holder, .. }))
                    if holder == Some(pid) && is_agent(pid) =>
                {
                    handle.stop(forced).await;
                    DataDirectory::open(&path)
                }
                (_, still) => still,
            }
        }
        other => other,
    }
}

/// Returns true if the process is an agent (`meridian agent ...`).
fn is_agent(pid: u32) -> bool {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    command.split(|byte| *byte == 0).nth(1) == Some(b"agent")
}

/// Stops the units whose working directory is, or was, one of `run_directories`. So it works after
/// a directory and all its lock files were removed.
pub async fn stop_orphans(run_directories: &[PathBuf], forced: &CancellationToken) {
    let handles = orphans(run_directories);
    join_all(handles.iter().map(|handle| handle.stop(forced))).await;
}

fn orphans(run_directories: &[PathBuf]) -> Vec<Handle> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_unit_in(*pid, run_directories))
        .filter_map(|pid| {
            let handle = Handle::open(pid).ok()?;
            // The pid may have been reused before the handle was opened.
            is_unit_in(pid, run_directories).then_some(handle)
        })
        .collect()
}

/// Returns true if the process is a unit (`meridian unit --cluster ...`) that runs in one of the
/// directories.
fn is_unit_in(pid: u32, run_directories: &[PathBuf]) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(working_directory) = std::fs::read_link(process.join("cwd")) else { return false };
    let Ok(command) = std::fs::read(process.join("cmdline")) else { return false };
    let mut arguments = command.split(|byte| *byte == 0).map(OsStr::from_bytes).skip(1);
    run_directories.iter().any(|directory| is_or_was(&working_directory, directory))
        && arguments.next() == Some(OsStr::new("unit"))
        && arguments.next() == Some(OsStr::new("--cluster"))
}

/// Returns true if `link`, a link to a directory below `/proc`, refers to `directory`. Linux appends
/// " (deleted)" to the path of a removed directory.
fn is_or_was(link: &Path, directory: &Path) -> bool {
    let rest = link.as_os_str().as_bytes().strip_prefix(directory.as_os_str().as_bytes());
    matches!(rest, Some(b"" | b" (deleted)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::LayoutArgs;
    use crate::dev::layout::Layout;

    #[tokio::test]
    async fn a_process_that_does_not_hold_the_lock_of_an_agent_is_not_stopped() {
        let parent = tempfile::tempdir().expect("a temporary directory");
        let layout = Layout::resolve(None, &LayoutArgs::default()).expect("a valid layout");
        let plans = layout.plans(parent.path()).expect("valid names");
        let _held = DataDirectory::open(data_path(&plans[0])).expect("is new");
        let mut innocent = std::process::Command::new("sleep").arg("60").spawn().expect("spawned");
        // As if its process id were that of the agent that wrote the file.
        let lock = data_path(&plans[0]).join("lock");
        std::fs::write(lock, innocent.id().to_string()).expect("is written");
        let failure = stop_all(&plans[0], &CancellationToken::new()).await.expect_err("is held");
        assert!(failure.contains("is in use by another process"), "{failure}");
        assert!(innocent.try_wait().expect("is a child").is_none(), "it was stopped");
        innocent.kill().and_then(|()| innocent.wait()).expect("is killed");
    }

    #[test]
    fn a_unit_belongs_to_exactly_one_run_directory() {
        let run = Path::new("/tmp/a/eastus/data/run");
        for (link, expected) in [
            ("/tmp/a/eastus/data/run", true),
            ("/tmp/a/eastus/data/run (deleted)", true),
            ("/tmp/a/eastus/data/run/other", false),
            ("/tmp/a/eastus/data/run2", false),
            ("/tmp/a/nested/eastus/data/run", false),
        ] {
            assert_eq!(is_or_was(Path::new(link), run), expected, "{link}");
        }
    }
}
