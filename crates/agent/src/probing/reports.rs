//! Reports of the probes to the leader, one at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use meridian_domain::NodeId;
use meridian_domain::reachability::votes::Observations;
use meridian_ports::{NoLeaderResponse, ProbeReport, Reachability};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Number of intervals after which a report without a response is given up. The leader counts this
/// agent as silent by then.
const TIMEOUT_INTERVALS: u32 = 3;

/// Sends the reports of one prober.
pub(super) struct Reports {
    reachability: Arc<dyn Reachability>,
    interval: Duration,
    number: u64,
    /// The last report, and its time.
    last: Option<(Observations, Instant)>,
    /// The report in flight, if any.
    in_flight: JoinSet<Result<BTreeSet<NodeId>, NoLeaderResponse>>,
}

impl Reports {
    pub(super) fn new(reachability: Arc<dyn Reachability>, interval: Duration) -> Self {
        Self { reachability, interval, number: 0, last: None, in_flight: JoinSet::new() }
    }

    /// Sends a report if the interval has passed, or if it differs from the last one.
    pub(super) fn send(&mut self, observations: Observations, now: Instant) {
        let is_due = self.last.as_ref().is_none_or(|(last, at)| {
            *last != observations || now.duration_since(*at) >= self.interval
        });
        if !is_due || !self.in_flight.is_empty() {
            return;
        }
        self.number += 1;
        let report = ProbeReport { number: self.number, observations: observations.clone() };
        self.last = Some((observations, now));
        let deadline = now + self.interval * TIMEOUT_INTERVALS;
        let reachability = Arc::clone(&self.reachability);
        self.in_flight.spawn(async move { reachability.report(report, deadline).await });
    }

    /// Returns the members that are silent, according to the leader, once the report in flight has a
    /// response. Pends while there is none. Cancel-safe.
    pub(super) async fn response(&mut self) -> BTreeSet<NodeId> {
        loop {
            match self.in_flight.join_next().await {
                Some(Ok(Ok(silent))) => return silent,
                Some(Ok(Err(error))) => {
                    tracing::debug!(%error, "probe report failed; it will be repeated");
                    if let Some((_, at)) = &mut self.last {
                        // A failure may be immediate, and must not lead to a busy loop.
                        *at = Instant::now();
                    }
                }
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => std::future::pending().await,
            }
        }
    }
}
