//! Deciding a batch of commands. Free of side effects except the replies; panics are caught.

use std::panic::{AssertUnwindSafe, catch_unwind};

use meridian_domain::outcome::OutcomeLookup;
use meridian_domain::{
    Change, Command, Entry, Origin, State, Timestamp, Verdict, decide, evolve, limits,
};
use meridian_ports::{ProposeError, Receipt};
use meridian_storage::codec;
use meridian_storage::planted::{Bug, planted};
use tokio::sync::oneshot;

use super::in_flight::Waiters;
use super::pending::{PendingCommand, Reply};

/// Entry made of a batch of commands, and its waiters.
pub struct Batch {
    /// Entry to propose. Without changes, there is nothing to propose.
    pub entry: Entry,
    /// Waiters to reply to once the entry has applied.
    pub waiters: Waiters,
    bytes: usize,
}

/// The state is unusable: deciding or applying a command panicked midway.
#[derive(Debug)]
pub struct StatePoisoned;

/// Decision on one command.
enum Decision {
    /// New change, with its size in an entry in bytes.
    Propose(Change, usize),
    /// No entry is needed: the command was decided before, or has no effect to record. The receipt
    /// is valid once the entries in flight have applied.
    NoEntry(Receipt),
    /// The command failed and is not proposed.
    Failed(ProposeError),
    /// The cluster is not bootstrapped yet. A rejection would be recorded under the request id,
    /// although the same request may be accepted a moment later.
    NotBootstrapped,
}

impl Batch {
    /// Creates an empty batch on `state`. The time of its entry is never before that of the
    /// previous entry.
    pub fn new(state: &mut State, now: Timestamp) -> Self {
        let time = now.max(state.header.time);
        state.header.time = time;
        let entry = Entry { base: state.header.revision, time, changes: Vec::new() };
        Self { entry, waiters: Vec::new(), bytes: 0 }
    }

    /// Decides a command against `state` and applies it to `state`. Returns the command if it does
    /// not fit into the entry anymore.
    ///
    /// # Errors
    /// [`StatePoisoned`] if the state is unusable; the command has received its reply.
    pub fn add(
        &mut self,
        state: &mut State,
        pending: PendingCommand,
    ) -> Result<Option<PendingCommand>, StatePoisoned> {
        let PendingCommand { command, origin, reply } = pending;
        let decision = catch_unwind(AssertUnwindSafe(|| decide_command(state, &command, &origin)));
        match decision {
            Ok(Decision::Propose(change, bytes)) => {
                if self.bytes + bytes > limits::ENTRY_BYTES && !self.entry.changes.is_empty() {
                    return Ok(Some(PendingCommand { command, origin, reply }));
                }
                if let Some(too_large) = too_large(&change, bytes) {
                    let _ = reply.send(Reply::Failed(too_large));
                    return Ok(None);
                }
                let base = state.header.revision;
                let applied =
                    catch_unwind(AssertUnwindSafe(|| evolve::apply_change(state, &change)));
                if applied.is_err() {
                    return Err(poisoned(reply));
                }
                let verdict = change.verdict.clone();
                let receipt = Receipt { verdict, base, revision: state.header.revision };
                self.bytes += bytes;
                self.entry.changes.push(change);
                self.waiters.push((reply, receipt));
                Ok(None)
            }
            Ok(Decision::NoEntry(receipt)) => {
                self.waiters.push((reply, receipt));
                Ok(None)
            }
            Ok(Decision::Failed(error)) => {
                let _ = reply.send(Reply::Failed(error));
                Ok(None)
            }
            Ok(Decision::NotBootstrapped) => {
                let _ = reply.send(Reply::NotLeader);
                Ok(None)
            }
            Err(_) => Err(poisoned(reply)),
        }
    }
}

/// Returns an error if a change exceeds the limits, as a whole or in one part. Every event and the
/// verdict become one value of the derived store; a value too large for one node is too large for
/// all.
fn too_large(change: &Change, bytes: usize) -> Option<ProposeError> {
    let exceeds = |bytes, most| (bytes > most).then_some(ProposeError::TooLarge { bytes, most });
    let parts =
        change.events.iter().map(codec::body_bytes).chain([codec::body_bytes(&change.verdict)]);
    let largest = if bytes > limits::VALUE_BYTES { parts.max().unwrap_or(0) } else { 0 };
    exceeds(bytes, limits::CHANGE_BYTES).or_else(|| exceeds(largest, limits::VALUE_BYTES))
}

fn poisoned(reply: oneshot::Sender<Reply>) -> StatePoisoned {
    let cause = "deciding the command panicked; see the log of the agent".to_owned();
    let _ = reply.send(Reply::Failed(ProposeError::Internal { cause }));
    StatePoisoned
}

