//! The unit table of a driver, and the listening sockets that units share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::{Configuration, Incarnation, ServiceName, UnitId};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::run_directory::Intent;
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
    /// True if the unit should be killed, because it does not respond.
    pub(super) kill: bool,
    /// Configuration to serve. `None` for an adopted unit until the agent sets it.
    pub(super) configuration: Option<Arc<Configuration>>,
}

/// Key of a listening socket. The units of a service share the socket of an address. Units of two
/// services never share one: they would answer each other's clients.
pub(super) type ListenerKey = (ServiceName, SocketAddr);

impl Intent {
    /// Key of the listening socket that the unit uses.
    pub(super) fn listener_key(&self) -> ListenerKey {
        (self.unit.service.clone(), self.address)
    }
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
    launching: BTreeMap<Incarnation, (UnitId, SocketAddr)>,
    listeners: BTreeMap<ListenerKey, Arc<TcpListener>>,
}

impl Table {
    pub(super) fn units(&self) -> Vec<RunningUnit> {
        self.rows.values().map(|row| row.unit.clone()).collect()
    }

    /// Records a launch in progress, unless `maximum` slots have a unit that runs or is launched.
    /// Returns their number then. A slot that has both an old and a new unit counts once: otherwise,
    /// nothing could be replaced at the maximum.
    pub(super) fn begin_launch(&mut self, intent: &Intent, maximum: usize) -> Result<(), usize> {
        let running = self.rows.values().filter(|row| !row.unit.phase.has_exited());
        let slots = running.map(|row| &row.unit.unit);
        let slots: BTreeSet<_> =
            slots.chain(self.launching.values().map(|(unit, _)| unit)).collect();
        if slots.len() >= maximum && !slots.contains(&intent.unit) {
            return Err(slots.len());
        }
        self.launching.insert(intent.incarnation, (intent.unit.clone(), intent.address));
        Ok(())
    }

    /// Ends a launch. The unit is in the table now, or was not launched.
    pub(super) fn end_launch(&mut self, incarnation: Incarnation) {
        self.launching.remove(&incarnation);
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

    /// Requests that a unit is killed, if it does not respond.
    pub(super) fn kill(&mut self, incarnation: Incarnation) {
        let Some(row) = self.rows.get(&incarnation) else { return };
        if row.unit.phase == Phase::Unresponsive {
            row.target.send_if_modified(|target| !std::mem::replace(&mut target.kill, true));
        }
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
        let key = (row.unit.unit.service.clone(), row.unit.address);
        // The unit closes its socket when it drains, so the driver closes its duplicate as well.
        row.target.send_modify(|target| {
            target.stopped.get_or_insert_with(Instant::now);
        });
        self.close_unused(&key);
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

    pub(super) fn listener(&self, key: &ListenerKey) -> Option<Arc<TcpListener>> {
        self.listeners.get(key).cloned()
    }

    pub(super) fn insert_listener(&mut self, key: ListenerKey, listener: Arc<TcpListener>) {
        self.listeners.entry(key).or_insert(listener);
    }

    /// Returns the other sockets of the service on the same port, at an address that overlaps.
    pub(super) fn overlapping(&self, (service, address): &ListenerKey) -> Vec<Arc<TcpListener>> {
        let others = self.listeners.iter().filter(|((owner, other), _)| {
            owner == service && other != address && overlaps(*other, *address)
        });
        others.map(|(_, listener)| Arc::clone(listener)).collect()
    }

    /// Returns another service of which a unit listens on the port, or still drains on it.
    pub(super) fn other_service(&self, (service, address): &ListenerKey) -> Option<ServiceName> {
        let running = self.rows.values().map(|row| &row.unit).filter(|it| !it.phase.has_exited());
        let mut others = running
            .filter(|unit| unit.unit.service != *service && overlaps(unit.address, *address));
        others.next().map(|unit| unit.unit.service.clone())
    }

    /// Closes a socket, unless a unit uses it or is being launched with it.
    pub(super) fn close_unused(&mut self, key: &ListenerKey) {
        let (service, address) = key;
        let serving = self.rows.values().map(|row| &row.unit);
        let serving = serving.filter(|unit| unit.phase.uses_listener());
        let mut users = serving
            .map(|unit| (&unit.unit, unit.address))
            .chain(self.launching.values().map(|(unit, address)| (unit, *address)));
        let is_used = users.any(|(unit, at)| unit.service == *service && at == *address);
        if !is_used && self.listeners.remove(key).is_some() {
            tracing::info!(%service, %address, "listening socket closed: no unit uses it");
        }
    }
}

/// True if a connection to one address may reach a socket at the other.
fn overlaps(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (any || one.ip() == other.ip())
}
