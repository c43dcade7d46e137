//! Decides a batch of commands: pure, but for the panic that it contains.

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
use super::waiting::{Answer, Waiting};

/// The entry that a batch became, and who waits for it.
pub struct Batch {
    /// What to propose; without changes, there is nothing to propose.
    pub entry: Entry,
    /// Who is answered once the entry has applied.
    pub waiting: Waiters,
    bytes: usize,
}

/// The state cannot be gone on with: deciding or folding a command panicked half-way.
#[derive(Debug)]
pub struct Spoiled;

/// What became of one command.
enum Decided {
    /// A new change, with its size in an entry.
    New(Change, usize),
    /// Decided before: its answer, which holds once the entries in flight have applied.
    Before(Receipt),
    /// Refused without being proposed.
    Refused(ProposeError),
    /// The cluster is not founded yet. A refusal would be remembered under the request id, although
    /// the very same request is welcome a moment later.
    TooEarly,
}

impl Batch {
    /// An empty batch on `state`, at a time that is never before that of the entry before.
    pub fn new(state: &mut State, now: Timestamp) -> Self {
        let time = now.max(state.header.time);
        state.header.time = time;
        let entry = Entry { base: state.header.revision, time, changes: Vec::new() };
        Self { entry, waiting: Vec::new(), bytes: 0 }
    }

    /// Decides a command against `state`, which becomes the state after it. Gives the command back if
    /// it no longer fits into the entry.
    ///
    /// # Errors
    /// [`Spoiled`] if the state can no longer be used; the command was answered.
    pub fn add(&mut self, state: &mut State, waiting: Waiting) -> Result<Option<Waiting>, Spoiled> {
        let Waiting { command, origin, answer } = waiting;
        let decided = catch_unwind(AssertUnwindSafe(|| decided(state, &command, &origin)));
        match decided {
            Ok(Decided::New(change, bytes)) => {
                if self.bytes + bytes > limits::ENTRY_BYTES && !self.entry.changes.is_empty() {
                    return Ok(Some(Waiting { command, origin, answer }));
                }
                if let Some(too_large) = too_large(&change, bytes) {
                    let _ = answer.send(Answer::Failed(too_large));
                    return Ok(None);
                }
                let base = state.header.revision;
                let folded =
                    catch_unwind(AssertUnwindSafe(|| evolve::apply_change(state, &change)));
                if folded.is_err() {
                    return Err(spoiled(answer));
                }
                let verdict = change.verdict.clone();
                let receipt = Receipt { verdict, base, revision: state.header.revision };
                self.bytes += bytes;
                self.entry.changes.push(change);
                self.waiting.push((answer, receipt));
                Ok(None)
            }
            Ok(Decided::Before(receipt)) => {
                self.waiting.push((answer, receipt));
                Ok(None)
            }
            Ok(Decided::Refused(error)) => {
                let _ = answer.send(Answer::Failed(error));
                Ok(None)
            }
            Ok(Decided::TooEarly) => {
                let _ = answer.send(Answer::NotLeader);
                Ok(None)
            }
            Err(_) => Err(spoiled(answer)),
        }
    }
}

/// Whether a change cannot be stored, as a whole or in one of its parts: every event, and the answer,
/// becomes one value of the derived store, and what that refused on one node it would on all.
fn too_large(change: &Change, bytes: usize) -> Option<ProposeError> {
    let beyond = |bytes, most| (bytes > most).then_some(ProposeError::TooLarge { bytes, most });
    let parts =
        change.events.iter().map(codec::body_bytes).chain([codec::body_bytes(&change.verdict)]);
    let largest = if bytes > limits::VALUE_BYTES { parts.max().unwrap_or(0) } else { 0 };
    beyond(bytes, limits::CHANGE_BYTES).or_else(|| beyond(largest, limits::VALUE_BYTES))
}

fn spoiled(answer: oneshot::Sender<Answer>) -> Spoiled {
    let cause = "deciding the command failed; the agent's log has the details".to_owned();
    let _ = answer.send(Answer::Failed(ProposeError::Internal { cause }));
    Spoiled
}

