//! What starts and stops units.
//!
//! A [`Driver`] is told which units to run and says which do. It has no plan of its own: it starts
//! nothing again, and stops nothing that it was not told to. What it says after a restart of the
//! agent is what it finds, not what it remembers.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use meridian_domain::{Configuration, Incarnation, Revision, UnitId};
use meridian_ports::UnitLoad;
use meridian_transport::port_holder::{PortHolder, held_by};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

pub mod builtin;
pub mod command;
#[cfg(feature = "docker")]
pub mod docker;

mod controlled;
mod last_words;
mod launch;
mod limits;
mod listen;
mod run_directory;
mod table;
mod units;

pub use builtin::{Builtin, BuiltinConfig, Program};
pub use command::{CommandConfig, CommandDriver, CommandTemplate, CommandTemplates, RenderError};
pub(crate) use controlled::describe_metrics;
#[cfg(feature = "docker")]
pub use docker::{DockerConfig, DockerDriver};
pub use limits::{AccessLog, UnitLimits};
pub use units::OpenError;

/// Starts and stops units on one machine.
///
/// Every driver keeps to this, and one test-suite checks it:
///
/// - All calls may be repeated, in any order, at any time; none waits for a unit.
/// - There is at most one process (or container) an incarnation, whatever crashes when.
/// - Units survive the driver. A new one finds them, and takes their listening sockets over.
/// - A unit that ends stays in the list, with its cause, until it is started again or stopped.
/// - A draining unit finishes its calls; its listener is closed with the last unit that serves on
///   it, so that callers are refused instead of left waiting.
/// - What the driver did not start, it does not touch.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync {
    /// Every unit that this driver has, by incarnation.
    ///
    /// # Errors
    /// If that cannot be known. Nothing follows from it then; least of all that nothing runs.
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable>;

    /// Starts a unit, or starts it again once it has exited. It is [`Phase::Starting`] on return.
    /// No effect while the incarnation runs or drains, but for what it is to serve.
    ///
    /// Safe to cancel: the start then goes on by itself.
    ///
    /// # Errors
    /// If the unit was not started. The list does not have it then, unless it had exited before.
    async fn start(&self, spec: UnitSpec) -> Result<(), StartError>;

    /// Has a unit finish its calls, then end, and forgets it. It is [`Phase::Draining`] on return,
    /// and gone from the list some seconds later; what does not end in time is killed. One that has
    /// exited is forgotten at once. No effect on an unknown incarnation.
    ///
    /// # Errors
    /// If the driver could not be told.
    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable>;

    /// Has a unit serve a configuration, from now on and when it is started again. The list says the
    /// revision that it serves once it does. No effect on an unknown incarnation, nor where it is to
    /// serve that already.
    ///
    /// # Errors
    /// If the driver could not be told.
    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable>;

    /// Changes each time [`list`](Self::list) may answer otherwise than before. The value means
    /// nothing.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// A unit to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSpec {
    /// The unit.
    pub unit: UnitId,
    /// Its assignment.
    pub incarnation: Incarnation,
    /// The port that it listens on, at the agent's gateway address.
    pub port: u16,
    /// What it is to serve. It is not ready before it does.
    pub configuration: Arc<Configuration>,
}

/// A unit that a driver has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningUnit {
    /// The unit.
    pub unit: UnitId,
    /// Its assignment.
    pub incarnation: Incarnation,
    /// Where it listens.
    pub address: SocketAddr,
    /// How it is.
    pub phase: Phase,
    /// Its process, where it has one. Informs people; it identifies nothing.
    pub pid: Option<u32>,
    /// The version of the software that it runs, once it has said so.
    pub build: Option<String>,
    /// The revision of the configuration that it serves; 0 while it has none.
    pub configuration: Revision,
    /// How busy it is, as it last said.
    pub load: UnitLoad,
}

/// How a unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It does not answer its driver: not yet, or not any more though it runs.
    Starting,
    /// It answers calls.
    Ready,
    /// It runs, and has not answered its driver for some time: it hangs, as far as can be known.
    Silent,
    /// It was stopped, and finishes its calls.
    Draining,
    /// It ended, and nobody had told it to.
    Exited(Exit),
}

/// How a unit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// What the system says.
    pub how: ExitStatus,
    /// The last line that the unit wrote, if any, cut to a sensible length.
    pub last_words: Option<String>,
}

/// What the system says of an ended process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It was killed because it had no more memory to take.
    OutOfMemory,
    /// It did not answer for too long after its start, and was killed by its driver.
    NeverAnswered,
    /// It was started by an earlier life of the agent, and only a parent is told.
    Unknown,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            ExitStatus::Code(code) => write!(f, "it exited with code {code}")?,
            ExitStatus::Signal(signal) => write!(f, "it was killed by signal {signal}")?,
            ExitStatus::OutOfMemory => write!(f, "it was killed for want of memory")?,
            ExitStatus::NeverAnswered => write!(f, "it never answered its agent")?,
            ExitStatus::Unknown => write!(f, "it ended")?,
        }
        match &self.last_words {
            Some(words) => write!(f, "; it last said: {words}"),
            None => Ok(()),
        }
    }
}

/// The driver cannot reach what runs its units.
#[derive(Debug, thiserror::Error)]
#[error("what runs the units cannot be reached")]
pub struct Unreachable(#[source] pub Box<dyn Error + Send + Sync>);

/// Why a unit was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there.
    #[error("{address} is in use{}", held_by(.holder.as_ref()))]
    PortHeld {
        /// The address wanted.
        address: SocketAddr,
        /// Who has it, where that can be known.
        holder: Option<PortHolder>,
    },
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on")]
    Listen {
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The intent to start it could not be made durable.
    #[error("the start of incarnation {incarnation} cannot be recorded in {directory}")]
    Record {
        /// The assignment.
        incarnation: Incarnation,
        /// The run directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No template of the command driver is for it.
    #[error(
        "no template fits {unit}: add a [[template]] for its service or region, or one for all"
    )]
    NoTemplate {
        /// The unit.
        unit: UnitId,
    },
    /// What it is to serve cannot be written down for its program.
    #[error("the configuration of incarnation {incarnation} cannot be written")]
    Configuration {
        /// The assignment.
        incarnation: Incarnation,
        /// Why.
        #[source]
        source: RenderError,
    },
    /// The program could not be started.
    #[error("{program} cannot be started")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What runs containers did not do it.
    #[error(transparent)]
    Engine(Box<dyn Error + Send + Sync>),
}

/// Stops every unit of `driver`, and returns when the last has ended.
///
/// # Errors
/// If the driver could not be told, or cannot say.
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

/// Runs what waits for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Returns at `deadline`, if there is one.
async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
