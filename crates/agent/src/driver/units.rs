//! The units of one driver: the unit table and the files in the run directory. All drivers are
//! built on this; they differ in how a unit is launched, reached and stopped.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meridian_domain::{
    AgentName, ClusterId, Generation, Incarnation, RefusedConfiguration, Revision,
};
use meridian_ports::UnitLoad;
use rustix::process::{Resource, getrlimit};
use tokio::sync::watch;
use tokio::time::timeout;

use super::locks::Locks;
use super::run_directory::{DriverKind, Intent, Lock, RunDirectory};
use super::table::{ListenerKey, Table, TargetState};
use super::{
    Exit, Phase, RunningUnit, StartError, Traffic, UnitLimits, UnitSpec, UnitUser, blocking,
    listen, log_rotation,
};

/// Time that a socket stays open after the exit of its last unit, so that an immediate restart
/// loses no queued connection. After that, refusing connections is better.
const LISTENER_GRACE: Duration = Duration::from_secs(2);
/// Timeout for adopted units to respond when the driver opens. They stay in the list either way.
const ADOPTION_TIMEOUT: Duration = Duration::from_secs(3);

/// The run directory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the run directory {directory}")]
pub struct OpenError {
    /// Path of the run directory.
    pub directory: PathBuf,
    /// Cause.
    #[source]
    pub source: io::Error,
}

/// Properties common to all units of a driver.
#[derive(Debug)]
pub(super) struct DriverContext {
    pub(super) kind: DriverKind,
    pub(super) cluster: ClusterId,
    pub(super) agent: AgentName,
    pub(super) generation: Generation,
    /// Path of the run directory.
    pub(super) directory: PathBuf,
    /// Address that gateways listen on.
    pub(super) gateway: IpAddr,
    pub(super) limits: UnitLimits,
    pub(super) traffic: Traffic,
}

/// The units of one driver.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) context: DriverContext,
    pub(super) run: Arc<RunDirectory>,
    table: Mutex<Table>,
    /// Held during the start of an incarnation, so that it is not started twice.
    pub(super) starting: Locks<Incarnation>,
    changes: watch::Sender<u64>,
}

impl Units {
    /// Opens the run directory and deletes the files of units that have exited. Returns the units
    /// that run.
    ///
    /// # Errors
    /// If the directory cannot be used, or a unit of another driver runs in it.
    pub(super) async fn open(
        context: DriverContext,
    ) -> Result<(Arc<Self>, Vec<Incarnation>), OpenError> {
        let (directory, kind) = (context.directory.clone(), context.kind);
        let opened = blocking(move || {
            let run = RunDirectory::open(&directory)?;
            let running = run.clear_exited(kind)?;
            io::Result::Ok((run, running))
        });
        let (run, running) = opened
            .await
            .map_err(|source| OpenError { directory: context.directory.clone(), source })?;
        let run = Arc::new(run);
        tokio::spawn(log_rotation::run(Arc::downgrade(&run)));
        let units = Self {
            context,
            run,
            table: Mutex::new(Table::default()),
            starting: Locks::default(),
            changes: watch::Sender::new(0),
        };
        Ok((Arc::new(units), running))
    }

    /// Lets the units' own user, if they have one, reach its files.
    pub(super) fn admit(&self, user: Option<UnitUser>) -> io::Result<()> {
        user.map_or(Ok(()), |_| self.run.allow_passage())
    }

