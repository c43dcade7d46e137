//! The unit table of a driver, and the listening sockets that units share.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::{Exit, Phase, RunningUnit, reached};

/// A unit, and the channel to its supervisor.
#[derive(Debug)]
struct Row {
    unit: RunningUnit,
    target: watch::Sender<TargetState>,
}

/// Target state of a unit, sent to its supervisor.
#[derive(Debug, Default)]
pub(super) struct TargetState {
    /// Time at which the stop was requested. `None` if the unit should serve.
    pub(super) stopped: Option<Instant>,
    /// Configuration to serve. `None` for an adopted unit until the agent sets it.
    pub(super) configuration: Option<Arc<Configuration>>,
}

/// Returns once a unit was stopped and `drain_timeout` has passed since. The time counts from the
/// request to stop: a supervisor that waits for a hung unit learns of the request late.
pub(super) async fn drain_timeout_exceeded(
    mut target: watch::Receiver<TargetState>,
    drain_timeout: Duration,
) {
    let stopped = target.wait_for(|target| target.stopped.is_some()).await;
    // An error means that another process run of the unit has replaced this one in the table.
    let stopped = stopped.ok().and_then(|target| target.stopped);
    reached(stopped.map(|stopped| stopped + drain_timeout)).await;
}

/// Unit table of a driver.
///
/// Clients that connect to a listening socket from which no unit accepts would never get a
/// response. So the driver holds its own duplicate of a socket only while a unit serves, or starts
/// to serve, on that address.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<Incarnation, Row>,
    listeners: BTreeMap<SocketAddr, Arc<TcpListener>>,
}

impl Table {
    pub(super) fn units(&self) -> Vec<RunningUnit> {
        self.rows.values().map(|row| row.unit.clone()).collect()
    }

    /// Returns the number of units that have not exited.
    pub(super) fn running(&self) -> usize {
        self.rows.values().filter(|row| !row.unit.phase.has_exited()).count()
    }

    pub(super) fn unit(&self, incarnation: Incarnation) -> Option<&RunningUnit> {
        self.rows.get(&incarnation).map(|row| &row.unit)
    }

    /// Adds a unit, replacing one that has exited. Returns the receiver of its target state.
    pub(super) fn insert(
        &mut self,
        unit: RunningUnit,
        target: TargetState,
    ) -> watch::Receiver<TargetState> {
        let (target, receiver) = watch::channel(target);
        self.rows.insert(unit.incarnation, Row { unit, target });
        receiver
    }

    /// Sets the configuration that a unit should serve.
    pub(super) fn configure(&self, incarnation: Incarnation, wanted: Arc<Configuration>) {
        let Some(row) = self.rows.get(&incarnation) else { return };
        row.target.send_if_modified(|target| {
            let is_new = target.configuration.as_ref() != Some(&wanted);
            if is_new {
                target.configuration = Some(wanted);
            }
            is_new
        });
    }

    pub(super) fn is_stopping(&self, incarnation: Incarnation) -> bool {
        self.rows.get(&incarnation).is_some_and(|row| row.target.borrow().stopped.is_some())
    }

    /// Updates the row of a unit.
    pub(super) fn update(
        &mut self,
        incarnation: Incarnation,
        change: impl FnOnce(&mut RunningUnit),
    ) {
        if let Some(row) = self.rows.get_mut(&incarnation) {
            change(&mut row.unit);
        }
    }

    /// Requests the stop of a unit. Returns true if it had already exited and was only removed.
    pub(super) fn stop(&mut self, incarnation: Incarnation) -> bool {
        let Some(row) = self.rows.get_mut(&incarnation) else { return false };
        if row.unit.phase.has_exited() {
            self.rows.remove(&incarnation);
            return true;
        }
        row.unit.phase = Phase::Draining;
        // The unit closes its socket when it drains, so the driver closes its duplicate as well.
        row.target.send_modify(|target| {
            target.stopped.get_or_insert_with(Instant::now);
        });
        self.close_idle_listeners();
        false
    }

    /// Records the exit of a unit: removes it if it was stopped, otherwise keeps it with its cause.
    pub(super) fn record_exit(&mut self, incarnation: Incarnation, exit: Exit) {
        let Some(row) = self.rows.get_mut(&incarnation) else { return };
        if row.target.borrow().stopped.is_some() {
            self.rows.remove(&incarnation);
        } else {
            row.unit.phase = Phase::Exited(exit);
        }
    }

    pub(super) fn listener(&self, address: SocketAddr) -> Option<Arc<TcpListener>> {
        self.listeners.get(&address).cloned()
    }

    pub(super) fn insert_listener(&mut self, address: SocketAddr, listener: Arc<TcpListener>) {
        self.listeners.entry(address).or_insert(listener);
    }

    /// Closes every socket that no unit uses.
    pub(super) fn close_idle_listeners(&mut self) {
        let Self { rows, listeners } = self;
        listeners.retain(|address, _| {
            let used = rows
                .values()
                .any(|row| row.unit.phase.uses_listener() && row.unit.address == *address);
            if !used {
                tracing::info!(%address, "listening socket closed: no unit uses it");
            }
            used
        });
    }
}
