//! Stored forms of Raft's entry and vote. The layouts of openraft may change between its releases;
//! these never do: a change is a new version, as [`crate::codec`] describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use bytes::Bytes;
use meridian_domain::{Address, NodeId};
use openraft::alias::{EntryOf, EntryPayloadOf, LeaderIdOf, LogIdOf, VoteOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::{EntryPayload, Membership};
use serde::{Deserialize, Serialize};

use crate::raft::{Member, Payload, TypeConfig};
use crate::stored;

stored! {
    StoredEntry = 20, version 1, "Raft entry";
    StoredVote = 21, version 1, "Raft vote";
}

/// Position of an entry in the Raft log. A position of a later term is greater, whatever its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// Node id of that leader.
    pub node: u64,
    /// Index of the entry; the first is 0.
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index {} of term {} (leader {:016x})", self.index, self.term, self.node)
    }
}

/// Entry of the Raft log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Position in the log.
    pub position: Position,
    /// Payload.
    pub body: StoredBody,
}

/// Payload of an entry. Variants are stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredBody {
    /// Empty: the first entry of a new leader.
    Blank,
    /// Encoded [`meridian_domain::Entry`].
    Normal(Bytes),
    /// Membership of the Raft cluster from this entry on.
    Membership {
        /// Sets of voters; two during a membership change, when a decision needs a majority of
        /// each.
        voters: Vec<BTreeSet<u64>>,
        /// All members, including learners.
        members: BTreeMap<u64, StoredMember>,
    },
}

/// Member in a membership entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMember {
    /// Address at which other members reach it: `HOST:PORT`.
    pub address: String,
}

/// Vote of this node for a leader in a term. Ordered as in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredVote {
    /// Term.
    pub term: u64,
    /// Node id of the candidate.
    pub node: u64,
    /// Set when a quorum granted the vote.
    pub committed: bool,
}

impl fmt::Display for StoredVote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = if self.committed { ", granted" } else { "" };
        write!(f, "a vote for {:016x} in term {}{granted}", self.node, self.term)
    }
}

impl StoredEntry {
    /// Returns the approximate size of the payload in bytes, for memory and message budgets.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match &self.body {
            StoredBody::Blank => 0,
            StoredBody::Normal(payload) => payload.len(),
            StoredBody::Membership { members, .. } => {
                members.values().map(|member| 8 + member.address.len()).sum()
            }
        }
    }

    /// Converts the entry to openraft's type.
    ///
    /// # Errors
    /// If the membership is invalid: a bug of the software that wrote it.
    pub fn into_raft(self) -> io::Result<EntryOf<TypeConfig>> {
        let payload: EntryPayloadOf<TypeConfig> = match self.body {
            StoredBody::Blank => EntryPayload::Blank,
            StoredBody::Normal(bytes) => EntryPayload::Normal(Payload(bytes)),
            StoredBody::Membership { voters, members } => {
                EntryPayload::Membership(load_membership(voters, members).map_err(|cause| {
                    let message = format!("invalid membership entry at {}: {cause}", self.position);
                    io::Error::new(io::ErrorKind::InvalidData, message)
                })?)
            }
        };
        Ok(EntryOf::<TypeConfig> { log_id: self.position.into(), payload })
    }
}

impl From<EntryOf<TypeConfig>> for StoredEntry {
    fn from(entry: EntryOf<TypeConfig>) -> Self {
        let body = match entry.payload {
            EntryPayload::Blank => StoredBody::Blank,
            EntryPayload::Normal(Payload(bytes)) => StoredBody::Normal(bytes),
            EntryPayload::Membership(membership) => store_membership(&membership),
        };
        Self { position: entry.log_id.into(), body }
    }
}

fn store_membership(membership: &Membership<NodeId, Member>) -> StoredBody {
    let voters = membership
        .get_joint_config()
        .iter()
        .map(|set| set.iter().map(|node| node.0).collect())
        .collect();
    let members = membership
        .nodes()
        .map(|(node, member)| (node.0, StoredMember { address: member.address.to_string() }))
        .collect();
    StoredBody::Membership { voters, members }
}

fn load_membership(
    voters: Vec<BTreeSet<u64>>,
    members: BTreeMap<u64, StoredMember>,
) -> Result<Membership<NodeId, Member>, String> {
    let voters = voters.into_iter().map(|set| set.into_iter().map(NodeId).collect()).collect();
    let members = members
        .into_iter()
        .map(|(node, member)| {
            let address = Address::new(member.address).map_err(|error| error.to_string())?;
            Ok((NodeId(node), Member { address }))
        })
        .collect::<Result<BTreeMap<_, _>, String>>()?;
    Membership::new(voters, members).map_err(|error| error.to_string())
}

impl From<LogIdOf<TypeConfig>> for Position {
    fn from(id: LogIdOf<TypeConfig>) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id.0, index: id.index }
    }
}

impl From<Position> for LogIdOf<TypeConfig> {
    fn from(position: Position) -> Self {
        let leader_id = leader(position.term, position.node);
        Self { leader_id, index: position.index }
    }
}

impl From<&VoteOf<TypeConfig>> for StoredVote {
    fn from(vote: &VoteOf<TypeConfig>) -> Self {
        Self {
            term: vote.leader_id.term,
            node: vote.leader_id.node_id.0,
            committed: vote.committed,
        }
    }
}

impl From<StoredVote> for VoteOf<TypeConfig> {
    fn from(vote: StoredVote) -> Self {
        Self { leader_id: leader(vote.term, vote.node), committed: vote.committed }
    }
}

fn leader(term: u64, node: u64) -> LeaderIdOf<TypeConfig> {
    LeaderId { term, node_id: NodeId(node) }
}
