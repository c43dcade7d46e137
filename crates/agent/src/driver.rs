//! Drivers: they start, stop and configure the units of one machine.
//!
//! A [`Driver`] executes single actions and lists the units that it finds. It makes no decisions:
//! it restarts nothing and stops nothing on its own. After a restart of the agent, its list shows
//! what it finds on the machine, not what an earlier process run remembered.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{
    Configuration, Incarnation, RefusedConfiguration, Revision, ServiceName, UnitId,
};
use meridian_ports::UnitLoad;
use meridian_transport::port_holder::{PortHolder, held_by};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub mod builtin;
pub mod command;
#[cfg(feature = "docker")]
pub mod docker;

mod controlled;
mod environment;
mod launch;
mod limits;
mod listen;
mod lock_holder;
mod locks;
mod log_rotation;
mod output_tail;
mod refusal;
mod run_directory;
mod table;
mod traffic;
mod units;

pub use builtin::{Builtin, BuiltinConfig, Program};
pub use command::{CommandConfig, CommandDriver, CommandTemplate, CommandTemplates, RenderError};
#[cfg(feature = "docker")]
pub use docker::{DockerConfig, DockerDriver};
pub use limits::{AccessLog, UNIT_DESCRIPTORS, UnitLimits, UnitUser};
pub use traffic::Traffic;
pub use units::OpenError;

/// Starts and stops units on one machine.
///
/// Contract of every driver, checked by one conformance test suite:
///
/// - Methods may be called repeatedly, in any order, at any time. None of them waits for a unit.
/// - There is at most one process (or container) per incarnation, regardless of crashes.
/// - No unit accepts connections to the port of another service.
/// - Units survive the driver. The next driver adopts them together with their listening sockets.
/// - A unit that exits stays in the list, with its cause, until it is started again or stopped.
/// - A draining unit finishes its requests in flight. The listener is closed with the last unit
///   that serves on it, so that clients are refused rather than left waiting.
/// - The driver does not touch what it did not start.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync {
    /// Returns every unit of this driver, by incarnation.
    ///
    /// # Errors
    /// If the units cannot be listed. The caller must not conclude anything from that, least of all
    /// that no unit runs.
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable>;

    /// Starts a unit, or restarts one that has exited. The unit is [`Phase::Starting`] on return.
    /// If the incarnation is running or draining, only its configuration is updated.
    ///
    /// Cancel-safe: the start continues in the background.
    ///
    /// # Errors
    /// If the unit was not started. It is then not in the list, unless it had exited before.
    async fn start(&self, spec: UnitSpec) -> Result<(), StartError>;

    /// Drains and stops a unit: it finishes its requests in flight and exits. It is
    /// [`Phase::Draining`] on return and leaves the list once it has exited; after the drain
    /// timeout it is killed. A unit that has already exited leaves the list immediately. No effect
    /// on an unknown incarnation.
    ///
    /// # Errors
    /// If the driver is unreachable.
    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable>;

    /// Kills a unit that is [`Phase::Unresponsive`]; from then on it accepts no connection. It is
    /// [`Phase::Exited`] once its process has gone, which may take as long as the system call that
    /// the process is in. No effect on any other unit.
    ///
    /// # Errors
    /// If the driver is unreachable.
    async fn kill(&self, incarnation: Incarnation) -> Result<(), Unreachable>;

    /// Makes a unit serve a configuration, now and after a restart. The list shows the revision
    /// once the unit serves it, or the refusal; a configuration that was refused is tried again. No
    /// effect on an unknown incarnation, or if the unit already has this configuration.
    ///
    /// # Errors
    /// If the driver is unreachable.
    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable>;

    /// Signals each possible change of [`list`](Self::list). The value has no meaning.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// A unit to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSpec {
    /// The unit.
    pub unit: UnitId,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Port that it listens on, at the agent's gateway address.
    pub port: u16,
    /// Configuration to serve. The unit is not ready before it does.
    pub configuration: Arc<Configuration>,
}

/// A unit in a driver's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningUnit {
    /// The unit.
    pub unit: UnitId,
    /// Incarnation.
    pub incarnation: Incarnation,
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Current phase.
    pub phase: Phase,
    /// Process id, if known. For display only; it identifies nothing.
    pub pid: Option<u32>,
    /// Version of the software that it runs, once reported.
    pub build: Option<String>,
    /// Revision of the configuration that it serves; 0 before the first.
    pub configuration: Revision,
    /// Configuration that it does not accept, unless it has accepted one since.
    pub refused: Option<RefusedConfiguration>,
    /// Load as last reported.
    pub load: UnitLoad,
}

