//! The few single rows that say what all the other rows are of.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use meridian_domain::{Digest, NodeId, Revision};
use openraft::alias::{LogIdOf, StoredMembershipOf};
use openraft::impls::leader_id_adv::LeaderId;
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError};
use crate::disk::database::{Batch, Database};
use crate::raft::{Member, TypeConfig};
use crate::rows::membership_key;
use crate::stored;

stored! {
    Format = 30, version 1, "format of the derived store";
    Position = 31, version 2, "position of the derived store";
    Members = 32, version 1, "applied membership";
    SegmentEnd = 33, version 1, "segment hash";
}

/// Which layout the rows are in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// See [`FORMAT`](crate::rows::FORMAT).
    pub version: u32,
}

/// What the rows are of. Written with every batch that changes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Under which number the state's rows are.
    pub epoch: u64,
    /// Under which number the events and segments are.
    pub history: u64,
    /// The last log entry in the rows.
    pub applied: Option<LogPosition>,
    /// The last log entry of the snapshot that was installed last: up to here this node has answered
    /// for entries that its own log may never have held.
    pub installed: Option<u64>,
    /// The last event in the rows.
    pub revision: Revision,
    /// The chain hash of that event.
    pub chain: Digest,
    /// Rows of the state, those left out among them.
    pub rows: u64,
    /// Behind this revision, events stand for the outcomes of their changes.
    pub told_after: Revision,
}

/// A place in the Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The term of the leader that wrote the entry.
    pub term: u64,
    /// That leader.
    pub leader: NodeId,
    /// The entry's index.
    pub index: u64,
}

impl From<LogIdOf<TypeConfig>> for LogPosition {
    fn from(id: LogIdOf<TypeConfig>) -> Self {
        Self { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogPosition> for LogIdOf<TypeConfig> {
    fn from(position: LogPosition) -> Self {
        let leader_id = LeaderId { term: position.term, node_id: position.leader };
        Self { leader_id, index: position.index }
    }
}

/// Raft's membership: openraft's own type, in a form that is this project's to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// The entry that made it.
    pub log: Option<LogPosition>,
    /// The sets of voters: two while it changes.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Voters and learners.
    pub nodes: BTreeMap<NodeId, Member>,
}

impl From<&StoredMembershipOf<TypeConfig>> for Members {
    fn from(stored: &StoredMembershipOf<TypeConfig>) -> Self {
        let membership = stored.membership();
        Self {
            log: (*stored.log_id()).map(Into::into),
            voters: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, member)| (*id, member.clone())).collect(),
        }
    }
}

/// Bytes of a part of a stored membership: a thousand members with long addresses are more than one
/// value may be.
const PART_BYTES: usize = 48 << 10;
/// Parts at most, many times what the limit of agents allows.
const MOST_PARTS: u8 = 32;

impl Members {
    /// Adds the rows to `batch`, in the place of those that may be there.
    ///
    /// # Panics
    /// If there are more members than the limit of agents allows, by far.
    pub fn write(&self, batch: &mut Batch) {
        let value = codec::encode(self);
        assert!(value.len() <= PART_BYTES * usize::from(MOST_PARTS), "members are limited");
        let mut parts = value.chunks(PART_BYTES);
        for part in 0..MOST_PARTS {
            match parts.next() {
                Some(bytes) => batch.insert(membership_key(part), bytes),
                None => batch.remove(membership_key(part)),
            }
        }
    }

    /// Reads what [`Members::write`] wrote, if it did.
    ///
    /// # Errors
    /// If the rows cannot be read, or decoded.
    pub fn read(database: &dyn Database) -> io::Result<Option<Result<Self, DecodeError>>> {
        let (first, end) = (membership_key(0), membership_key(MOST_PARTS));
        let parts = database.scan(&first, &end, usize::from(MOST_PARTS))?;
        let value: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
        Ok((!value.is_empty()).then(|| codec::decode(&value)))
    }
}

/// The stored membership has a voter that is not among its nodes.
#[derive(Debug, thiserror::Error)]
#[error("the stored membership names a voter that is not a member")]
pub struct NotAMembership;

impl TryFrom<Members> for StoredMembershipOf<TypeConfig> {
    type Error = NotAMembership;

    fn try_from(members: Members) -> Result<Self, NotAMembership> {
        if members.voters.is_empty() && members.nodes.is_empty() {
            // What a node has before its first membership: openraft makes it only by default.
            return Ok(Self::new(members.log.map(Into::into), openraft::Membership::default()));
        }
        let membership = openraft::Membership::new(members.voters, members.nodes);
        Ok(Self::new(members.log.map(Into::into), membership.map_err(|_| NotAMembership)?))
    }
}

/// The chain hash at the last event of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEnd {
    /// That hash.
    pub chain: Digest,
}
