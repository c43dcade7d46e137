//! Raft types of this cluster: the type configuration of openraft.

use std::fmt;

use bytes::Bytes;
use meridian_domain::agent::Address;
use meridian_domain::{NodeId, Revision};
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// Type configuration of Meridian's Raft.
    pub TypeConfig:
        D = Payload,
        R = Applied,
        NodeId = NodeId,
        Node = Member,
);

/// Encoded [`meridian_domain::Entry`]. The leader's sequencer encodes it once; every disk and every
/// connection carries the same bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Result of applying an entry, reported to the sequencer that proposed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// The entry does not concern the state: a membership change, or the first entry of a new
    /// leader.
    Nothing,
    /// The whole entry was applied; the state is now at this revision.
    Entry(Revision),
    /// The entry was rejected on every node: its base revision did not match.
    Rejected,
}

/// Attributes of a member in the Raft membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Address at which other members reach it.
    pub address: Address,
}

/// Term and leader of that term.
pub type LeaderId = openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>;
/// Term, leader and index of a log entry.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// Vote for a leader in a term.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// Result of a proposed entry.
pub type WriteOutcome = openraft::raft::ClientWriteResult<TypeConfig>;

/// Receiver of a [`WriteOutcome`].
pub type WriteReceiver = openraft::type_config::alias::OneshotReceiverOf<TypeConfig, WriteOutcome>;

/// Creates the channel for the result of a proposed entry.
#[must_use]
pub fn write_channel() -> (openraft::type_config::alias::WriteResponderOf<TypeConfig>, WriteReceiver)
{
    openraft::impls::ProgressResponder::complete_only()
}
