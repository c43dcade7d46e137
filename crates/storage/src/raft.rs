//! The Raft types of this cluster: what openraft is told about them.

use std::fmt;

use bytes::Bytes;
use meridian_domain::agent::Address;
use meridian_domain::{NodeId, Revision};
use serde::{Deserialize, Serialize};

openraft::declare_raft_types!(
    /// Meridian's instance of Raft.
    pub TypeConfig:
        D = Payload,
        R = Applied,
        NodeId = NodeId,
        Node = Member,
);

/// An encoded [`meridian_domain::Entry`]: encoded once, by the leader's sequencer, and the same bytes
/// on every disk and every wire.
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

/// What applying an entry says to the sequencer that proposed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// The entry had nothing for the state: a membership change, or a new leader's first entry.
    Nothing,
    /// All of it was applied; the state is now at this revision.
    Entry(Revision),
    /// Its base did not match: nothing of it was applied, on any node.
    Refused,
}

/// What the membership says of a Raft member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where other members reach it.
    pub address: Address,
}

/// A term and the node that leads in it.
pub type LeaderId = openraft::type_config::alias::CommittedLeaderIdOf<TypeConfig>;
/// A place in the log.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// A term, and who is voted for in it.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// What became of a proposed entry.
pub type WriteOutcome = openraft::raft::ClientWriteResult<TypeConfig>;

/// Where that is said.
pub type WriteReceiver = openraft::type_config::alias::OneshotReceiverOf<TypeConfig, WriteOutcome>;

/// The two ends of the answer to a proposed entry.
#[must_use]
pub fn write_channel() -> (openraft::type_config::alias::WriteResponderOf<TypeConfig>, WriteReceiver)
{
    openraft::impls::ProgressResponder::complete_only()
}
