//! Wire types for the messages of openraft. The layouts of openraft may change between its
//! releases, but agents of two releases must understand each other during a rolling upgrade.
//! Therefore messages have their own types here, and a change to one is a new version as described
//! in [`meridian_storage::codec`].

use std::io;

use openraft::alias::StoredMembershipOf;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use meridian_storage::codec::Stored;
use meridian_storage::disk::entry::{Position, StoredEntry, StoredVote};
use meridian_storage::raft::{LogId, TypeConfig, Vote};
use meridian_storage::rows::position::Members;
use meridian_storage::stored;

stored! {
    WireAppendRequest = 42, version 1, "append request";
    WireAppendResponse = 43, version 1, "append response";
    WireVoteRequest = 44, version 1, "vote request";
    WireVoteResponse = 45, version 1, "vote response";
    WireTransferRequest = 46, version 1, "leadership transfer request";
    WireTransferResponse = 47, version 1, "leadership transfer response";
    WireSnapshotResponse = 48, version 1, "snapshot response";
    WireSnapshotMeta = 49, version 1, "Raft metadata of a snapshot";
}

/// Message of openraft with a wire type.
pub trait Message: Sized {
    /// Wire type of the message.
    type Wire: Stored;

    /// Converts the message to its wire type.
    fn into_wire(self) -> Self::Wire;

    /// Converts the message from its wire type.
    ///
    /// # Errors
    /// If a value is invalid.
    fn from_wire(wire: Self::Wire) -> io::Result<Self>;
}

/// Request to append entries to the log of a follower.
#[derive(Serialize, Deserialize)]
pub struct WireAppendRequest {
    vote: StoredVote,
    previous: Option<Position>,
    entries: Vec<StoredEntry>,
    committed: Option<Position>,
}

impl Message for AppendEntriesRequest<TypeConfig> {
    type Wire = WireAppendRequest;

    fn into_wire(self) -> WireAppendRequest {
        WireAppendRequest {
            vote: (&self.vote).into(),
            previous: self.prev_log_id.map(Into::into),
            entries: self.entries.into_iter().map(Into::into).collect(),
            committed: self.leader_commit.map(Into::into),
        }
    }

    fn from_wire(wire: WireAppendRequest) -> io::Result<Self> {
        let entries = wire.entries.into_iter().map(StoredEntry::into_raft);
        Ok(Self {
            vote: wire.vote.into(),
            prev_log_id: wire.previous.map(Into::into),
            entries: entries.collect::<io::Result<_>>()?,
            leader_commit: wire.committed.map(Into::into),
        })
    }
}

/// Response to an append request. Variants are encoded by position: append only.
#[derive(Serialize, Deserialize)]
pub enum WireAppendResponse {
    /// The follower's log matches the leader's up to this position, durably.
    Matching(Option<Position>),
    /// The follower's log lacks the entry at this position, which precedes the first entry sent.
    Conflict(Position),
    /// The follower has a higher vote.
    HigherVote(StoredVote),
}

impl Message for StreamAppendResult<TypeConfig> {
    type Wire = WireAppendResponse;

    fn into_wire(self) -> WireAppendResponse {
        match self {
            Ok(matching) => WireAppendResponse::Matching(matching.map(Into::into)),
            Err(StreamAppendError::Conflict(at)) => WireAppendResponse::Conflict(at.into()),
            Err(StreamAppendError::HigherVote(vote)) => {
                WireAppendResponse::HigherVote((&vote).into())
            }
        }
    }

    fn from_wire(wire: WireAppendResponse) -> io::Result<Self> {
        Ok(match wire {
            WireAppendResponse::Matching(matching) => Ok(matching.map(Into::into)),
            WireAppendResponse::Conflict(at) => Err(StreamAppendError::Conflict(at.into())),
            WireAppendResponse::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
        })
    }
}

/// Request of a candidate for a vote.
#[derive(Serialize, Deserialize)]
pub struct WireVoteRequest {
    vote: StoredVote,
    last: Option<Position>,
    leadership_transfer: bool,
}

impl Message for VoteRequest<TypeConfig> {
    type Wire = WireVoteRequest;

    fn into_wire(self) -> WireVoteRequest {
        WireVoteRequest {
            vote: (&self.vote).into(),
            last: self.last_log_id.map(Into::into),
            leadership_transfer: self.leadership_transfer,
        }
    }

    fn from_wire(wire: WireVoteRequest) -> io::Result<Self> {
        let mut request = Self::new(wire.vote.into(), wire.last.map(Into::into));
        request.leadership_transfer = wire.leadership_transfer;
        Ok(request)
    }
}

/// Response to a vote request.
#[derive(Serialize, Deserialize)]
pub struct WireVoteResponse {
    vote: StoredVote,
    last: Option<Position>,
    granted: bool,
}

