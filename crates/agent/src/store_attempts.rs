//! Storing the desired set, again and again if this machine lacks what that takes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use error_reporter::Report;
use meridian_durable::is_remediable;
use tokio::time::Instant;

use crate::desired::{self, Desired};
use crate::desired_store::DesiredStore;

/// Delay before a set that could not be stored is stored again.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Minimum time between two log lines about sets that cannot be stored.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The set is durable.
    Durable,
    /// The machine lacks descriptors or disk space. The set may be stored from this time on.
    NotBefore(Instant),
}

/// Attempts to store the desired set.
pub(crate) struct StoreAttempts {
    store: Arc<dyn DesiredStore>,
    /// Earliest time of the next attempt, after one that failed.
    next: Instant,
    /// Earliest time of the next log line about such a failure.
    next_log: Instant,
}

impl StoreAttempts {
    pub(crate) fn new(store: Arc<dyn DesiredStore>) -> Self {
        let now = Instant::now();
        Self { store, next: now, next_log: now }
    }

    /// Path of the file.
    pub(crate) fn path(&self) -> PathBuf {
        self.store.path()
    }

    /// Stores the set, unless an attempt has just failed.
    ///
    /// # Errors
    /// If a later attempt would fail too.
    pub(crate) async fn store(&mut self, desired: &Desired) -> io::Result<Stored> {
        let now = Instant::now();
        if now < self.next {
            return Ok(Stored::NotBefore(self.next));
        }
        match desired::save(&*self.store, desired).await {
            Ok(()) => Ok(Stored::Durable),
            Err(error) if is_remediable(&error) => {
                self.next = now + RETRY_DELAY;
                self.log(&error, now);
                Ok(Stored::NotBefore(self.next))
            }
            Err(error) => Err(error),
        }
    }

    fn log(&mut self, error: &io::Error, now: Instant) {
        if now >= self.next_log {
            self.next_log = now + LOG_INTERVAL;
            tracing::error!(
                path = %self.store.path().display(), cause = %Report::new(error),
                "cannot store the desired units; acting on the last ones and trying again"
            );
        }
    }
}
