//! The Docker driver: each unit is `meridian unit` in its own container, from an image with a
//! static binary. All units of a service share one listening socket of the agent.
//!
//! ```text
//! start:  bind socket -> sync intent -> create and start container -> send socket
//!                                        -> control socket responds   (Starting ... Ready)
//! stop:   close the driver's socket if last unit -> drain request -> exit -> remove container
//! open:   find containers by labels; lock held -> adopt the unit and its socket;
//!         lock free -> remove the container
//! ```
//!
//! A unit needs one directory of the machine (`u7.d` in the run directory), mounted at
//! [`UNIT_DIRECTORY`]. It contains a hard link to the lock file `u7.json`, and the unit's sockets.
//! No port is published, and no network is needed to listen: the agent sends the listening socket
//! to the unit as a file descriptor. So scaling loses no request, and logs and headers show the
//! addresses of clients. The container's network is only for connections to backends.
//!
//! A container belongs to this driver if its labels name this cluster, this agent and an
//! incarnation, *and* it has `u7.d` of this run directory mounted. Neither a name nor a pid
//! identifies anything. Labels are written from validated names and numbers. Arguments are passed
//! as a list, and no shell interprets them.
//!
//! If the engine becomes unreachable later, units still report their state on their control
//! sockets. No unit is considered exited before the engine reports it.
//!
//! The engine must run on this machine and share its file system, because file descriptors do not
//! cross machines. An agent in a container needs the run directory at the same path.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{AgentName, ClusterId, Configuration, Generation, Incarnation, Revision};
use tokio::sync::OnceCell;

use super::controlled::Supervisor;
use super::launch::Launch;
use super::run_directory::{DriverKind, Intent, Lock};
use super::table::TargetState;
use super::units::{DriverContext, OpenError, Units};
use super::{StartError, Traffic, UnitLimits, UnitSpec, Unreachable, blocking};

mod container;
mod create;
mod engine;
mod find;
mod labels;
mod name;

pub use create::UNIT_DIRECTORY;
pub use engine::EngineError;
pub use name::{ImageName, NameError, NetworkName};

use container::Container;
use create::ContainerTemplate;
use engine::Engine;

/// Configuration of the Docker driver.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// Id of the cluster. Containers of another cluster are ignored.
    pub cluster: ClusterId,
    /// Name of this agent. Containers of another agent are ignored.
    pub agent: AgentName,
    /// Generation of this process run, from [`crate::generation::raise`]. Units refuse older ones.
    pub generation: Generation,
    /// Path of the run directory. Created if its parent exists.
    pub directory: PathBuf,
    /// Address that gateways listen on.
    pub gateway: IpAddr,
    /// Limits of each unit.
    pub limits: UnitLimits,
    /// Receives the traffic of the units.
    pub traffic: Traffic,
    /// Time that a stopped unit may take to exit before it is killed. Default
    /// [`BuiltinConfig::DRAIN_TIMEOUT`](super::BuiltinConfig::DRAIN_TIMEOUT).
    pub drain_timeout: Duration,
    /// Path of the engine's Unix socket.
    pub socket: PathBuf,
    /// Image whose entry point is `meridian`. It must exist on the engine: nothing is pulled.
    pub image: ImageName,
    /// Network on which units connect to backends.
    pub network: NetworkName,
    /// Memory limit of a unit in bytes. Default: no limit.
    pub memory: Option<NonZeroU64>,
}

/// The Docker driver. Clones share their units. Dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct DockerDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    units: Arc<Units>,
    engine: Arc<Engine>,
    template: ContainerTemplate,
    drain_timeout: Duration,
    /// Incarnations whose lock was held when the driver opened.
    running: Vec<Incarnation>,
    /// Set once the engine has responded and the units of earlier process runs are adopted.
    adopted: OnceCell<()>,
}

