//! Entries of the Raft log: decided commands with their events and verdicts.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Digest, Generation, RequestId, Revision, Sequence, Timestamp};
use crate::name::{Actor, AgentName, Reason};
use crate::rejection::Rejection;

/// Entry of the log. Nodes apply all of it or none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Revision of the state that the changes were decided against. If it is not the revision of
    /// the state that the entry is applied to, every node rejects the whole entry.
    pub base: Revision,
    /// Time of the decision by the clock of the cluster, not earlier than that of the previous entry
    /// unless that was too far ahead.
    pub time: Timestamp,
    /// Decided commands, in order.
    pub changes: Vec<Change>,
}

/// A decided command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Origin of the command.
    pub origin: Origin,
    /// Events of the command; empty if it was rejected or changes nothing.
    pub events: Vec<Event>,
    /// Verdict on the command.
    pub verdict: Verdict,
}

/// Origin of a change. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A person or a script, through the API.
    Operator {
        /// Id of the request, the same in all retries.
        request: RequestId,
        /// SHA-256 of the command, to detect a request id that is reused for another command.
        digest: Digest,
        /// Actor as claimed by the client.
        actor: Actor,
        /// Reason, if given.
        reason: Option<Reason>,
    },
    /// An agent that reports on its own units.
    Report {
        /// Name of the agent.
        agent: AgentName,
        /// Generation of the agent.
        generation: Generation,
        /// Sequence number of the report.
        sequence: Sequence,
    },
    /// Meridian itself: bootstrap, registration of agents, data version.
    System,
}

/// Verdict on a command. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Accepted. A command that changes nothing is accepted, too.
    Accepted,
    /// Rejected for all of these reasons; nothing was changed.
    Rejected(Vec<Rejection>),
}

/// Record of an event in the event log and in watch streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Revision of the event.
    pub revision: Revision,
    /// Revision of the first event of its change set. It identifies the change set.
    pub change: Revision,
    /// Revision of the last event of its change set. History is trimmed only at such revisions.
    pub change_end: Revision,
    /// Time of the decision.
    pub time: Timestamp,
    /// Origin of the change.
    pub origin: Origin,
    /// The event.
    pub event: Event,
}

impl Entry {
    /// Returns the event log records of the entry. The first has the revision after
    /// [`Entry::base`].
    pub fn records(&self) -> impl Iterator<Item = EventRecord> + '_ {
        let mut next = self.base;
        self.changes.iter().flat_map(move |change| {
            let first = next.next();
            let last = Revision(next.0 + change.events.len() as u64);
            next = last;
            change.events.iter().zip(first.0..).map(move |(event, revision)| EventRecord {
                revision: Revision(revision),
                change: first,
                change_end: last,
                time: self.time,
                origin: change.origin.clone(),
                event: event.clone(),
            })
        })
    }

    /// Returns the revision of the state after the entry.
    #[must_use]
    pub fn end(&self) -> Revision {
        let events: usize = self.changes.iter().map(|change| change.events.len()).sum();
        Revision(self.base.0 + events as u64)
    }
}