    /// Returns once every adopted unit has responded or exited, at the latest after
    /// [`ADOPTION_TIMEOUT`].
    pub(super) async fn wait_for_adopted(&self) {
        let mut changes = self.changes();
        let responded = |_: &u64| self.table().units().iter().all(|it| it.phase != Phase::Starting);
        if timeout(ADOPTION_TIMEOUT, changes.wait_for(responded)).await.is_err() {
            tracing::warn!("some adopted units do not respond; they stay in the list");
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table and notifies the receivers of [`changes`](Self::changes).
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let changed = change(&mut self.table());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        changed
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// True if the unit exists and has not exited.
    pub(super) fn is_running(&self, incarnation: Incarnation) -> bool {
        self.table().unit(incarnation).is_some_and(|unit| !unit.phase.has_exited())
    }

    /// Begins a launch, if there are file descriptors for another unit. They are counted by unit,
    /// because a unit takes most of its descriptors only after its start.
    pub(super) fn begin_launch(&self, intent: &Intent) -> Result<(), StartError> {
        let maximum = self.context.limits.units;
        let units = if maximum == 0 { None } else { usize::try_from(maximum).ok() };
        let begun = self.table().begin_launch(intent, units.unwrap_or(usize::MAX));
        begun.map_err(|running| {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            StartError::NoDescriptors { running, maximum, limit }
        })
    }

    /// Builds the intent to run `spec`.
    pub(super) fn intent(&self, spec: &UnitSpec) -> Intent {
        Intent {
            version: 1,
            cluster: self.context.cluster,
            unit: spec.unit.clone(),
            incarnation: spec.incarnation,
            generation: self.context.generation,
            address: SocketAddr::new(self.context.gateway, spec.port),
            driver: self.context.kind,
        }
    }

    pub(super) fn record_error(&self, incarnation: Incarnation, source: io::Error) -> StartError {
        StartError::Record { incarnation, directory: self.run.path().to_owned(), source }
    }

    /// Returns the socket that the units of a service share at an address: the open one, or a new
    /// one, which stays open once a unit uses it.
    pub(super) async fn listener(&self, key: &ListenerKey) -> Result<Arc<TcpListener>, StartError> {
        self.once_free(key, || {
            // Under one lock, so that two starts do not open two sockets.
            let mut table = self.table();
            if let Some(open) = table.listener(key) {
                return Ok(open);
            }
            let listener = Arc::new(listen::bind(key.1, &table.overlapping(key))?);
            table.insert_listener(key.clone(), Arc::clone(&listener));
            Ok(listener)
        })
        .await
    }

    /// Checks that a program of the service could listen on the address by itself.
    pub(super) async fn probe(&self, key: &ListenerKey) -> Result<(), StartError> {
        self.once_free(key, || listen::probe(key.1)).await
    }

    /// Runs `open` once no unit of another service uses the port, and the system accepts it. Waits
    /// only shortly.
    async fn once_free<T>(
        &self,
        key: &ListenerKey,
        open: impl Fn() -> io::Result<T>,
    ) -> Result<T, StartError> {
        let other = || self.table().other_service(key);
        let free = || match other() {
            Some(_) => Err(io::ErrorKind::AddrInUse.into()),
            None => open(),
        };
        match listen::retry_in_use(free).await {
            Ok(opened) => Ok(opened),
            Err(error) => Err(match other() {
                Some(service) => StartError::PortOfAnotherService { address: key.1, service },
                None => listen::describe(key.1, error).await,
            }),
        }
    }

    /// Adds a unit to the table.
    pub(super) fn insert(
        &self,
        intent: &Intent,
        pid: Option<u32>,
        configuration: Revision,
        target: TargetState,
    ) -> watch::Receiver<TargetState> {
        let phase = if target.stopped.is_some() { Phase::Draining } else { Phase::Starting };
        let unit = RunningUnit {
            unit: intent.unit.clone(),
            incarnation: intent.incarnation,
            address: intent.address,
            phase,
            pid,
            build: None,
            configuration,
            refused: None,
            load: UnitLoad::default(),
        };
        self.change(|table| table.insert(unit, target))
    }

    /// Requests the stop of a unit. One that has exited is removed.
    pub(super) async fn stop(self: &Arc<Self>, incarnation: Incarnation) {
        let had_exited = self.change(|table| table.stop(incarnation));
        if had_exited && let Err(error) = self.clear(incarnation, true).await {
            tracing::warn!(%incarnation, %error, "cannot delete the files of an exited unit");
        }
    }

    /// Records that a unit does not accept a configuration.
    pub(super) fn record_refusal(&self, incarnation: Incarnation, refusal: RefusedConfiguration) {
        let known = self.table().unit(incarnation).and_then(|unit| unit.refused.clone());
        // By the revision: the cause may contain the time, or a process id.
        if known.is_some_and(|known| known.configuration == refusal.configuration) {
            return;
        }
        let RefusedConfiguration { configuration, cause } = &refusal;
        tracing::error!(%incarnation, %configuration, cause, "configuration refused; retrying");
        self.change(|table| {
            table.update(incarnation, |unit| {
                if unit.phase == Phase::Starting {
                    let RefusedConfiguration { configuration, cause } = &refusal;
                    let reason = format!("refuses configuration {configuration}: {cause}");
                    unit.phase = Phase::Unhealthy(reason);
                }
                unit.refused = Some(refusal);
            });
        });
    }

    /// Records the exit of a unit and deletes its files.
    pub(super) async fn handle_exit(self: &Arc<Self>, incarnation: Incarnation, exit: Exit) {
        let stopped = self.table().is_stopping(incarnation);
        if stopped {
            tracing::info!(%incarnation, "unit stopped");
        } else {
            tracing::warn!(%incarnation, %exit, "unit exited unexpectedly");
        }
        if let Err(error) = self.clear(incarnation, stopped).await {
            tracing::warn!(%incarnation, %error, "cannot delete the files of an exited unit");
        }
        let unit = self.table().unit(incarnation).cloned();
        self.change(|table| table.record_exit(incarnation, exit));
        if let Some(unit) = unit {
            self.close_unused_later((unit.unit.service, unit.address)).await;
        }
    }

    /// Closes a socket after [`LISTENER_GRACE`], unless a unit uses it then.
    pub(super) async fn close_unused_later(&self, key: ListenerKey) {
        tokio::time::sleep(LISTENER_GRACE).await;
        self.table().close_unused(&key);
    }

    /// Deletes the files of a unit that has exited. The log is deleted only `with_log`.
    pub(super) async fn clear(
        self: &Arc<Self>,
        incarnation: Incarnation,
        with_log: bool,
    ) -> io::Result<Lock> {
        let units = Arc::clone(self);
        blocking(move || units.run.clear(incarnation, with_log)).await
    }
}
