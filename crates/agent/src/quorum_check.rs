//! Periodic quorum-confirmed reads: they establish a minimum revision for the desired set, and
//! detect that the cluster has removed this agent.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::Revision;
use meridian_ports::{Consistency, Read, ReadError, ReadPoint};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::jitter::jittered;

/// Timeout of a read.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Delay after a read that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Delay after a read that succeeded. Reads continue because a node that was removed may never
/// receive the entry that removed it.
const PERIOD: Duration = Duration::from_secs(5);

/// Issues the reads, one at a time.
pub(crate) struct QuorumCheck {
    read: Arc<dyn Read>,
    /// First revision that a majority confirmed to this process.
    confirmed: Option<Revision>,
    removed: bool,
    delay: Duration,
    /// The read in flight, including the delay before it.
    request: JoinSet<Result<ReadPoint, ReadError>>,
}

impl QuorumCheck {
    pub(crate) fn new(read: Arc<dyn Read>) -> Self {
        let request = JoinSet::new();
        Self { read, confirmed: None, removed: false, delay: Duration::ZERO, request }
    }

    /// True if a set of that revision is at least as new as the confirmed revision.
    pub(crate) fn confirms(&self, revision: Revision) -> bool {
        self.confirmed.is_some_and(|confirmed| confirmed <= revision)
    }

    /// True if a majority confirmed that this agent was removed.
    pub(crate) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Returns when a read has succeeded or failed. Cancel-safe.
    pub(crate) async fn completed(&mut self) {
        if self.request.is_empty() {
            let (read, delay) = (Arc::clone(&self.read), self.delay);
            self.request.spawn(async move {
                sleep(delay).await;
                read.read(Consistency::Linearizable, Instant::now() + TIMEOUT).await
            });
        }
        match self.request.join_next().await {
            Some(Ok(result)) => self.record(result),
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => {}
        }
    }

    fn record(&mut self, result: Result<ReadPoint, ReadError>) {
        self.delay = jittered(if result.is_ok() { PERIOD } else { RETRY_DELAY });
        match result {
            Ok(ReadPoint { revision, .. }) if self.confirmed.is_none() => {
                tracing::info!(%revision, "state confirmed by a majority: units may be stopped");
                self.confirmed = Some(revision);
            }
            Ok(_) => {}
            Err(ReadError::Removed) => self.removed = true,
            Err(error @ (ReadError::NoLeader { .. } | ReadError::Behind { .. })) => {
                tracing::debug!(%error, "quorum-confirmed read failed");
            }
        }
    }
}
