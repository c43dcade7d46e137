//! What the driver knows: its units, and the sockets that they share.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use meridian_domain::{Configuration, Incarnation};
use tokio::sync::watch;

use crate::driver::{Exit, Phase, RunningUnit};

/// A unit, and the word that reaches its supervisor.
#[derive(Debug)]
struct Row {
    unit: RunningUnit,
    orders: watch::Sender<Orders>,
}

/// What a unit is to do.
#[derive(Debug, Default)]
pub(super) struct Orders {
    /// It is to drain and end.
    pub(super) stop: bool,
    /// What it is to serve. Absent for one that was found, until that is known.
    pub(super) configuration: Option<Arc<Configuration>>,
}

/// What the driver knows.
///
/// A listening socket that nobody accepts from makes callers wait for nothing, so the driver's own
/// duplicate lives only as long as a unit serves, or starts to serve, on that address.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<Incarnation, Row>,
    listeners: BTreeMap<SocketAddr, Arc<TcpListener>>,
}

impl Table {
    pub(super) fn units(&self) -> Vec<RunningUnit> {
        self.rows.values().map(|row| row.unit.clone()).collect()
    }

    pub(super) fn unit(&self, incarnation: Incarnation) -> Option<&RunningUnit> {
        self.rows.get(&incarnation).map(|row| &row.unit)
    }

    /// Adds a unit, in place of one that has exited. What receives its orders is returned.
    pub(super) fn insert(&mut self, unit: RunningUnit, orders: Orders) -> watch::Receiver<Orders> {
        let (orders, receiver) = watch::channel(orders);
        self.rows.insert(unit.incarnation, Row { unit, orders });
        receiver
    }

    /// Has a unit serve a configuration, if it is to serve another one.
    pub(super) fn configure(&self, incarnation: Incarnation, wanted: Arc<Configuration>) {
        let Some(row) = self.rows.get(&incarnation) else { return };
        row.orders.send_if_modified(|orders| {
            let is_new = orders.configuration.as_ref() != Some(&wanted);
            if is_new {
                orders.configuration = Some(wanted);
            }
            is_new
        });
    }

    pub(super) fn is_stopping(&self, incarnation: Incarnation) -> bool {
        self.rows.get(&incarnation).is_some_and(|row| row.orders.borrow().stop)
    }

    /// Changes what is known of a unit.
    pub(super) fn update(
        &mut self,
        incarnation: Incarnation,
        change: impl FnOnce(&mut RunningUnit),
    ) {
        if let Some(row) = self.rows.get_mut(&incarnation) {
            change(&mut row.unit);
        }
    }

    /// Passes the word to stop on. Whether the unit has exited already, and is only to be forgotten.
    pub(super) fn stop(&mut self, incarnation: Incarnation) -> bool {
        let Some(row) = self.rows.get_mut(&incarnation) else { return false };
        if matches!(row.unit.phase, Phase::Exited(_)) {
            self.rows.remove(&incarnation);
            return true;
        }
        row.unit.phase = Phase::Draining;
        // Before the unit hears of it: it lets go of the socket when it drains, and so must we.
        row.orders.send_modify(|orders| orders.stop = true);
        self.close_idle_listeners();
        false
    }

    /// Notes the end of a unit: forgotten if it was told to stop, kept with its cause otherwise.
    pub(super) fn end(&mut self, incarnation: Incarnation, exit: Exit) {
        let Some(row) = self.rows.get_mut(&incarnation) else { return };
        if row.orders.borrow().stop {
            self.rows.remove(&incarnation);
        } else {
            row.unit.phase = Phase::Exited(exit);
        }
    }

    pub(super) fn listener(&self, address: SocketAddr) -> Option<Arc<TcpListener>> {
        self.listeners.get(&address).cloned()
    }

    pub(super) fn keep_listener(&mut self, address: SocketAddr, listener: Arc<TcpListener>) {
        self.listeners.entry(address).or_insert(listener);
    }

    /// Closes every socket that no unit serves on.
    pub(super) fn close_idle_listeners(&mut self) {
        let Self { rows, listeners } = self;
        listeners.retain(|address, _| {
            let used = rows.values().any(|row| {
                let serves =
                    matches!(row.unit.phase, Phase::Starting | Phase::Ready | Phase::Silent);
                serves && row.unit.address == *address
            });
            if !used {
                tracing::info!(%address, "closed: no unit serves here");
            }
            used
        });
    }
}
