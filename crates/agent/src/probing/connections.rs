//! Connections to the gateways of one agent.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::exchange::Connection;

/// Number of connections that are kept open, so that a lost packet delays only some of the probes.
const KEPT: usize = 3;
/// Maximum number of probes in flight: those of a window to a service that never responds, for each of
/// some concurrent checks. A further one replaces the oldest.
const MAX_IN_FLIGHT: usize = 64;

/// Connections to the gateways of one agent.
#[derive(Default)]
pub(super) struct Connections {
    /// Idle ones, the least recently used first.
    idle: VecDeque<Connection>,
    /// Probes, each with a connection, the oldest first.
    in_flight: VecDeque<AbortHandle>,
}

impl Connections {
    /// Returns the number of connections.
    pub(super) fn len(&mut self) -> usize {
        self.in_flight.retain(|probe| !probe.is_finished());
        self.idle.len() + self.in_flight.len()
    }

    /// Returns an idle connection to any gateway of the agent, if enough others are open. One older
    /// than `max_age` is closed instead: all ports take turns, and a gateway that accepts no new
    /// connections must not look reachable through an old one.
    pub(super) fn take(&mut self, max_age: Duration, now: Instant) -> Option<Connection> {
        self.idle.retain(|connection| connection.age(now) < max_age);
        if self.len() < KEPT {
            return None;
        }
        self.idle.pop_front()
    }

    /// Keeps a connection for later probes, or closes it if there are enough.
    pub(super) fn keep(&mut self, connection: Connection) {
        if self.idle.len() < KEPT {
            self.idle.push_back(connection);
        }
    }

    /// Records a probe, and aborts the oldest one if there are too many.
    pub(super) fn record_start(&mut self, probe: AbortHandle) {
        self.in_flight.retain(|probe| !probe.is_finished());
        self.in_flight.push_back(probe);
        if self.in_flight.len() > MAX_IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            oldest.abort();
        }
    }

    /// Closes the idle connections.
    pub(super) fn close_idle(&mut self) {
        self.idle.clear();
    }
}

/// Closes all connections.
impl Drop for Connections {
    fn drop(&mut self) {
        self.in_flight.iter().for_each(AbortHandle::abort);
    }
}
