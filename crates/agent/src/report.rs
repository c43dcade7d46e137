//! Reports the unit table to the log: only if it differs from the replicated state, and one report
//! at a time.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::report::{Report, ReportedUnit};
use meridian_domain::{AgentName, Command, Generation, Revision, Sequence, State, Verdict, decide};
use meridian_ports::{Proposal, Propose, Read, Receipt, Requester};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Timeout of a report. A later response would be about an outdated table.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Delay before a failed report is built again from the current table.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Sends the reports of one process run of an agent.
pub(crate) struct Reporter {
    agent: AgentName,
    generation: Generation,
    sequence: Sequence,
    propose: Arc<dyn Propose>,
    read: Arc<dyn Read>,
    /// Revision returned for the last accepted report. Until the local state has applied it, a
    /// comparison would find the same differences again.
    acknowledged: Revision,
    /// The report in flight, if any. Yields its revision if it was accepted.
    in_flight: JoinSet<Option<Revision>>,
}

impl Reporter {
    pub(crate) fn new(
        agent: AgentName,
        generation: Generation,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
    ) -> Self {
        let (sequence, acknowledged, in_flight) = Default::default();
        Self { agent, generation, sequence, propose, read, acknowledged, in_flight }
    }

    /// Sends the unit table as observed at revision `observed`, unless the log already matches it
    /// or a report is in flight.
    pub(crate) fn report(&mut self, observed: Revision, units: Vec<ReportedUnit>) {
        if !self.in_flight.is_empty() {
            return;
        }
        let report = Command::Report(Report {
            agent: self.agent.clone(),
            generation: self.generation,
            sequence: self.sequence.next(),
            observed,
            units,
        });
        if !self.would_change(&self.read.state(), &report) {
            return;
        }
        self.sequence = self.sequence.next();
        tracing::debug!(sequence = %self.sequence, revision = %observed, "sending a unit report");
        self.in_flight.spawn(send(Arc::clone(&self.propose), report));
    }

    /// Returns when the report in flight has completed, or its retry delay has passed. Pends
    /// forever if there is none. Cancel-safe.
    pub(crate) async fn completed(&mut self) {
        match self.in_flight.join_next().await {
            Some(Ok(acknowledged)) => {
                self.acknowledged = self.acknowledged.max(acknowledged.unwrap_or_default())
            }
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => std::future::pending().await,
        }
    }

    /// True if the report would change the replicated state. Uses the domain's own `decide`, so the
    /// two cannot disagree.
    fn would_change(&self, state: &State, report: &Command) -> bool {
        // Reports of an agent that is not registered, or was removed, are rejected.
        if state.header.revision < self.acknowledged || !state.agents.contains_key(&self.agent) {
            return false;
        }
        match decide(state, report) {
            Ok(events) => !events.is_empty(),
            Err(rejections) => {
                tracing::warn!(?rejections, "invalid unit report: it would be rejected");
                false
            }
        }
    }
}

/// Proposes the report. Returns its revision if it was accepted, otherwise waits for the retry
/// delay.
async fn send(propose: Arc<dyn Propose>, command: Command) -> Option<Revision> {
    let deadline = Instant::now() + TIMEOUT;
    let proposal = Proposal { command, requester: Requester::Agent, deadline };
    match propose.propose(proposal).await {
        Ok(Receipt { verdict: Verdict::Accepted, revision, .. }) => return Some(revision),
        Ok(Receipt { verdict: Verdict::Rejected(rejections), .. }) => {
            tracing::warn!(?rejections, "unit report rejected");
        }
        Err(error) => tracing::debug!(%error, "unit report failed; it will be retried"),
    }
    sleep(RETRY_DELAY).await;
    None
}