fn decided(state: &State, command: &Command, origin: &Origin) -> Decided {
    if state.header.cluster.is_none() && !matches!(command, Command::BootstrapCluster { .. }) {
        return Decided::TooEarly;
    }
    if let Origin::Operator { request, digest, .. } = origin
        && !planted(Bug::ForgetRequests)
    {
        match state.outcomes.lookup(*request, digest) {
            OutcomeLookup::New => {}
            OutcomeLookup::Known(outcome) => {
                let verdict = outcome.verdict.clone();
                let (base, revision) = (outcome.base, outcome.revision);
                return Decided::Before(Receipt { verdict, base, revision });
            }
            OutcomeLookup::Reused => {
                return Decided::Refused(ProposeError::RequestReused { request: *request });
            }
            OutcomeLookup::Expired => {
                return Decided::Refused(ProposeError::RequestExpired { request: *request });
            }
        }
    }
    let (events, verdict) = match decide(state, command) {
        Ok(events) => (events, Verdict::Accepted),
        Err(rejections) => (Vec::new(), Verdict::Rejected(rejections)),
    };
    let change = Change { origin: origin.clone(), events, verdict };
    // What is neither remembered nor changes anything need not be in the log: a steady cluster
    // writes nothing.
    if change.events.is_empty() && !matches!(origin, Origin::Operator { .. }) {
        let here = state.header.revision;
        return Decided::Before(Receipt { verdict: change.verdict, base: here, revision: here });
    }
    let bytes = codec::body_bytes(&change);
    Decided::New(change, bytes)
}

#[cfg(test)]
mod tests {
    use meridian_domain::{Actor, ClusterId, Command, Digest, RequestId};
    use uuid::Uuid;

    use super::*;

    fn waiting(command: Command) -> (Waiting, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let request = RequestId::try_from(Uuid::now_v7()).expect("is version 7");
        let actor = Actor::new("test").expect("is an actor");
        let digest = Digest::default();
        let origin = Origin::Operator { request, digest, actor, reason: None };
        (Waiting { command, origin, answer }, answered)
    }

    fn found() -> Command {
        Command::BootstrapCluster { cluster: ClusterId(Uuid::nil()), agents: Vec::new() }
    }

    #[test]
    fn time_never_goes_back_though_the_clock_does() {
        let mut state = State::default();
        assert_eq!(Batch::new(&mut state, Timestamp(20)).entry.time, Timestamp(20));
        assert_eq!(Batch::new(&mut state, Timestamp(10)).entry.time, Timestamp(20));
    }

    #[test]
    fn each_command_is_decided_against_the_state_that_those_before_it_leave() {
        let mut state = State::default();
        let mut batch = Batch::new(&mut state, Timestamp(1));
        let mut answers = Vec::new();
        for command in [found(), found()] {
            let (waiting, answered) = waiting(command);
            assert!(batch.add(&mut state, waiting).expect("is decided").is_none());
            answers.push(answered);
        }
        let events: Vec<_> = batch.entry.changes.iter().map(|c| c.events.len()).collect();
        assert_eq!(events, [1, 0], "the second finds the cluster founded");
        assert_eq!(batch.waiting.len(), 2, "nobody is answered before the entry has applied");
    }

    #[test]
    fn before_the_cluster_is_founded_a_command_is_sent_back_and_not_remembered() {
        let mut state = State::default();
        let mut batch = Batch::new(&mut state, Timestamp(1));
        let through = meridian_domain::Revision(0);
        let (early, mut answered) = waiting(Command::TrimHistory { through });
        assert!(batch.add(&mut state, early).expect("is decided").is_none());
        assert!(matches!(answered.try_recv(), Ok(Answer::NotLeader)));
        assert!(batch.entry.changes.is_empty());
    }

    #[test]
    fn a_repeated_request_takes_no_place_in_the_log() {
        let mut state = State::default();
        let mut batch = Batch::new(&mut state, Timestamp(1));
        let (first, _answered) = waiting(found());
        let origin = first.origin.clone();
        assert!(batch.add(&mut state, first).expect("is decided").is_none());
        let (answer, _answered) = oneshot::channel();
        let again = Waiting { command: found(), origin, answer };
        assert!(batch.add(&mut state, again).expect("is decided").is_none());
        assert_eq!(batch.entry.changes.len(), 1);
        assert_eq!(batch.waiting[0].1, batch.waiting[1].1);
    }
}