impl DockerDriver {
    /// Opens the run directory, deletes the files of units that have exited, and adopts the running
    /// units. If the engine is unreachable, the adoption happens at the next use of the driver;
    /// until then, [`list`](super::Driver::list) fails.
    ///
    /// The caller holds the lock of the agent's data directory, so only one driver is open.
    ///
    /// # Errors
    /// If the directory cannot be used, or a unit of another driver runs in it.
    pub async fn open(config: DockerConfig) -> Result<Self, OpenError> {
        let context = DriverContext {
            kind: DriverKind::Docker,
            cluster: config.cluster,
            agent: config.agent,
            generation: config.generation,
            directory: config.directory,
            gateway: config.gateway,
            limits: config.limits,
            traffic: config.traffic,
        };
        let (units, running) = Units::open(context).await?;
        let inner = Arc::new(Inner {
            units,
            engine: Arc::new(Engine::at(config.socket)),
            template: ContainerTemplate {
                image: config.image,
                network: config.network,
                memory: config.memory,
            },
            drain_timeout: config.drain_timeout,
            running,
            adopted: OnceCell::new(),
        });
        match inner.ensure_adopted().await {
            Ok(()) => inner.units.wait_for_adopted().await,
            Err(error) => tracing::warn!(%error, "cannot adopt running units yet"),
        }
        Ok(Self { inner })
    }
}

#[async_trait]
impl Launch for DockerDriver {
    fn units(&self) -> &Arc<Units> {
        &self.inner.units
    }

    async fn ensure_adopted(&self) -> Result<(), Unreachable> {
        Ok(self.inner.ensure_adopted().await?)
    }

    async fn launch(&self, spec: UnitSpec) -> Result<(), StartError> {
        let inner = &self.inner;
        let units = &inner.units;
        let incarnation = spec.incarnation;
        let intent = units.intent(&spec);
        let configuration = Some(spec.configuration);
        let record_error = |error| units.record_error(incarnation, error);
        if units.clear(incarnation, false).await.map_err(record_error)? == Lock::Held {
            let id = inner.running_container(incarnation).await?;
            tracing::warn!(%incarnation, "adopted a running unit that was not in the table");
            inner.supervise(&intent, Container::adopted(&inner.engine, id), configuration);
            return Ok(());
        }
        inner.remove_containers(incarnation).await?;
        let listener = units.listener(&intent.listener_key()).await?;
        let id = inner.create(&intent).await?;
        tracing::info!(
            unit = %intent.unit, %incarnation, address = %intent.address,
            "unit started"
        );
        let at = units.run.unit_directory_socket(incarnation, "listener");
        let container = Container::started(&inner.engine, id, &listener, at);
        units.change(|table| table.insert_listener(intent.listener_key(), listener));
        inner.supervise(&intent, container, configuration);
        Ok(())
    }
}

impl Inner {
    /// Makes the intent durable, then creates and starts the container. Returns the container's id.
    async fn create(&self, intent: &Intent) -> Result<String, StartError> {
        let incarnation = intent.incarnation;
        let (units, written) = (Arc::clone(&self.units), intent.clone());
        let recorded = blocking(move || {
            units.run.record(&written)?;
            units.run.create_unit_directory(incarnation)
        });
        let created = match recorded.await {
            Ok(directory) => self.run(intent, directory).await.map_err(StartError::from),
            Err(error) => Err(self.units.record_error(incarnation, error)),
        };
        if created.is_err()
            && let Err(error) = self.units.clear(incarnation, true).await
        {
            tracing::warn!(
                %incarnation, %error,
                "cannot delete the files of a unit that was not started"
            );
        }
        created
    }

    async fn run(&self, intent: &Intent, directory: PathBuf) -> Result<String, EngineError> {
        let user = create::user();
        let log_driver = self.engine.log_driver().await?;
        let agent = &self.units.context.agent;
        let body = self.template.body(intent, agent, &directory, user, log_driver.as_deref())?;
        let id = self.engine.create(&create::name(intent), &self.template.image, body).await?;
        if let Err(error) = self.engine.start(&id).await {
            // The container may have started despite the error.
            if let Err(error) = self.engine.remove(&id).await {
                tracing::warn!(id, %error, "cannot remove a container that failed to start");
            }
            return Err(error);
        }
        Ok(id)
    }

    /// Adds a unit to the table and spawns its supervisor.
    fn supervise(
        &self,
        intent: &Intent,
        container: Container,
        configuration: Option<Arc<Configuration>>,
    ) {
        let (units, incarnation) = (Arc::clone(&self.units), intent.incarnation);
        let target = TargetState { configuration, ..TargetState::default() };
        let target = units.insert(intent, None, Revision::default(), target);
        let socket = units.run.unit_directory_socket(incarnation, "sock");
        let supervisor =
            Supervisor::new(units, incarnation, container, socket, self.drain_timeout, target);
        tokio::spawn(supervisor.run());
    }
}