impl Message for VoteResponse<TypeConfig> {
    type Wire = WireVoteResponse;

    fn into_wire(self) -> WireVoteResponse {
        WireVoteResponse {
            vote: (&self.vote).into(),
            last: self.last_log_id.map(Into::into),
            granted: self.vote_granted,
        }
    }

    fn from_wire(wire: WireVoteResponse) -> io::Result<Self> {
        Ok(Self::new(Vote::from(wire.vote), wire.last.map(Into::into), wire.granted))
    }
}

/// Request of the leader that asks another voter to start an election immediately.
#[derive(Serialize, Deserialize)]
pub struct WireTransferRequest {
    from: StoredVote,
    to: u64,
    last: Option<Position>,
}

impl Message for TransferLeaderRequest<TypeConfig> {
    type Wire = WireTransferRequest;

    fn into_wire(self) -> WireTransferRequest {
        WireTransferRequest {
            from: self.from_leader().into(),
            to: self.to_node_id().0,
            last: self.last_log_id().map(|log| (*log).into()),
        }
    }

    fn from_wire(wire: WireTransferRequest) -> io::Result<Self> {
        Ok(Self::new(wire.from.into(), wire.to.into(), wire.last.map(Into::into)))
    }
}

/// Response to a transfer request. Variants are encoded by position: append only.
#[derive(Serialize, Deserialize)]
pub enum WireTransferResponse {
    /// The voter starts an election.
    Accepted,
    /// The voter has a different vote than the request.
    VoteChanged {
        /// Vote of the leader in the request.
        expected: StoredVote,
        /// Current vote of the voter.
        actual: StoredVote,
    },
    /// The voter's durable log ends before the leader's log.
    LogNotFlushed {
        /// End of the leader's log.
        expected: Option<Position>,
        /// End of the voter's durable log.
        actual: Option<Position>,
    },
}

impl Message for TransferLeaderResponse<TypeConfig> {
    type Wire = WireTransferResponse;

    fn into_wire(self) -> WireTransferResponse {
        let position = |log: Option<LogId>| log.map(Into::into);
        match self {
            Ok(()) => WireTransferResponse::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                WireTransferResponse::VoteChanged {
                    expected: (&expected).into(),
                    actual: (&actual).into(),
                }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                WireTransferResponse::LogNotFlushed {
                    expected: position(expected),
                    actual: position(actual),
                }
            }
        }
    }

    fn from_wire(wire: WireTransferResponse) -> io::Result<Self> {
        let log = |position: Option<Position>| position.map(Into::into);
        Ok(match wire {
            WireTransferResponse::Accepted => Ok(()),
            WireTransferResponse::VoteChanged { expected, actual } => {
                let (expected, actual) = (expected.into(), actual.into());
                Err(TransferLeaderError::VoteChanged { expected, actual })
            }
            WireTransferResponse::LogNotFlushed { expected, actual } => {
                let (expected, actual) = (log(expected), log(actual));
                Err(TransferLeaderError::LogNotFlushed { expected, actual })
            }
        })
    }
}

/// Response to a snapshot, whether or not it was installed.
#[derive(Serialize, Deserialize)]
pub struct WireSnapshotResponse {
    vote: StoredVote,
}

impl Message for SnapshotResponse<TypeConfig> {
    type Wire = WireSnapshotResponse;

    fn into_wire(self) -> WireSnapshotResponse {
        WireSnapshotResponse { vote: (&self.vote).into() }
    }

    fn from_wire(wire: WireSnapshotResponse) -> io::Result<Self> {
        Ok(Self::new(wire.vote.into()))
    }
}

/// Vote of the sending leader, and position and membership of a snapshot in the Raft log.
#[derive(Serialize, Deserialize)]
pub struct WireSnapshotMeta {
    vote: StoredVote,
    last: Option<Position>,
    members: Members,
}

/// Vote of the sending leader, and position and membership of a snapshot in the Raft log, in
/// openraft's types.
pub struct RaftSnapshotMeta {
    /// Vote of the leader that sends the snapshot.
    pub vote: Vote,
    /// Last entry covered by the snapshot.
    pub last_log_id: Option<LogId>,
    /// Membership at that entry.
    pub last_membership: StoredMembershipOf<TypeConfig>,
}

impl Message for RaftSnapshotMeta {
    type Wire = WireSnapshotMeta;

    fn into_wire(self) -> WireSnapshotMeta {
        WireSnapshotMeta {
            vote: (&self.vote).into(),
            last: self.last_log_id.map(Into::into),
            members: (&self.last_membership).into(),
        }
    }

    fn from_wire(wire: WireSnapshotMeta) -> io::Result<Self> {
        Ok(Self {
            vote: wire.vote.into(),
            last_log_id: wire.last.map(Into::into),
            last_membership: wire.members.try_into().map_err(io::Error::other)?,
        })
    }
}
