//! The entries on their way to a majority, the oldest first, and who waits for each of them.

use std::collections::VecDeque;

use meridian_ports::{ProposeError, Receipt};
use meridian_storage::raft::{Applied, WriteOutcome, WriteReceiver};
use openraft::errors::ClientWriteError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::waiting::Answer;

/// Whoever waits for an entry, with what to answer once it has applied.
pub(super) type Waiters = Vec<(oneshot::Sender<Answer>, Receipt)>;

/// An entry on its way.
pub(super) struct Flight {
    pub departed: Instant,
    pub outcome: WriteReceiver,
    pub waiting: Waiters,
}

/// Entries in flight, each decided against the state that the one before it will leave.
#[derive(Default)]
pub(super) struct InFlight(VecDeque<Flight>);

impl InFlight {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When the last of them departed.
    pub fn last_departed(&self) -> Option<Instant> {
        self.0.back().map(|last| last.departed)
    }

    pub fn push(&mut self, flight: Flight) {
        self.0.push_back(flight);
    }

    /// The outcome of the first one; never, while there is none.
    pub async fn next_outcome(&mut self) -> Option<WriteOutcome> {
        match self.0.front_mut() {
            Some(flight) => (&mut flight.outcome).await.ok(),
            None => std::future::pending().await,
        }
    }

    /// Answers a repeated request, whose answer may rest on any of them, once the last one has landed.
    pub fn answer_after(&mut self, waiting: Waiters) {
        match self.0.back_mut() {
            Some(last) => last.waiting.extend(waiting),
            None => answer_all(waiting, Answer::Receipt),
        }
    }

    /// Answers those who waited for the first one. False if it did not apply.
    pub fn land(&mut self, outcome: Option<WriteOutcome>) -> bool {
        let flight = self.0.pop_front().expect("an outcome is of an entry in flight");
        let answer = match outcome {
            Some(Ok(response)) => match response.response() {
                Applied::Entry(_) => {
                    answer_all(flight.waiting, Answer::Receipt);
                    return true;
                }
                // Its base did not match: another leader's entry came in between, so this term is over.
                Applied::Rejected | Applied::Nothing => not_proposed,
            },
            Some(Err(ClientWriteError::ForwardToLeader(_))) => not_proposed,
            Some(Err(_)) | None => unknown,
        };
        answer_all(flight.waiting, answer);
        self.doubt();
        false
    }

    /// Tells all who wait that nobody knows. Behind an entry that failed, one that was decided on top
    /// of it may still apply: answers alone do not move the revision, so that the base matches. But who
    /// repeated a request would be told an answer that the failed entry was to record.
    pub fn doubt(&mut self) {
        for flight in &mut self.0 {
            answer_all(std::mem::take(&mut flight.waiting), unknown);
        }
    }
}

pub(super) fn answer_all(waiting: Waiters, answer: impl Fn(Receipt) -> Answer) {
    for (sender, receipt) in waiting {
        // Whoever stopped waiting asks again with the same request id, if it matters to them.
        let _ = sender.send(answer(receipt));
    }
}

pub(super) fn not_proposed(_: Receipt) -> Answer {
    Answer::NotLeader
}

pub(super) fn unknown(_: Receipt) -> Answer {
    let cause = "the leader lost its office while the change was on its way".to_owned();
    Answer::Failed(ProposeError::Unknown { cause })
}

#[cfg(test)]
mod tests {
    use meridian_domain::{NodeId, Revision, Verdict};
    use openraft::errors::ForwardToLeader;
    use openraft::raft::ClientWriteResponse;

    use super::*;
    use meridian_storage::raft::{LeaderId, write_channel};

    fn depart(flights: &mut InFlight) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let here = Revision(7);
        let receipt = Receipt { verdict: Verdict::Accepted, base: here, revision: here };
        let (_, outcome) = write_channel();
        let waiting = vec![(answer, receipt)];
        flights.push(Flight { departed: Instant::now(), outcome, waiting });
        answered
    }

    fn applied() -> Option<WriteOutcome> {
        let leader_id = LeaderId { term: 1, node_id: NodeId(1) };
        let log_id = openraft::LogId { leader_id, index: 3 };
        let data = Applied::Entry(Revision(7));
        Some(Ok(ClientWriteResponse { log_id, data, membership: None }))
    }

    #[tokio::test]
    async fn nobody_is_told_an_answer_that_an_entry_which_failed_was_to_record() {
        let mut flights = InFlight::default();
        let (mut first, mut second) = (depart(&mut flights), depart(&mut flights));
        let refused = ClientWriteError::ForwardToLeader(ForwardToLeader::empty());
        assert!(!flights.land(Some(Err(refused))));
        assert!(matches!(first.try_recv(), Ok(Answer::NotLeader)));
        assert!(flights.land(applied()), "its base matches: the first had no events");
        let told = second.try_recv();
        assert!(matches!(told, Ok(Answer::Failed(ProposeError::Unknown { .. }))), "{told:?}");
    }

    #[tokio::test]
    async fn a_repeated_request_is_answered_with_the_last_entry_that_it_may_rest_on() {
        let mut flights = InFlight::default();
        let _others = (depart(&mut flights), depart(&mut flights));
        let (answer, mut answered) = oneshot::channel();
        let here = Revision(7);
        let receipt = Receipt { verdict: Verdict::Accepted, base: here, revision: here };
        flights.answer_after(vec![(answer, receipt)]);
        assert!(flights.land(applied()));
        assert!(answered.try_recv().is_err(), "the second is still in flight");
        assert!(flights.land(applied()));
        assert!(matches!(answered.try_recv(), Ok(Answer::Receipt(_))));
    }
}
