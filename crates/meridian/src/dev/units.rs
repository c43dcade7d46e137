//! Stopping what outlives its agent: the units.

use std::net::IpAddr;
use std::time::Duration;

use meridian_agent::driver::{Builtin, BuiltinConfig, Program, UnitLimits, stop_all};
use meridian_agent::generation;
use meridian_storage::disk::directory::{DataDirectory, DirectoryError};
use tokio_util::sync::CancellationToken;

use super::home::data_path;
use super::layout::Plan;
use super::process::Handle;
use crate::agent::RUN_DIRECTORY;

/// How long the units of an agent may take to finish their calls. The driver kills those that take
/// longer than theirs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Stops whatever agent still uses the data directory of `plan`, then all units that were started
/// from it. Says what could not be done.
///
/// # Errors
/// A sentence that names the agent.
pub async fn stop_rest(plan: &Plan, impatient: &CancellationToken) -> Result<(), String> {
    let of = |cause: &dyn std::error::Error| {
        format!("the units of agent {} may still run: {cause}", plan.name)
    };
    if !data_path(plan).exists() {
        return Ok(());
    }
    let directory = take(plan, impatient).await.map_err(|error| of(&error))?;
    let Some(identity) = directory.identity() else {
        return Ok(());
    };
    let generation = generation::raise(directory.path()).map_err(|error| of(&error))?;
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
    let driver = driver.await.map_err(|error| of(&error))?;
    match tokio::time::timeout(PATIENCE, stop_all(&driver)).await {
        Ok(stopped) => stopped.map_err(|error| of(&error)),
        Err(late) => Err(of(&late)),
    }
}

/// Takes an agent's data directory, from an agent that was started by hand if need be.
async fn take(plan: &Plan, impatient: &CancellationToken) -> Result<DataDirectory, DirectoryError> {
    match DataDirectory::open(data_path(plan)) {
        Err(DirectoryError::InUse { path, holder: Some(pid) }) => {
            let handle = Handle::open(pid);
            // The number was read before the handle was there: only if the directory is still in use
            // by that number is it that process.
            let still = DataDirectory::open(&path);
            match (handle, still) {
                (Ok(handle), Err(DirectoryError::InUse { holder, .. })) if holder == Some(pid) => {
                    handle.stop(impatient).await;
                    DataDirectory::open(&path)
                }
                (_, still) => still,
            }
        }
        other => other,
    }
}
