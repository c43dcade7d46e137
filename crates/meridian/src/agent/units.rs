//! The units of this machine: their driver, and the reconciler that keeps them as the log says.

use std::sync::Arc;

use meridian_agent::driver::{
    self, Builtin, BuiltinConfig, CommandConfig, CommandDriver, Driver, Program,
};
#[cfg(feature = "docker")]
use meridian_agent::driver::{DockerConfig, DockerDriver};
use meridian_agent::generation::{self, RaiseError};
use meridian_agent::{Ended, Reconciler, ReconcilerConfig, reconcile};
use meridian_domain::{ClusterId, Generation};
use meridian_ports::Ports;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "docker")]
use crate::config::Containers;
use crate::config::{AgentConfig, UnitDriver};

/// The folder of a data directory in which the units leave their files.
pub const RUN_DIRECTORY: &str = "run";

/// What an agent logs last, once its cluster has removed it.
pub const REMOVED: &str = "this agent was removed from its cluster, and its units have ended; to have \
                           it again, empty its data directory and start it with --join";

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
    let driver = open(config, cluster, generation).await?;
    let directory = config.data_dir.clone();
    let agent = config.name.clone();
    let told = ReconcilerConfig { agent, directory, generation, loads: ports.loads };
    let reconciler = Reconciler::build(told, ports.propose, ports.read, driver.clone())?;
    match reconciler.run(shutdown).await? {
        Ended::Removed => {
            tracing::warn!(data_dir = %config.data_dir.display(), "{REMOVED}");
        }
        Ended::Shutdown if config.drain_on_stop => {
            tracing::info!("the agent stops, and drains its units first");
            driver::stop_all(driver.as_ref()).await?;
        }
        Ended::Shutdown => tracing::info!("the agent stops; units go on without it"),
    }
    Ok(())
}

/// Opens the driver that the configuration names.
async fn open(
    config: &AgentConfig,
    cluster: ClusterId,
    generation: Generation,
) -> Result<Arc<dyn Driver>, driver::OpenError> {
    let (agent, limits) = (config.name.clone(), config.limits);
    let directory = config.data_dir.join(RUN_DIRECTORY);
    let gateway = config.gateway_listen;
    Ok(match &config.driver {
        UnitDriver::Builtin => {
            let opened = Builtin::open(BuiltinConfig {
                cluster,
                agent,
                generation,
                directory,
                gateway,
                program: Program::default(),
                limits,
                drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
            });
            Arc::new(opened.await?)
        }
        UnitDriver::Command(templates) => {
            let templates = templates.clone();
            let opened = CommandDriver::open(CommandConfig {
                cluster,
                agent,
                generation,
                directory,
                gateway,
                templates,
                limits,
            });
            Arc::new(opened.await?)
        }
        #[cfg(feature = "docker")]
        UnitDriver::Docker(containers) => {
            let Containers { socket, image, network, memory } = containers.clone();
            let opened = DockerDriver::open(DockerConfig {
                cluster,
                agent,
                generation,
                directory,
                gateway,
                limits,
                drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
                socket,
                image,
                network,
                memory,
            });
            Arc::new(opened.await?)
        }
    })
}
