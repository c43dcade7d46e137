//! Metadata rows of the derived store: what the other rows belong to.

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

/// Layout of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Format {
    /// See [`FORMAT`](crate::rows::FORMAT).
    pub version: u32,
}

/// Position of the rows in the log and in the event log. Written with every batch that changes
/// rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Epoch of the state rows.
    pub epoch: u64,
    /// History of the events and segment hashes.
    pub history: u64,
    /// Last log entry that the rows contain.
    pub applied: Option<LogPosition>,
    /// Last log entry of the last installed snapshot. This node has acknowledged entries up to here
    /// that may never have been in its own log.
    pub installed: Option<u64>,
    /// Last event that the rows contain.
    pub revision: Revision,
    /// Chain hash of that event.
    pub chain: Digest,
    /// Number of state rows, including derived outcomes, which are not stored.
    pub rows: u64,
    /// Revision above which outcomes are derived from events.
    pub outcome_watermark: Revision,
}

/// Position of an entry in the Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// Term of the leader that proposed the entry.
    pub term: u64,
    /// Node id of that leader.
    pub leader: NodeId,
    /// Index of the entry.
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

/// Raft membership: openraft's type in a stored form of this project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Log entry of the membership.
    pub log: Option<LogPosition>,
    /// Sets of voters; two during a membership change.
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

/// Maximum size of one part of a stored membership in bytes. A thousand members with long addresses
/// exceed the maximum size of one value.
const PART_BYTES: usize = 48 << 10;
/// Maximum number of parts, many times what the limit on agents requires.
const MAX_PARTS: u8 = 32;

impl Members {
    /// Adds the rows to `batch`. They replace all previous rows of the membership.
    ///
    /// # Panics
    /// If the members need more than 32 parts, far more than the limit on agents allows.
    pub fn write(&self, batch: &mut Batch) {
        let value = codec::encode(self);
        assert!(
            value.len() <= PART_BYTES * usize::from(MAX_PARTS),
            "the number of members is limited"
        );
        let mut parts = value.chunks(PART_BYTES);
        for part in 0..MAX_PARTS {
            match parts.next() {
                Some(bytes) => batch.insert(membership_key(part), bytes),
                None => batch.remove(membership_key(part)),
            }
        }
    }

    /// Reads the rows of [`Members::write`]. Returns `None` if there are none.
    ///
    /// # Errors
    /// If the rows cannot be read. The inner result is an error if they cannot be decoded.
    pub fn read(database: &dyn Database) -> io::Result<Option<Result<Self, DecodeError>>> {
        let (first, end) = (membership_key(0), membership_key(MAX_PARTS));
        let parts = database.scan(&first, &end, usize::from(MAX_PARTS))?;
        let value: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
        Ok((!value.is_empty()).then(|| codec::decode(&value)))
    }
}

/// The stored membership has a voter that is not among its members.
#[derive(Debug, thiserror::Error)]
#[error("invalid membership: a voter is not a member")]
pub struct InvalidMembership;

impl TryFrom<Members> for StoredMembershipOf<TypeConfig> {
    type Error = InvalidMembership;

    fn try_from(members: Members) -> Result<Self, InvalidMembership> {
        if members.voters.is_empty() && members.nodes.is_empty() {
            // The membership of a node before its first membership entry: openraft creates it only
            // by default.
            return Ok(Self::new(members.log.map(Into::into), openraft::Membership::default()));
        }
        let membership = openraft::Membership::new(members.voters, members.nodes);
        Ok(Self::new(members.log.map(Into::into), membership.map_err(|_| InvalidMembership)?))
    }
}

/// Chain hash at the end of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentEnd {
    /// Chain hash of the last event of the segment.
    pub chain: Digest,
}
