//! Reports the unit table to the log: only what differs from the replicated state, in parts of
//! bounded size, and one report at a time.

use std::sync::Arc;
use std::time::Duration;

use meridian_domain::report::{Report, ReportedUnit};
use meridian_domain::{
    AgentName, Command, Generation, Incarnation, Revision, Sequence, State, Verdict, decide, limits,
};
use meridian_ports::{Proposal, Propose, ProposeError, Read, Receipt, Requester};
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
    /// End of the part that was sent last. The next one is looked for after it, so that units whose
    /// status keeps changing do not delay the reports about others.
    sent_through: Revision,
    /// Refusal that was logged last; one that persists is logged once.
    last_refusal: Option<String>,
    /// The report in flight, if any.
    in_flight: JoinSet<Outcome>,
}

/// Outcome of a report.
enum Outcome {
    /// Accepted, with the revision of the state after it.
    Accepted(Revision),
    /// Refused, with the cause: the same report would be refused again.
    Refused(String),
    /// Not decided, or with an unknown outcome.
    Failed,
}

impl Reporter {
    pub(crate) fn new(
        agent: AgentName,
        generation: Generation,
        propose: Arc<dyn Propose>,
        read: Arc<dyn Read>,
    ) -> Self {
        let (sequence, acknowledged, sent_through) = Default::default();
        let (last_refusal, in_flight) = Default::default();
        Self {
            agent,
            generation,
            sequence,
            propose,
            read,
            acknowledged,
            sent_through,
            last_refusal,
            in_flight,
        }
    }

    /// Returns the generation and the number of the last report that was sent.
    pub(crate) fn last_sent(&self) -> (Generation, Sequence) {
        (self.generation, self.sequence)
    }

    /// Sends the next part of the unit table, as observed at revision `observed`, that the log does
    /// not match already. Sends nothing while a report is in flight: its completion leads to the
    /// next round, and so to the next part. `units` are sorted by incarnation.
    pub(crate) fn report(&mut self, observed: Revision, units: Vec<ReportedUnit>) {
        if !self.in_flight.is_empty() {
            return;
        }
        let mut parts = parts(observed, units);
        let next = parts.iter().position(|part| part.after.0 >= self.sent_through.0);
        parts.rotate_left(next.unwrap_or_default());
        let sequence = self.sequence.next();
        let reports = parts.into_iter().map(|Part { after, observed, units }| {
            let (agent, generation) = (self.agent.clone(), self.generation);
            let report = Report { agent, generation, sequence, after, observed, units };
            (observed, Command::Report(report))
        });
        let read = Arc::clone(&self.read);
        let due = {
            let state = read.state();
            // Reports of an agent that is not registered, or was removed, are rejected.
            if state.header.revision < self.acknowledged || !state.agents.contains_key(&self.agent)
            {
                return;
            }
            reports.map(|(end, report)| (end, check(&state, report))).find_map(|(end, checked)| {
                match checked {
                    Ok(report) => Some(Ok((end, report?))),
                    Err(cause) => Some(Err(cause)),
                }
            })
        };
        match due {
            Some(Ok((through, report))) => {
                self.sequence = sequence;
                self.sent_through = through;
                tracing::debug!(%sequence, %through, "sending a unit report");
                self.in_flight.spawn(send(Arc::clone(&self.propose), report));
            }
            Some(Err(cause)) => self.log_refusal(cause),
            None => {}
        }
    }

    /// Returns when the report in flight has completed, or its retry delay has passed. Pends
    /// forever if there is none. Cancel-safe.
    pub(crate) async fn completed(&mut self) {
        match self.in_flight.join_next().await {
            Some(Ok(Outcome::Accepted(revision))) => {
                self.acknowledged = self.acknowledged.max(revision);
                self.last_refusal = None;
            }
            Some(Ok(Outcome::Refused(cause))) => self.log_refusal(cause),
            Some(Ok(Outcome::Failed)) => {}
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => std::future::pending().await,
        }
    }

