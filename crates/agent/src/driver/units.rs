//! The units of one driver: what is known of them, and what they leave on disk. Every driver is
//! built on this; how a unit is started, reached and ended is its own.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use meridian_domain::{AgentName, ClusterId, Generation, Incarnation, Revision};
use meridian_ports::UnitLoad;
use tokio::sync::watch;
use tokio::time::timeout;

use super::run_directory::{DriverKind, Intent, Lock, RunDirectory};
use super::table::{Orders, Table};
use super::{Exit, Phase, RunningUnit, StartError, UnitLimits, UnitSpec, blocking, listen};

/// After a crash, how long the socket waits for the unit to be started again, so that a restart at
/// once loses no caller that queues. After that, callers are better off refused.
const LISTENER_GRACE: Duration = Duration::from_secs(2);
/// For found units to answer before the driver opens without them. They are in the list either way.
const ADOPTION_LIMIT: Duration = Duration::from_secs(3);

/// The run directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the run directory {directory} cannot be used")]
pub struct OpenError {
    /// The directory.
    pub directory: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// What every driver has to know.
#[derive(Debug)]
pub(super) struct Premises {
    pub(super) kind: DriverKind,
    pub(super) cluster: ClusterId,
    pub(super) agent: AgentName,
    pub(super) generation: Generation,
    /// The run directory.
    pub(super) directory: PathBuf,
    /// The address that gateways listen on.
    pub(super) gateway: IpAddr,
    pub(super) limits: UnitLimits,
}

/// The units of one driver.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) premises: Premises,
    pub(super) run: RunDirectory,
    table: Mutex<Table>,
    /// Held during a start, so that no two bind the same port or start the same incarnation.
    pub(super) starting: tokio::sync::Mutex<()>,
    changes: watch::Sender<u64>,
}

impl Units {
    /// Opens the run directory, and deletes what dead units left. Those that live are returned.
    ///
    /// # Errors
    /// If the directory cannot be used, or units of another driver live in it.
    pub(super) async fn open(
        premises: Premises,
    ) -> Result<(Arc<Self>, Vec<Incarnation>), OpenError> {
        let (directory, kind) = (premises.directory.clone(), premises.kind);
        let opened = blocking(move || {
            let run = RunDirectory::open(&directory)?;
            let living = run.clear_dead(kind)?;
            io::Result::Ok((run, living))
        });
        let (run, living) = opened
            .await
            .map_err(|source| OpenError { directory: premises.directory.clone(), source })?;
        let units = Self {
            premises,
            run,
            table: Mutex::new(Table::default()),
            starting: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
        };
        Ok((Arc::new(units), living))
    }

    /// Returns once every found unit has answered or ended, or that takes too long.
    pub(super) async fn all_answered(&self) {
        let mut changes = self.changes();
        let answered = |_: &u64| self.table().units().iter().all(|it| it.phase != Phase::Starting);
        if timeout(ADOPTION_LIMIT, changes.wait_for(answered)).await.is_err() {
            tracing::warn!("some units run and do not answer; they stay in the list");
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the table, and says so to whoever waits for that.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        let changed = change(&mut self.table());
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        changed
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Whether a unit is there that has not exited.
    pub(super) fn runs(&self, incarnation: Incarnation) -> bool {
        let runs = |unit: &RunningUnit| !matches!(unit.phase, Phase::Exited(_));
        self.table().unit(incarnation).is_some_and(runs)
    }

    /// Why a unit of `spec` runs.
    pub(super) fn intent(&self, spec: &UnitSpec) -> Intent {
        Intent {
            version: 1,
            cluster: self.premises.cluster,
            unit: spec.unit.clone(),
            incarnation: spec.incarnation,
            generation: self.premises.generation,
            address: SocketAddr::new(self.premises.gateway, spec.port),
            driver: self.premises.kind,
        }
    }

    pub(super) fn unrecorded(&self, incarnation: Incarnation, source: io::Error) -> StartError {
        StartError::Record { incarnation, directory: self.run.path().to_owned(), source }
    }

    /// The socket that the units of `address` share: the one that is here, or a new one.
    pub(super) async fn listener(
        &self,
        address: SocketAddr,
    ) -> Result<Arc<TcpListener>, StartError> {
        let kept = self.table().listener(address);
        match kept {
            Some(listener) => Ok(listener),
            None => Ok(Arc::new(listen::bind(address).await?)),
        }
    }

    /// Adds a unit to the table.
    pub(super) fn insert(
        &self,
        intent: &Intent,
        pid: Option<u32>,
        configuration: Revision,
        orders: Orders,
    ) -> watch::Receiver<Orders> {
        let phase = if orders.stop { Phase::Draining } else { Phase::Starting };
        let unit = RunningUnit {
            unit: intent.unit.clone(),
            incarnation: intent.incarnation,
            address: intent.address,
            phase,
            pid,
            build: None,
            configuration,
            load: UnitLoad::default(),
        };
        self.change(|table| table.insert(unit, orders))
    }

    /// Passes the word to stop on. One that has exited is forgotten.
    pub(super) async fn stop(self: &Arc<Self>, incarnation: Incarnation) {
        let forgotten = self.change(|table| table.stop(incarnation));
        if forgotten && let Err(error) = self.clear(incarnation, true).await {
            tracing::warn!(%incarnation, %error, "the files of a dead unit remain");
        }
    }

    /// Notes that a unit has ended.
    pub(super) async fn ended(self: &Arc<Self>, incarnation: Incarnation, exit: Exit) {
        let stopped = self.table().is_stopping(incarnation);
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

    /// Deletes what a dead unit left.
    pub(super) async fn clear(
        self: &Arc<Self>,
        incarnation: Incarnation,
        with_log: bool,
    ) -> io::Result<Lock> {
        let units = Arc::clone(self);
        blocking(move || units.run.clear(incarnation, with_log)).await
    }
}
