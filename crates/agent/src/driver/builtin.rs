//! The built-in driver: each unit is a process of this program, and all units of a service share one
//! listening socket.
//!
//! ```text
//! start:  socket -> intent synced -> spawn -> control socket answers      (Starting ... Ready)
//! stop:   own duplicate of the socket closed if the last -> Drain -> process ends -> files deleted
//! open:   lock held -> adopt what answers, take its socket over; lock free -> delete what it left
//! ```
//!
//! What is on disk is described in `run_directory`; why a crash anywhere leaves no unit too many, in
//! the unit's own crate, module `lock`.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use meridian_domain::{AgentName, ClusterId, Configuration, Generation, Incarnation, Revision};
use meridian_ports::UnitLoad;
use tokio::sync::watch;

use super::run_directory::{DriverKind, Intent, Lock, RunDirectory};
use super::table::{Orders, Table};
use super::{
    Driver, Exit, ExitStatus, Phase, RunningUnit, StartError, UnitLimits, UnitSpec, Unreachable,
    blocking, listen,
};

mod adopt;
mod configuration;
mod control;
mod process;
mod supervise;
mod traffic;

pub use adopt::OpenError;
pub use process::Program;
pub(crate) use traffic::describe_metrics;

use crate::planted::{Bug, planted};
use control::{CallError, Control, Identity};
use process::Process;
use supervise::Supervisor;

/// After a crash, how long the socket waits for the unit to be started again, so that a restart at
/// once loses no caller that queues. After that, callers are better off refused.
const LISTENER_GRACE: Duration = Duration::from_secs(2);

/// What the driver has to know.
#[derive(Debug, Clone)]
pub struct BuiltinConfig {
    /// The cluster: units of another one are left alone.
    pub cluster: ClusterId,
    /// This agent.
    pub agent: AgentName,
    /// This life of it, from [`crate::generation::raise`]: units refuse older ones.
    pub generation: Generation,
    /// The run directory. Created where its parent exists.
    pub directory: PathBuf,
    /// The address that gateways listen on.
    pub gateway: IpAddr,
    /// What is run for each unit.
    pub program: Program,
    /// What each unit takes on.
    pub limits: UnitLimits,
    /// How long a stopped unit may take to end before it is killed. Default
    /// [`DRAIN_LIMIT`](Self::DRAIN_LIMIT).
    pub drain_limit: Duration,
}

impl BuiltinConfig {
    /// A unit's own ten seconds, and some for a busy machine.
    pub const DRAIN_LIMIT: Duration = Duration::from_secs(15);
}

/// The built-in driver. Clones are handles to the same one; dropping them stops no unit.
#[derive(Debug, Clone)]
pub struct Builtin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: BuiltinConfig,
    run: RunDirectory,
    table: Mutex<Table>,
    /// Held during a start, so that no two bind the same port or spawn the same incarnation.
    starting: tokio::sync::Mutex<()>,
    changes: watch::Sender<u64>,
}

#[async_trait]
impl Driver for Builtin {
    async fn list(&self) -> Result<Vec<RunningUnit>, Unreachable> {
        Ok(self.inner.table().units())
    }

    async fn start(&self, spec: UnitSpec) -> Result<(), StartError> {
        // A start that is cut short between two of its steps would leave a process unwatched.
        let start = tokio::spawn(Arc::clone(&self.inner).start(spec));
        start.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    async fn stop(&self, incarnation: Incarnation) -> Result<(), Unreachable> {
        self.inner.stop(incarnation).await;
        Ok(())
    }

    async fn configure(
        &self,
        incarnation: Incarnation,
        configuration: Arc<Configuration>,
    ) -> Result<(), Unreachable> {
        self.inner.table().configure(incarnation, configuration);
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }
}

impl Inner {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table, and says so to whoever waits for that.
    fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let changed = change(&mut self.table());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        changed
    }

    async fn start(self: Arc<Self>, spec: UnitSpec) -> Result<(), StartError> {
        let _one_at_a_time = self.starting.lock().await;
        let incarnation = spec.incarnation;
        let configuration = Arc::clone(&spec.configuration);
        let runs = |unit: &RunningUnit| !matches!(unit.phase, Phase::Exited(_));
        if self.table().unit(incarnation).is_some_and(runs) {
            self.table().configure(incarnation, configuration);
            return Ok(());
        }
        let intent = self.intent(spec);
        if self.clear(incarnation, false).await.map_err(|e| self.unrecorded(incarnation, e))?
            == Lock::Held
        {
            tracing::warn!(%incarnation, "runs already, though nothing was known of it: adopted");
            self.supervise(&intent, Process::Unknown, Some(configuration));
            return Ok(());
        }
        let kept = self.table().listener(intent.address);
        let listener = match kept {
            Some(listener) => listener,
            None => Arc::new(listen::bind(intent.address).await?),
        };
        let process = self.spawn(&intent, &listener).await?;
        tracing::info!(unit = %intent.unit, %incarnation, address = %intent.address, "started");
        self.change(|table| table.keep_listener(intent.address, listener));
        self.supervise(&intent, process, Some(configuration));
        Ok(())
    }

    /// Why a unit of `spec` runs.
    fn intent(&self, spec: UnitSpec) -> Intent {
        Intent {
            version: 1,
            cluster: self.config.cluster,
            unit: spec.unit,
            incarnation: spec.incarnation,
            generation: self.config.generation,
            address: SocketAddr::new(self.config.gateway, spec.port),
            driver: DriverKind::Builtin,
        }
    }

    fn unrecorded(&self, incarnation: Incarnation, source: io::Error) -> StartError {
        StartError::Record { incarnation, directory: self.run.path().to_owned(), source }
    }

