//! The Docker driver: each unit is `meridian unit` in a container of its own, from an image of a static
//! binary, and all units of a service share one listening socket of the agent's.
//!
//! ```text
//! start:  socket -> intent synced -> container created, started -> socket handed over
//!                                                     -> control socket answers  (Starting ... Ready)
//! stop:   own duplicate of the socket closed if the last -> Drain -> container ends -> removed
//! find:   by labels; lock held -> adopt, take its socket over; lock free -> remove the container
//! ```
//!
//! What a unit needs of the machine is one directory (`u7.d` in the run directory), mounted at
//! [`UNIT_DIRECTORY`]: its lock file is a second name of `u7.json`, and its control socket is there.
//! No port is published and no network is needed to listen: the unit is handed the listening socket as
//! a descriptor (see `meridian-gateway`, module `fd_passing`). So scaling loses no call here either, and
//! callers have their own addresses in logs and headers. The container's network is for calls to
//! backends alone.
//!
//! A container is this driver's if its labels name this cluster, agent and incarnation *and* it has
//! this run directory's `u7.d` mounted. Neither a name nor a process id identifies anything. Labels are
//! written from checked names and numbers, arguments are passed on as a list, and no shell sees any.
//!
//! An engine that goes away later takes no knowledge with it: units go on saying by their control sockets
//! how they are, and none is called ended before the engine says so.
//!
//! The engine has to be of this machine and see this file system: descriptors cross no machine, and an
//! agent in a container would have to have the run directory at the same path.

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
use super::table::Orders;
use super::units::{OpenError, Premises, Units};
use super::{StartError, UnitLimits, UnitSpec, Unreachable, blocking};

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
use create::Plan;
use engine::Engine;

/// What the driver has to know.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    /// The cluster: containers of another one are left alone.
    pub cluster: ClusterId,
    /// This agent: containers of another one are left alone.
    pub agent: AgentName,
    /// This life of it, from [`crate::generation::raise`]: units refuse older ones.
    pub generation: Generation,
    /// The run directory. Created where its parent exists.
    pub directory: PathBuf,
    /// The address that gateways listen on.
    pub gateway: IpAddr,
    /// What each unit takes on.
    pub limits: UnitLimits,
    /// How long a stopped unit may take to end before it is killed. Default
    /// [`BuiltinConfig::DRAIN_LIMIT`](super::BuiltinConfig::DRAIN_LIMIT).
    pub drain_limit: Duration,
    /// The Unix socket of the engine.
    pub socket: PathBuf,
    /// The image whose entry point is `meridian`. It has to be there: nothing is pulled.
    pub image: ImageName,
    /// The network from which units call backends.
    pub network: NetworkName,
    /// Bytes of memory that one unit may have. Default: no limit.
    pub memory: Option<NonZeroU64>,
}

/// The Docker driver. Clones are handles to the same one; dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct DockerDriver {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    units: Arc<Units>,
    engine: Arc<Engine>,
    plan: Plan,
    drain_limit: Duration,
    /// What lived when the driver opened.
    living: Vec<Incarnation>,
    /// Set once the engine has answered and the units of earlier lives are known.
    found: OnceCell<()>,
}

impl DockerDriver {
    /// Opens the run directory, deletes what dead units left in it, and adopts the units that live,
    /// as soon as the engine answers: while it does not, [`list`](super::Driver::list) says so.
    ///
    /// One driver at a time: the caller holds the lock of the agent's data directory.
    ///
    /// # Errors
    /// If the directory cannot be used, or units of another driver live in it.
    pub async fn open(config: DockerConfig) -> Result<Self, OpenError> {
        let premises = Premises {
            kind: DriverKind::Docker,
            cluster: config.cluster,
            agent: config.agent,
            generation: config.generation,
            directory: config.directory,
            gateway: config.gateway,
            limits: config.limits,
        };
        let (units, living) = Units::open(premises).await?;
        let inner = Arc::new(Inner {
            units,
            engine: Arc::new(Engine::at(config.socket)),
            plan: Plan { image: config.image, network: config.network, memory: config.memory },
            drain_limit: config.drain_limit,
            living,
            found: OnceCell::new(),
        });
        match inner.found().await {
            Ok(()) => inner.units.all_answered().await,
            Err(error) => tracing::warn!(%error, "units that run are not known yet"),
        }
        Ok(Self { inner })
    }
}

#[async_trait]
impl Launch for DockerDriver {
    fn units(&self) -> &Arc<Units> {
        &self.inner.units
    }

    async fn found(&self) -> Result<(), Unreachable> {
        Ok(self.inner.found().await?)
    }

    async fn launch(&self, spec: UnitSpec) -> Result<(), StartError> {
        let inner = &self.inner;
        let units = &inner.units;
        let incarnation = spec.incarnation;
        let intent = units.intent(&spec);
        let configuration = Some(spec.configuration);
        let unrecorded = |error| units.unrecorded(incarnation, error);
        if units.clear(incarnation, false).await.map_err(unrecorded)? == Lock::Held {
            let id = inner.running(incarnation).await?;
            tracing::warn!(%incarnation, "runs already, though nothing was known of it: adopted");
            inner.supervise(&intent, Container::found(&inner.engine, id), configuration);
            return Ok(());
        }
        inner.remove_all(incarnation).await?;
        let listener = units.listener(intent.address).await?;
        let id = inner.create(&intent).await?;
        tracing::info!(unit = %intent.unit, %incarnation, address = %intent.address, "started");
        let at = units.run.inner_socket(incarnation, "listener");
        let container = Container::started(&inner.engine, id, &listener, at);
        units.change(|table| table.keep_listener(intent.address, listener));
        inner.supervise(&intent, container, configuration);
        Ok(())
    }
}

impl Inner {
    /// Makes the intent durable, and only then creates the container and starts it. Its id.
    async fn create(&self, intent: &Intent) -> Result<String, StartError> {
        let incarnation = intent.incarnation;
        let (units, written) = (Arc::clone(&self.units), intent.clone());
        let recorded = blocking(move || {
            units.run.record(&written)?;
            units.run.isolate(incarnation)
        });
        let created = match recorded.await {
            Ok(directory) => self.run(intent, directory).await.map_err(StartError::from),
            Err(error) => Err(self.units.unrecorded(incarnation, error)),
        };
        if created.is_err()
            && let Err(error) = self.units.clear(incarnation, true).await
        {
            tracing::warn!(%incarnation, %error, "the files of no unit remain");
        }
        created
    }

    async fn run(&self, intent: &Intent, directory: PathBuf) -> Result<String, EngineError> {
        let user = create::user();
        let body = self.plan.body(intent, &self.units.premises.agent, &directory, user)?;
        let id = self.engine.create(&create::name(intent), &self.plan.image, body).await?;
        if let Err(error) = self.engine.start(&id).await {
            // It may have been started all the same.
            if let Err(error) = self.engine.remove(&id).await {
                tracing::warn!(id, %error, "a container that was not started remains");
            }
            return Err(error);
        }
        Ok(id)
    }

    /// Adds a unit to the table, and watches over it from now on.
    fn supervise(
        &self,
        intent: &Intent,
        container: Container,
        configuration: Option<Arc<Configuration>>,
    ) {
        let (units, incarnation) = (Arc::clone(&self.units), intent.incarnation);
        let orders = Orders { stop: false, configuration };
        let orders = units.insert(intent, None, Revision::default(), orders);
        let socket = units.run.inner_socket(incarnation, "sock");
        let supervisor =
            Supervisor::new(units, incarnation, container, socket, self.drain_limit, orders);
        tokio::spawn(supervisor.run());
    }
}
