//! The units of this machine: their driver, and the reconciler that converges them to the log.

use std::sync::Arc;
use std::time::Duration;

use meridian_agent::driver::{
    self, Builtin, BuiltinConfig, CommandConfig, CommandDriver, Driver, Program, RunningUnit,
    Traffic,
};
#[cfg(feature = "docker")]
use meridian_agent::driver::{DockerConfig, DockerDriver};
use meridian_agent::generation::{self, RaiseError};
use meridian_agent::{Ended, Reconciler, ReconcilerConfig, reconcile};
use meridian_domain::{ClusterId, Generation};
use meridian_ports::Ports;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

#[cfg(feature = "docker")]
use crate::config::Containers;
use crate::config::{AgentConfig, UnitDriver};

/// Name of the subdirectory of a data directory that holds the files of units.
pub const RUN_DIRECTORY: &str = "run";

/// Last log message of an agent that its cluster has removed.
pub const REMOVED: &str = "this agent was removed from its cluster and its units have stopped; to add it \
                           again, empty its data directory and start it with --join";

/// Reason why the units of this machine are no longer reconciled. They keep running as they are.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// The generation cannot be raised.
    #[error(transparent)]
    Generation(#[from] RaiseError),
    /// The driver cannot be opened, so units of earlier process runs cannot be adopted.
    #[error(transparent)]
    Driver(#[from] driver::OpenError),
    /// The stored desired set cannot be read.
    #[error(transparent)]
    Build(#[from] reconcile::BuildError),
    /// The desired set cannot be stored.
    #[error(transparent)]
    Run(#[from] reconcile::RunError),
    /// Units may still be running.
    #[error("the units could not be drained")]
    Drain(#[from] driver::Unreachable),
    /// Units are still running.
    #[error("{} still running {limit:?} after the stop: {}", count(units.len()), list(units))]
    StillRunning {
        /// Time that the units had to stop.
        limit: Duration,
        /// The units.
        units: Vec<RunningUnit>,
    },
}

/// Delay before the generation is raised above one in the log. If that is the report of another
/// process on a copy of the data directory, the younger of both learns of the other meanwhile, and
/// stops.
const RAISE_DELAY: Duration = Duration::from_secs(5);

/// Adopts the units of the agent's earlier process runs and reconciles them with the log, until
/// `shutdown` is cancelled or the cluster has removed the agent. Then drains the units if
/// `drain_on_stop` is set, or if this process is the `duplicate` of another one.
///
/// # Errors
/// If the driver or the stored state fails.
pub async fn run(
    config: &AgentConfig,
    cluster: ClusterId,
    ports: Ports,
    traffic: Traffic,
    duplicate: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> Result<(), UnitsError> {
    let mut floor = Generation(0);
    loop {
        let generation = generation::raise_above(&config.data_dir, floor)?;
        let driver = open(config, cluster, generation, &traffic).await?;
        let settings = ReconcilerConfig {
            agent: config.name.clone(),
            node: ports.cluster.node(),
            directory: config.data_dir.clone(),
            generation,
            gateway: config.gateway_listen,
            loads: ports.loads.clone(),
        };
        let (propose, read) = (ports.propose.clone(), ports.read.clone());
        let reconciler = Reconciler::build(settings, propose, read, driver.clone())?;
        match reconciler.run(shutdown.clone()).await? {
            Ended::Outdated { newest } => {
                tracing::warn!(
                    %generation, %newest, data_dir = %config.data_dir.display(),
                    "the log has newer reports of this agent than its own: its data directory \
                     was restored from an older copy, or another process runs on a copy of it; \
                     raising the generation"
                );
                floor = newest;
            }
            Ended::Removed => {
                tracing::warn!(data_dir = %config.data_dir.display(), "{REMOVED}");
                return Ok(());
            }
            Ended::Shutdown if config.drain_on_stop || *duplicate.borrow() => {
                tracing::info!("agent stopping; draining its units");
                return stop_all(driver.as_ref(), config.driver.stop_timeout()).await;
            }
            Ended::Shutdown => {
                tracing::info!("agent stopping; its units keep running");
                return Ok(());
            }
        }
        drop(driver);
        tokio::select! {
            () = tokio::time::sleep(RAISE_DELAY) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

/// Stops every unit, and returns when the last one has exited.
async fn stop_all(driver: &dyn Driver, limit: Duration) -> Result<(), UnitsError> {
    match timeout(limit, driver::stop_all(driver)).await {
        Ok(stopped) => Ok(stopped?),
        Err(_) => Err(UnitsError::StillRunning { limit, units: driver.list().await? }),
    }
}

fn count(units: usize) -> String {
    match units {
        1 => "1 unit is".to_owned(),
        _ => format!("{units} units are"),
    }
}

fn list(units: &[RunningUnit]) -> String {
    let describe = |RunningUnit { unit, incarnation, pid, .. }: &RunningUnit| match pid {
        Some(pid) => format!("{unit} (incarnation {incarnation}, process {pid})"),
        None => format!("{unit} (incarnation {incarnation})"),
    };
    units.iter().map(describe).collect::<Vec<_>>().join(", ")
}

/// Opens the configured driver.
async fn open(
    config: &AgentConfig,
    cluster: ClusterId,
    generation: Generation,
    traffic: &Traffic,
) -> Result<Arc<dyn Driver>, driver::OpenError> {
    let (agent, limits, user) = (config.name.clone(), config.limits, config.unit_user);
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
                traffic: traffic.clone(),
                user,
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
                user,
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
                traffic: traffic.clone(),
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
