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
    /// Entry to propose, unless the batch is empty.
    pub entry: Entry,
    /// Waiters to reply to once the entry has applied.
    pub waiters: Waiters,
    /// Time of the cluster, which request ids must not be ahead of.
    now: Timestamp,
    /// Set if the entry changes the state even without changes of commands.
    clears_outcomes: bool,
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
    /// Creates an empty batch on `state`, decided at `now` by the clock of the cluster.
    pub fn new(state: &mut State, now: Timestamp) -> Self {
        let clears_outcomes = evolve::begin_entry(state, now);
        let (base, time) = (state.header.revision, state.header.time);
        let entry = Entry { base, time, changes: Vec::new() };
        Self { entry, waiters: Vec::new(), now, clears_outcomes, bytes: 0 }
    }

    /// True if there is nothing to propose.
    pub fn is_empty(&self) -> bool {
        self.entry.changes.is_empty() && !self.clears_outcomes
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
        let decide = || decide_command(state, self.now, &command, &origin);
        let decision = catch_unwind(AssertUnwindSafe(decide));
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

fn decide_command(state: &State, now: Timestamp, command: &Command, origin: &Origin) -> Decision {
    if state.header.cluster.is_none() && !matches!(command, Command::BootstrapCluster { .. }) {
        return Decision::NotBootstrapped;
    }
    if let Origin::Operator { request, digest, .. } = origin
        && !planted(Bug::ForgetRequests)
    {
        let request = *request;
        match state.outcomes.lookup(request, digest) {
            OutcomeLookup::Known(outcome) => {
                let verdict = outcome.verdict.clone();
                let (base, revision) = (outcome.base, outcome.revision);
                return Decision::NoEntry(Receipt { verdict, base, revision });
            }
            OutcomeLookup::Reused => {
                return Decision::Failed(ProposeError::RequestReused { request });
            }
            // Not recorded: recorded outcomes are evicted in the order of the times in their ids.
            lookup @ (OutcomeLookup::New | OutcomeLookup::Expired) => {
                if let Some(ahead) = request.time().ahead_of(now) {
                    return Decision::Failed(ProposeError::RequestFromFuture { request, ahead });
                }
                if lookup == OutcomeLookup::Expired {
                    return Decision::Failed(ProposeError::RequestExpired { request });
                }
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
mod tests;
