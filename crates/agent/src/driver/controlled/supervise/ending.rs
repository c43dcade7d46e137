//! The end of a unit: its drain, and its kill.

use std::time::Duration;

use tokio::time::Instant;

use super::{Instance, Supervisor};

/// Time that a unit has to acknowledge the request to drain. A hung one finishes no request, while its
/// socket takes connections and keeps the port from its successor.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(8);

impl<B: Instance> Supervisor<B> {
    /// Starts the drain. Without a connection, [`connected`](Self::connected) sends the request
    /// later.
    pub(super) async fn drain(&mut self) {
        if !self.draining {
            self.draining = true;
            self.deadline = Some(self.stopped() + self.acknowledge_timeout());
            // Before the unit exits, the last counters are read.
            self.next_check = Instant::now();
        }
        let Some(connection) = &mut self.connection else { return };
        match connection.drain().await {
            Ok(()) => self.deadline = Some(self.stopped() + self.drain_timeout),
            Err(error) => {
                self.connection = None;
                self.handle_error(&error);
            }
        }
    }

    /// Time at which the stop was requested.
    fn stopped(&self) -> Instant {
        self.target.borrow().stopped.unwrap_or_else(Instant::now)
    }

    pub(super) fn acknowledge_timeout(&self) -> Duration {
        ACKNOWLEDGE_TIMEOUT.min(self.drain_timeout)
    }

    /// Kills a unit that has exceeded its start timeout or drain timeout.
    pub(super) async fn give_up(&mut self) {
        let incarnation = self.incarnation;
        match self.target.borrow().kill {
            true => tracing::warn!(%incarnation, "the unit was killed, but has not exited"),
            false => tracing::warn!(%incarnation, "start or drain timeout exceeded; killing unit"),
        }
        self.start_timed_out = self.instance.is_new() && !self.has_responded;
        self.kill().await;
    }

    pub(super) async fn kill(&mut self) {
        self.draining |= self.target.borrow().stopped.is_some();
        self.deadline = Some(Instant::now() + self.drain_timeout);
        // A response may be pending, and would be read as the response to the next request.
        self.disconnect();
        if self.owned_elsewhere {
            return;
        }
        self.instance.kill().await;
    }
}
