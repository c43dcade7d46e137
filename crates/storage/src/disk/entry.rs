//! The stored forms of Raft's own entry and vote. openraft's layouts may change between its
//! releases; these never do: a change is a new version, as [`crate::codec`] describes.

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

/// Where an entry stands in the Raft log. A later term's is greater, whatever its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The term of the leader that proposed the entry.
    pub term: u64,
    /// That leader's node id.
    pub node: u64,
    /// The index of the entry; the first is 0.
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "index {} of term {} (leader {:016x})", self.index, self.term, self.node)
    }
}

/// An entry of the Raft log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    /// Where it stands.
    pub position: Position,
    /// What it carries.
    pub body: StoredBody,
}

/// What an entry carries. Stored by position: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoredBody {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded [`meridian_domain::Entry`].
    Normal(Bytes),
    /// Who belongs to the Raft cluster from here on.
    Membership {
        /// The sets of voters; two while membership changes. A decision takes a majority of each.
        voters: Vec<BTreeSet<u64>>,
        /// All members, the learners too.
        members: BTreeMap<u64, StoredMember>,
    },
}

/// A member as a membership entry names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMember {
    /// Where other members reach it: `HOST:PORT`.
    pub address: String,
}

/// A vote: the node that may lead a term, as far as this node is concerned. Ordered as Raft does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoredVote {
    /// The term.
    pub term: u64,
    /// Who is voted for.
    pub node: u64,
    /// Whether a quorum granted it.
    pub committed: bool,
}

impl fmt::Display for StoredVote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let granted = if self.committed { ", granted" } else { "" };
        write!(f, "a vote for {:016x} in term {}{granted}", self.node, self.term)
    }
}

impl StoredEntry {
    /// Bytes of its payload, nearly: what memory and messages are budgeted by.
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

    /// The entry as Raft wants it.
    ///
    /// # Errors
    /// If it names a member that cannot be: a mistake of the software that wrote it.
    pub fn into_raft(self) -> io::Result<EntryOf<TypeConfig>> {
        let payload: EntryPayloadOf<TypeConfig> = match self.body {
            StoredBody::Blank => EntryPayload::Blank,
            StoredBody::Normal(bytes) => EntryPayload::Normal(Payload(bytes)),
            StoredBody::Membership { voters, members } => {
                EntryPayload::Membership(load_membership(voters, members).map_err(|cause| {
                    let message = format!("the membership entry at {}: {cause}", self.position);
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