    /// Makes the intent durable, and only then spawns the process.
    async fn spawn(
        self: &Arc<Self>,
        intent: &Intent,
        listener: &Arc<TcpListener>,
    ) -> Result<Process, StartError> {
        let incarnation = intent.incarnation;
        let (inner, intent, listener) = (Arc::clone(self), intent.clone(), Arc::clone(listener));
        blocking(move || {
            let log = inner.run.record(&intent).and_then(|()| inner.run.log(incarnation));
            let log = log.map_err(|error| inner.unrecorded(incarnation, error))?;
            let BuiltinConfig { program, agent, .. } = &inner.config;
            let child = process::spawn(program, agent, &intent, &listener, log, inner.run.path());
            if planted(Bug::AdoptByPid)
                && let Some(pid) = child.as_ref().ok().and_then(tokio::process::Child::id)
            {
                inner.run.note_pid(incarnation, pid);
            }
            child.map(Process::Child).map_err(|source| {
                if let Err(error) = inner.run.clear(incarnation, true) {
                    tracing::warn!(%incarnation, %error, "the files of no process remain");
                }
                StartError::Spawn { program: program.path.clone(), source }
            })
        })
        .await
    }

    /// Adds a unit to the table, and watches over it from now on.
    fn supervise(
        self: &Arc<Self>,
        intent: &Intent,
        process: Process,
        configuration: Option<Arc<Configuration>>,
    ) {
        let pid = match &process {
            Process::Child(child) => child.id(),
            Process::Found(_) | Process::Unknown => None,
        };
        let unit = RunningUnit {
            unit: intent.unit.clone(),
            incarnation: intent.incarnation,
            address: intent.address,
            phase: Phase::Starting,
            pid,
            build: None,
            configuration: Revision::default(),
            load: UnitLoad::default(),
        };
        let orders = Orders { stop: false, configuration };
        let orders = self.change(|table| table.insert(unit, orders));
        let supervisor = Supervisor::new(Arc::clone(self), intent.incarnation, process, orders);
        tokio::spawn(supervisor.run());
    }

    async fn stop(self: &Arc<Self>, incarnation: Incarnation) {
        let forgotten = self.change(|table| table.stop(incarnation));
        if forgotten && let Err(error) = self.clear(incarnation, true).await {
            tracing::warn!(%incarnation, %error, "the files of a dead unit remain");
        }
    }

    /// Notes what a unit said of itself.
    fn know(&self, incarnation: Incarnation, identity: Identity, link: Option<&Control>) {
        let pid = link.and_then(|control| control.peer().ok().flatten());
        self.change(|table| {
            table.update(incarnation, |unit| {
                unit.pid = pid.and_then(|pid| pid.as_raw_nonzero().get().try_into().ok());
                unit.build = Some(identity.build);
                unit.configuration = identity.configuration;
                unit.address = identity.address;
                unit.load = identity.load;
                if !identity.waiting && matches!(unit.phase, Phase::Starting | Phase::Silent) {
                    unit.phase = Phase::Ready;
                }
            });
        });
    }

    /// Notes what a unit serves from now on. One that waited for that is ready.
    fn configured(&self, incarnation: Incarnation, revision: Revision) {
        tracing::info!(%incarnation, configuration = %revision, "serves a configuration");
        self.change(|table| {
            table.update(incarnation, |unit| {
                unit.configuration = revision;
                if unit.phase == Phase::Starting {
                    unit.phase = Phase::Ready;
                }
            });
        });
    }

    /// Refuses to take something else for the unit.
    fn check(&self, incarnation: Incarnation, identity: &Identity) -> Result<(), CallError> {
        let ours = identity.cluster == self.config.cluster && identity.agent == self.config.agent;
        if ours && identity.incarnation == incarnation {
            Ok(())
        } else {
            Err(CallError::Foreign { cluster: identity.cluster, agent: identity.agent.clone() })
        }
    }

    /// Takes the listening socket of a unit, unless it is here already.
    async fn adopt_listener(&self, control: &mut Control, address: SocketAddr) {
        if self.table().listener(address).is_some() {
            return;
        }
        match control.take_listener(address).await {
            Ok(listener) => {
                tracing::info!(%address, "took the listening socket over");
                self.change(|table| table.keep_listener(address, Arc::new(listener)));
            }
            Err(error) => tracing::warn!(%address, %error, "no listening socket was handed over"),
        }
    }

    /// Notes that a unit has ended.
    async fn ended(self: &Arc<Self>, incarnation: Incarnation, status: ExitStatus) {
        let stopped = self.table().is_stopping(incarnation);
        if let Some(unit) = self.table().unit(incarnation) {
            traffic::forget(&unit.unit);
        }
        let last_words = if stopped { None } else { self.run.last_words(incarnation) };
        let exit = Exit { how: status, last_words };
        if stopped {
            tracing::info!(%incarnation, "stopped");
        } else {
            tracing::warn!(%incarnation, "{exit}");
        }
        if let Err(error) = self.clear(incarnation, stopped).await {
            tracing::warn!(%incarnation, %error, "the files of a dead unit remain");
        }
        self.change(|table| table.end(incarnation, exit));
        tokio::time::sleep(LISTENER_GRACE).await;
        self.table().close_idle_listeners();
    }

    /// Deletes what a dead process left.
    async fn clear(self: &Arc<Self>, incarnation: Incarnation, with_log: bool) -> io::Result<Lock> {
        let inner = Arc::clone(self);
        blocking(move || inner.run.clear(incarnation, with_log)).await
    }
}
