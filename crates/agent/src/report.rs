//! Telling the log how the units are: only what it does not say yet, and one report at a time.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::report::{Report, ReportedUnit};
use meridian_domain::{AgentName, Command, Generation, Revision, Sequence, State, Verdict, decide};
use meridian_ports::{Proposal, Propose, Read, Receipt, Requester};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// For a report to be answered. One that is late is of the past anyway.
const DEADLINE: Duration = Duration::from_secs(5);
/// Before a report that was not taken in is made anew.
const RETRY: Duration = Duration::from_millis(500);

/// Makes the reports of one life of an agent.
pub(crate) struct Reporter {
    agent: AgentName,
    generation: Generation,
    sequence: Sequence,
    propose: Arc<dyn Propose>,
    read: Arc<dyn Read>,
    /// The revision that the last report led to. Before the state here has it, a comparison would
    /// find the same differences again.
    answered: Revision,
    /// The report in flight, if there is one.
    flight: JoinSet<Option<Revision>>,
}

impl Reporter {
    pub(crate) fn new(
        agent: AgentName,
        generation: Generation,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
    ) -> Self {
        let (sequence, answered, flight) = Default::default();
        Self { agent, generation, sequence, propose, read, answered, flight }
    }

    /// Reports the unit table, as it was with the set of revision `observed`, if the log would make
    /// an event of it and no other report is under way.
    pub(crate) fn report(&mut self, observed: Revision, units: Vec<ReportedUnit>) {
        if !self.flight.is_empty() {
            return;
        }
        let report = Command::Report(Report {
            agent: self.agent.clone(),
            generation: self.generation,
            sequence: self.sequence.next(),
            observed,
            units,
        });
        if !self.is_news(&self.read.state(), &report) {
            return;
        }
        self.sequence = self.sequence.next();
        tracing::debug!(sequence = %self.sequence, revision = %observed, "reports its units");
        self.flight.spawn(send(Arc::clone(&self.propose), report));
    }

    /// Returns when a report has been answered, or is to be made anew; never, while there is none
    /// under way. Cancel-safe.
    pub(crate) async fn answered(&mut self) {
        match self.flight.join_next().await {
            Some(Ok(answered)) => self.answered = self.answered.max(answered.unwrap_or_default()),
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => std::future::pending().await,
        }
    }

    /// Whether the log says otherwise than the report: the domain itself is asked, so that there is
    /// one opinion of that.
    fn is_news(&self, state: &State, report: &Command) -> bool {
        // An agent that is not registered yet, or no longer, has nobody to report to.
        if state.header.revision < self.answered || !state.agents.contains_key(&self.agent) {
            return false;
        }
        match decide(state, report) {
            Ok(events) => !events.is_empty(),
            Err(faults) => {
                tracing::warn!(?faults, "the report of this agent's units would be refused");
                false
            }
        }
    }
}

/// The revision that the report led to, if it was taken in.
async fn send(propose: Arc<dyn Propose>, command: Command) -> Option<Revision> {
    let deadline = Instant::now() + DEADLINE;
    let proposal = Proposal { command, requester: Requester::Agent, deadline };
    match propose.propose(proposal).await {
        Ok(Receipt { verdict: Verdict::Accepted, revision, .. }) => return Some(revision),
        Ok(Receipt { verdict: Verdict::Rejected(faults), .. }) => {
            tracing::warn!(?faults, "the report of this agent's units was refused");
        }
        Err(error) => tracing::debug!(%error, "the report is made anew"),
    }
    sleep(RETRY).await;
    None
}