fn decide_command(state: &State, command: &Command, origin: &Origin) -> Decision {
    if state.header.cluster.is_none() && !matches!(command, Command::BootstrapCluster { .. }) {
        return Decision::NotBootstrapped;
    }
    if let Origin::Operator { request, digest, .. } = origin
        && !planted(Bug::ForgetRequests)
    {
        match state.outcomes.lookup(*request, digest) {
            OutcomeLookup::New => {}
            OutcomeLookup::Known(outcome) => {
                let verdict = outcome.verdict.clone();
                let (base, revision) = (outcome.base, outcome.revision);
                return Decision::NoEntry(Receipt { verdict, base, revision });
            }
            OutcomeLookup::Reused => {
                return Decision::Failed(ProposeError::RequestReused { request: *request });
            }
            OutcomeLookup::Expired => {
                return Decision::Failed(ProposeError::RequestExpired { request: *request });
            }
        }
    }
    let (events, verdict) = match decide(state, command) {
        Ok(events) => (events, Verdict::Accepted),
        Err(rejections) => (Vec::new(), Verdict::Rejected(rejections)),
    };
    let change = Change { origin: origin.clone(), events, verdict };
    // A change without events is logged only if its outcome must be recorded, so a cluster in a
    // steady state writes nothing.
    if change.events.is_empty() && !matches!(origin, Origin::Operator { .. }) {
        let current = state.header.revision;
        let verdict = change.verdict;
        return Decision::NoEntry(Receipt { verdict, base: current, revision: current });
    }
    let bytes = codec::body_bytes(&change);
    Decision::Propose(change, bytes)
}

#[cfg(test)]
mod tests {
    use meridian_domain::{Actor, ClusterId, Command, Digest, RequestId};
    use uuid::Uuid;

    use super::*;

    fn pending(command: Command) -> (PendingCommand, oneshot::Receiver<Reply>) {
        let (reply, received) = oneshot::channel();
        let request = RequestId::try_from(Uuid::now_v7()).expect("a version 7 UUID");
        let actor = Actor::new("test").expect("a valid actor");
        let digest = Digest::default();
        let origin = Origin::Operator { request, digest, actor, reason: None };
        (PendingCommand { command, origin, reply }, received)
    }

    fn bootstrap() -> Command {
        Command::BootstrapCluster { cluster: ClusterId(Uuid::nil()), agents: Vec::new() }
    }

    #[test]
    fn the_time_of_entries_never_decreases_even_if_the_clock_does() {
        let mut state = State::default();
        assert_eq!(Batch::new(&mut state, Timestamp(20)).entry.time, Timestamp(20));
        assert_eq!(Batch::new(&mut state, Timestamp(10)).entry.time, Timestamp(20));
    }

    #[test]
    fn each_command_is_decided_against_the_state_after_the_previous_one() {
        let mut state = State::default();
        let mut batch = Batch::new(&mut state, Timestamp(1));
        let mut replies = Vec::new();
        for command in [bootstrap(), bootstrap()] {
            let (pending, received) = pending(command);
            assert!(batch.add(&mut state, pending).expect("is decided").is_none());
            replies.push(received);
        }
        let events: Vec<_> = batch.entry.changes.iter().map(|c| c.events.len()).collect();
        assert_eq!(events, [1, 0], "at the second command, the cluster is already bootstrapped");
        assert_eq!(batch.waiters.len(), 2, "no reply is sent before the entry has applied");
    }

    #[test]
    fn a_command_before_the_bootstrap_is_returned_without_being_recorded() {
        let mut state = State::default();
        let mut batch = Batch::new(&mut state, Timestamp(1));
        let through = meridian_domain::Revision(0);
        let (early, mut received) = pending(Command::TrimHistory { through });
        assert!(batch.add(&mut state, early).expect("is decided").is_none());
        assert!(matches!(received.try_recv(), Ok(Reply::NotLeader)));
        assert!(batch.entry.changes.is_empty());
    }

    #[test]
    fn a_repeated_request_adds_no_change_to_the_entry() {
        let mut state = State::default();
        let mut batch = Batch::new(&mut state, Timestamp(1));
        let (first, _received) = pending(bootstrap());
        let origin = first.origin.clone();
        assert!(batch.add(&mut state, first).expect("is decided").is_none());
        let (reply, _received) = oneshot::channel();
        let repeated = PendingCommand { command: bootstrap(), origin, reply };
        assert!(batch.add(&mut state, repeated).expect("is decided").is_none());
        assert_eq!(batch.entry.changes.len(), 1);
        assert_eq!(batch.waiters[0].1, batch.waiters[1].1);
    }
}
