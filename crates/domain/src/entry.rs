//! What one Raft entry carries: decided commands, with their events and their outcomes.

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::id::{Digest, Generation, RequestId, Revision, Sequence, Timestamp};
use crate::name::{Actor, AgentName, Reason};
use crate::rejection::Rejection;

/// One entry of the log. Nodes apply all of it or none of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The revision of the state that the changes were decided against. An entry whose base is not
    /// the revision of the state it meets is refused whole, on every node alike.
    pub base: Revision,
    /// The leader's clock when it decided, never earlier than the entry before.
    pub time: Timestamp,
    /// The decided commands, in order.
    pub changes: Vec<Change>,
}

/// One decided command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Who asked.
    pub origin: Origin,
    /// What happens; nothing where it was rejected or had nothing to change.
    pub events: Vec<Event>,
    /// The answer.
    pub verdict: Verdict,
}

/// Who asked for a change. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A person or a script, through the API.
    Operator {
        /// The request, the same through all its repetitions.
        request: RequestId,
        /// SHA-256 of the command: the same request id with another one is a mistake.
        digest: Digest,
        /// Who the client says it is.
        actor: Actor,
        /// Why, if they said.
        reason: Option<Reason>,
    },
    /// An agent, about its own units.
    Report {
        /// Which one.
        agent: AgentName,
        /// Which start of it.
        generation: Generation,
        /// Which report.
        sequence: Sequence,
    },
    /// Meridian itself: founding, registration, the data version.
    System,
}

/// The answer to a command. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It happened, or was so already.
    Accepted,
    /// Nothing happened, for every one of these reasons.
    Rejected(Vec<Rejection>),
}

/// One event as the event log keeps it and as watchers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Its number.
    pub revision: Revision,
    /// The revision of the first event of its change set: events with the same one happened
    /// together.
    pub change: Revision,
    /// The revision of the last event of its change set. History is only ever cut behind such a one.
    pub change_end: Revision,
    /// When it was decided.
    pub time: Timestamp,
    /// Who asked for it.
    pub origin: Origin,
    /// The fact itself.
    pub event: Event,
}

impl Entry {
    /// The events of the entry as the event log keeps them, numbered from [`Entry::base`].
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

    /// The revision that the state has after the entry.
    #[must_use]
    pub fn end(&self) -> Revision {
        let events: usize = self.changes.iter().map(|change| change.events.len()).sum();
        Revision(self.base.0 + events as u64)
    }
}
