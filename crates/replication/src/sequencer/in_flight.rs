//! Entries in flight, the oldest first, each with its waiters.

use std::collections::VecDeque;

use meridian_ports::{ProposeError, Receipt};
use meridian_storage::raft::{Applied, WriteOutcome, WriteReceiver};
use openraft::errors::ClientWriteError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::pending::Reply;

/// Waiters for an entry, each with its receipt for the case that the entry applies.
pub(super) type Waiters = Vec<(oneshot::Sender<Reply>, Receipt)>;

/// Entry that was proposed and has no outcome yet.
pub(super) struct InFlightEntry {
    pub proposed_at: Instant,
    pub outcome: WriteReceiver,
    pub waiters: Waiters,
}

/// Entries in flight, each decided against the state that the previous one will produce.
#[derive(Default)]
pub(super) struct InFlight(VecDeque<InFlightEntry>);

impl InFlight {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the time at which the newest entry was proposed.
    pub fn last_proposed_at(&self) -> Option<Instant> {
        self.0.back().map(|newest| newest.proposed_at)
    }

    pub fn push(&mut self, entry: InFlightEntry) {
        self.0.push_back(entry);
    }

    /// Waits for the outcome of the oldest entry. Never returns while there is none. Cancel-safe.
    pub async fn next_outcome(&mut self) -> Option<WriteOutcome> {
        match self.0.front_mut() {
            Some(oldest) => (&mut oldest.outcome).await.ok(),
            None => std::future::pending().await,
        }
    }

    /// Adds waiters whose receipts may depend on any entry in flight: they receive their replies
    /// when the newest entry completes, or immediately if there is none.
    pub fn reply_after_newest(&mut self, waiters: Waiters) {
        match self.0.back_mut() {
            Some(newest) => newest.waiters.extend(waiters),
            None => reply_all(waiters, Reply::Receipt),
        }
    }

    /// Removes the oldest entry and replies to its waiters. Returns false if it did not apply; then
    /// the waiters of all later entries have received an unknown outcome.
    pub fn complete_oldest(&mut self, outcome: Option<WriteOutcome>) -> bool {
        let entry = self.0.pop_front().expect("an outcome belongs to an entry in flight");
        let reply = match outcome {
            Some(Ok(response)) => match response.response() {
                Applied::Entry(_) => {
                    reply_all(entry.waiters, Reply::Receipt);
                    return true;
                }
                // Base revision mismatch: an entry of another leader was committed in between, so
                // this term is over.
                Applied::Rejected | Applied::Nothing => not_leader,
            },
            Some(Err(ClientWriteError::ForwardToLeader(_))) => not_leader,
            Some(Err(_)) | None => unknown,
        };
        reply_all(entry.waiters, reply);
        self.fail_unknown();
        false
    }

    /// Replies to all waiters that the outcome is unknown. An entry that was decided on top of a
    /// failed one may still apply: if the failed entry contained outcomes and no events, the
    /// revision is unchanged and the base matches. Its waiters must still not receive their
    /// receipts: the receipt of a repeated request may state an outcome that the failed entry
    /// should have recorded.
    pub fn fail_unknown(&mut self) {
        for entry in &mut self.0 {
            reply_all(std::mem::take(&mut entry.waiters), unknown);
        }
    }
}

pub(super) fn reply_all(waiters: Waiters, reply: impl Fn(Receipt) -> Reply) {
    for (sender, receipt) in waiters {
        // A waiter that is gone retries with the same request id, if it needs the outcome.
        let _ = sender.send(reply(receipt));
    }
}

pub(super) fn not_leader(_: Receipt) -> Reply {
    Reply::NotLeader
}

pub(super) fn unknown(_: Receipt) -> Reply {
    let cause = "leadership changed while the change was in flight".to_owned();
    Reply::Failed(ProposeError::Unknown { cause })
}

#[cfg(test)]
mod tests {
    use meridian_domain::{NodeId, Revision, Verdict};
    use openraft::errors::ForwardToLeader;
    use openraft::raft::ClientWriteResponse;

    use super::*;
    use meridian_storage::raft::{LeaderId, write_channel};

    fn propose(entries: &mut InFlight) -> oneshot::Receiver<Reply> {
        let (reply, received) = oneshot::channel();
        let revision = Revision(7);
        let receipt = Receipt { verdict: Verdict::Accepted, base: revision, revision };
        let (_, outcome) = write_channel();
        let waiters = vec![(reply, receipt)];
        entries.push(InFlightEntry { proposed_at: Instant::now(), outcome, waiters });
        received
    }

    fn applied() -> Option<WriteOutcome> {
        let leader_id = LeaderId { term: 1, node_id: NodeId(1) };
        let log_id = openraft::LogId { leader_id, index: 3 };
        let data = Applied::Entry(Revision(7));
        Some(Ok(ClientWriteResponse { log_id, data, membership: None }))
    }

    #[tokio::test]
    async fn an_outcome_that_a_failed_entry_should_have_recorded_is_never_reported() {
        let mut entries = InFlight::default();
        let (mut first, mut second) = (propose(&mut entries), propose(&mut entries));
        let not_leader = ClientWriteError::ForwardToLeader(ForwardToLeader::empty());
        assert!(!entries.complete_oldest(Some(Err(not_leader))));
        assert!(matches!(first.try_recv(), Ok(Reply::NotLeader)));
        assert!(entries.complete_oldest(applied()), "its base matches: the first had no events");
        let reply = second.try_recv();
        assert!(matches!(reply, Ok(Reply::Failed(ProposeError::Unknown { .. }))), "{reply:?}");
    }

    #[tokio::test]
    async fn a_repeated_request_gets_its_reply_after_the_newest_entry_in_flight() {
        let mut entries = InFlight::default();
        let _others = (propose(&mut entries), propose(&mut entries));
        let (reply, mut received) = oneshot::channel();
        let revision = Revision(7);
        let receipt = Receipt { verdict: Verdict::Accepted, base: revision, revision };
        entries.reply_after_newest(vec![(reply, receipt)]);
        assert!(entries.complete_oldest(applied()));
        assert!(received.try_recv().is_err(), "the second is still in flight");
        assert!(entries.complete_oldest(applied()));
        assert!(matches!(received.try_recv(), Ok(Reply::Receipt(_))));
    }
}
