//! Shutdown of units, which outlive their agent.

use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use meridian_agent::driver::{self, Builtin, BuiltinConfig, Program, UnitLimits};
use meridian_agent::generation;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError};
use tokio_util::sync::CancellationToken;

use super::directory::data_path;
use super::layout::Plan;
use super::process::Handle;
use crate::daemon::RUN_DIRECTORY;

/// Maximum time for the units of an agent to drain. The driver kills units that exceed their own drain
/// limit.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

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
        drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
    });
    let driver = driver.await.map_err(|error| failure(&error))?;
    match tokio::time::timeout(DRAIN_TIMEOUT, driver::stop_all(&driver)).await {
        Ok(stopped) => stopped.map_err(|error| failure(&error)),
        Err(elapsed) => Err(failure(&elapsed)),
    }
}

/// Takes an agent's data directory; stops the agent that holds it, if one was started by hand.
async fn take(plan: &Plan, forced: &CancellationToken) -> Result<DataDirectory, DirectoryError> {
    match DataDirectory::open(data_path(plan)) {
        Err(DirectoryError::InUse { path, holder: Some(pid) }) => {
            let handle = Handle::open(pid);
            // The pid was read before the handle was opened. The handle is that of the holder only if
            // the directory is still in use by the same pid.
            let still = DataDirectory::open(&path);
            match (handle, still) {
                (Ok(handle), Err(DirectoryError::InUse { holder, .. })) if holder == Some(pid) => {
                    handle.stop(forced).await;
                    DataDirectory::open(&path)
                }
                (_, still) => still,
            }
        }
        other => other,
    }
}

/// Stops the units whose run directory is, or was, within one of `directories`. Finds them by their
/// working directory, so it works after a directory and all its lock files were removed.
pub async fn stop_orphans(directories: &[PathBuf], forced: &CancellationToken) {
    let handles: Vec<_> = directories.iter().flat_map(|it| orphans(it)).collect();
    join_all(handles.iter().map(|handle| handle.stop(forced))).await;
}

fn orphans(directory: &Path) -> Vec<Handle> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| is_unit_of(*pid, directory))
        .filter_map(|pid| {
            let handle = Handle::open(pid).ok()?;
            // The pid may have been reused before the handle was opened.
            is_unit_of(pid, directory).then_some(handle)
        })
        .collect()
}

/// Returns true if the process is a unit (`meridian unit --cluster ...`) that runs in `directory`.
fn is_unit_of(pid: u32, directory: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(working_directory) = std::fs::read_link(process.join("cwd")) else { return false };
    let Ok(command) = std::fs::read(process.join("cmdline")) else { return false };
    let mut arguments = command.split(|byte| *byte == 0).map(OsStr::from_bytes).skip(1);
    // Linux appends " (deleted)" to the last component of the path of a removed directory.
    working_directory.starts_with(directory)
        && arguments.next() == Some(OsStr::new("unit"))
        && arguments.next() == Some(OsStr::new("--cluster"))
}