    fn log_refusal(&mut self, cause: String) {
        if self.last_refusal.as_ref() != Some(&cause) {
            tracing::error!(
                cause,
                "the unit report of this agent was refused; the cluster does not know the status \
                 of its units"
            );
            self.last_refusal = Some(cause);
        }
    }
}

/// Part of the unit table.
struct Part {
    after: Incarnation,
    observed: Revision,
    units: Vec<ReportedUnit>,
}

/// Cuts the table into parts that cover all incarnations up to `observed`.
fn parts(observed: Revision, units: Vec<ReportedUnit>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut after = Incarnation(0);
    for unit in units {
        let is_full = |part: &Part| part.units.len() == limits::UNITS_PER_REPORT;
        if parts.last().is_none_or(is_full) {
            if let Some(full) = parts.last_mut() {
                full.observed = Revision(after.0);
            }
            parts.push(Part { after, observed, units: Vec::new() });
        }
        after = unit.incarnation;
        let last = parts.last_mut().expect("a part was added");
        last.units.push(unit);
    }
    if parts.is_empty() {
        parts.push(Part { after, observed, units: Vec::new() });
    }
    parts
}

/// Returns the report if it would change the replicated state, `None` if it would not. Uses the
/// domain's own `decide`, so the two cannot disagree.
///
/// # Errors
/// The rejections, as text.
fn check(state: &State, report: Command) -> Result<Option<Command>, String> {
    match decide(state, &report) {
        Ok(events) => Ok((!events.is_empty()).then_some(report)),
        Err(rejections) => Err(in_words(&rejections)),
    }
}

fn in_words(rejections: &[meridian_domain::Rejection]) -> String {
    let each: Vec<String> = rejections.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// Proposes the report. Waits for the retry delay unless it was accepted.
async fn send(propose: Arc<dyn Propose>, command: Command) -> Outcome {
    let deadline = Instant::now() + TIMEOUT;
    let proposal = Proposal { command, requester: Requester::Agent, deadline };
    let outcome = match propose.propose(proposal).await {
        Ok(Receipt { verdict: Verdict::Accepted, revision, .. }) => {
            return Outcome::Accepted(revision);
        }
        Ok(Receipt { verdict: Verdict::Rejected(rejections), .. }) => {
            Outcome::Refused(in_words(&rejections))
        }
        Err(error @ (ProposeError::TooLarge { .. } | ProposeError::Internal { .. })) => {
            Outcome::Refused(error.to_string())
        }
        Err(error) => {
            tracing::debug!(%error, "unit report failed; it will be retried");
            Outcome::Failed
        }
    };
    sleep(RETRY_DELAY).await;
    outcome
}

#[cfg(test)]
mod tests {
    use meridian_domain::report::UnitStatus;
    use meridian_domain::{RegionName, ServiceName, UnitId};

    use super::*;

    fn unit(incarnation: u64) -> ReportedUnit {
        let unit = UnitId {
            service: ServiceName::new("contoso").expect("is a name"),
            region: RegionName::new("westeurope").expect("is a name"),
            slot: 1,
        };
        let (incarnation, status) = (Incarnation(incarnation), UnitStatus::Busy);
        ReportedUnit { unit, incarnation, status, replace: false }
    }

    #[test]
    fn the_parts_of_a_table_cover_every_incarnation_once() {
        let most = limits::UNITS_PER_REPORT;
        for units in [0, 1, most, most + 1, 3 * most] {
            let table = (1..).take(units).map(|number| unit(number * 10)).collect();
            let parts = parts(Revision(100_000), table);
            assert_eq!(parts.len(), units.div_ceil(most).max(1));
            assert_eq!(parts[0].after, Incarnation(0));
            assert_eq!(parts.last().map(|part| part.observed), Some(Revision(100_000)));
            assert!(parts.windows(2).all(|pair| pair[0].observed.0 == pair[1].after.0));
            for part in &parts {
                let range = part.after.0 + 1..=part.observed.0;
                assert!(part.units.iter().all(|unit| range.contains(&unit.incarnation.0)));
            }
        }
    }
}