/// Phase of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Running, but not responding to its driver: not yet, or no longer.
    Starting,
    /// Serving requests.
    Ready,
    /// Running, but without a response to its driver for some time: presumably hung.
    Unresponsive,
    /// Running and responding to its driver, but not serving, for the reason that this text states.
    Unhealthy(String),
    /// Stopped, and finishing its requests in flight.
    Draining,
    /// Exited without having been stopped.
    Exited(Exit),
}

impl Phase {
    /// True if the unit's process has exited.
    pub(crate) fn has_exited(&self) -> bool {
        match self {
            Self::Exited(_) => true,
            Self::Starting
            | Self::Ready
            | Self::Unresponsive
            | Self::Unhealthy(_)
            | Self::Draining => false,
        }
    }

    /// True if the unit accepts connections, or may still do so.
    pub(crate) fn uses_listener(&self) -> bool {
        match self {
            Self::Starting | Self::Ready | Self::Unresponsive | Self::Unhealthy(_) => true,
            Self::Draining | Self::Exited(_) => false,
        }
    }
}

/// Exit of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit status.
    pub status: ExitStatus,
    /// Last line of the unit's output, shortened. `None` if there is none.
    pub output_tail: Option<String>,
}

/// Exit status of a unit's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Exited with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// Killed because the memory limit was exceeded.
    OutOfMemory,
    /// Killed by its driver because it was not ready within the start timeout.
    StartTimeout,
    /// Unknown: an earlier process run of the agent started it, and only a parent process gets the
    /// exit status.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            ExitStatus::Code(code) => write!(f, "exited with code {code}")?,
            ExitStatus::Signal(signal) => write!(f, "killed by signal {signal}")?,
            ExitStatus::OutOfMemory => write!(f, "killed: out of memory")?,
            ExitStatus::StartTimeout => write!(f, "start timeout exceeded")?,
            ExitStatus::Unknown => write!(f, "exited with unknown status")?,
        }
        match &self.output_tail {
            Some(line) => write!(f, "; last output: {line}"),
            None => Ok(()),
        }
    }
}

/// The driver cannot reach the runtime of its units, such as a container engine.
#[derive(Debug, thiserror::Error)]
#[error("the unit runtime is unreachable")]
pub struct Unreachable(#[source] pub Box<dyn Error + Send + Sync>);

/// Error of [`Driver::start`].
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another unit would take file descriptors that the agent needs for its other tasks.
    #[error(
        "no file descriptors left for another unit: {running} of at most {maximum} units run with \
         a limit of {limit} open files; raise LimitNOFILE"
    )]
    NoDescriptors {
        /// Number of running units.
        running: usize,
        /// Maximum number of units.
        maximum: u32,
        /// Limit of open files of this process.
        limit: u64,
    },
    /// Another process listens on the port.
    #[error("{address} is in use{}", held_by(.holder.as_ref()))]
    PortHeld {
        /// Address requested.
        address: SocketAddr,
        /// Process that holds the port, if it can be determined.
        holder: Option<PortHolder>,
    },
    /// A unit of another service listens on the port, or still drains on it.
    #[error("{address} is still used by a unit of {service}")]
    PortOfAnotherService {
        /// Address requested.
        address: SocketAddr,
        /// The other service.
        service: ServiceName,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// Address requested.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The intent to start the unit could not be made durable.
    #[error("cannot record the start of incarnation {incarnation} in {directory}")]
    Record {
        /// Incarnation.
        incarnation: Incarnation,
        /// Run directory.
        directory: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The command driver has no template for the unit.
    #[error(
        "no template matches {unit}: add a [[template]] for its service or region, or one for all"
    )]
    NoTemplate {
        /// The unit.
        unit: UnitId,
    },
    /// The configuration cannot be rendered for the unit's program.
    #[error("cannot render the configuration of incarnation {incarnation}")]
    Configuration {
        /// Incarnation.
        incarnation: Incarnation,
        /// Cause.
        #[source]
        source: RenderError,
    },
    /// The program could not be spawned.
    #[error("cannot spawn {program}")]
    Spawn {
        /// Path of the program.
        program: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The container engine failed.
    #[error(transparent)]
    Engine(Box<dyn Error + Send + Sync>),
}

/// Time within which a unit that exceeded its drain timeout has been killed and has exited.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// Stops every unit of `driver`, and returns when the last one has exited.
///
/// # Errors
/// If the driver is unreachable.
pub async fn stop_all(driver: &dyn Driver) -> Result<(), Unreachable> {
    let mut changes = driver.changes();
    loop {
        changes.mark_unchanged();
        let units = driver.list().await?;
        if units.is_empty() {
            return Ok(());
        }
        for unit in units {
            if unit.phase != Phase::Draining {
                driver.stop(unit.incarnation).await?;
            }
        }
        if changes.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Runs blocking work, such as disk access, off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Completes at `deadline`. Pends forever without one.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
