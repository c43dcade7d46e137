//! The units of this machine: the built-in driver, and the reconciler that keeps them as the log says.

use std::sync::Arc;

use meridian_agent::driver::{self, Builtin, BuiltinConfig, Program};
use meridian_agent::generation::{self, RaiseError};
use meridian_agent::{Ended, Reconciler, ReconcilerConfig, reconcile};
use meridian_domain::ClusterId;
use meridian_replication::node::Ports;
use tokio_util::sync::CancellationToken;

use crate::config::AgentConfig;

/// The folder of a data directory in which the units leave their files.
pub const RUN_DIRECTORY: &str = "run";

/// Why the units of this machine are kept no more. They go on as they are.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// This life of the agent has no number.
    #[error(transparent)]
    Generation(#[from] RaiseError),
    /// The units of earlier lives cannot be found.
    #[error(transparent)]
    Driver(#[from] driver::OpenError),
    /// What is wanted cannot be read.
    #[error(transparent)]
    Build(#[from] reconcile::BuildError),
    /// What is wanted cannot be written down.
    #[error(transparent)]
    Run(#[from] reconcile::RunError),
    /// Units may be left.
    #[error("the units could not be drained")]
    Drain(#[from] driver::Unreachable),
}

/// Takes the units of the agent's earlier lives over, and keeps them as the log says until
/// `shutdown`, or until the cluster has removed the agent. Drains them then, if they are to end with
/// the agent.
///
/// # Errors
/// If something on the disk cannot be used.
pub async fn keep(
    config: &AgentConfig,
    cluster: ClusterId,
    ports: Ports,
    shutdown: CancellationToken,
) -> Result<(), UnitsError> {
    let generation = generation::raise(&config.data_dir)?;
    let driver = Builtin::open(BuiltinConfig {
        cluster,
        agent: config.name.clone(),
        generation,
        directory: config.data_dir.join(RUN_DIRECTORY),
        gateway: config.gateway_listen,
        program: Program::default(),
        limits: config.limits,
        drain_limit: BuiltinConfig::DRAIN_LIMIT,
    });
    let driver = Arc::new(driver.await?);
    let directory = config.data_dir.clone();
    let agent = config.name.clone();
    let told = ReconcilerConfig { agent, directory, generation, loads: ports.loads };
    let reconciler = Reconciler::build(told, ports.propose, ports.read, driver.clone())?;
    match reconciler.run(shutdown).await? {
        Ended::Removed => {
            tracing::info!("this agent was removed from its cluster, and its units have ended");
        }
        Ended::Shutdown if config.drain_on_stop => {
            tracing::info!("the agent stops, and drains its units first");
            driver::stop_all(driver.as_ref()).await?;
        }
        Ended::Shutdown => tracing::info!("the agent stops; units go on without it"),
    }
    Ok(())
}
