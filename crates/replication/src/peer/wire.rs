//! openraft's messages in forms of this project's own. openraft's layouts may change between its
//! releases, and agents of two releases must understand each other while an upgrade rolls through a
//! cluster: so a change here is a new version, as [`meridian_storage::codec`] describes.

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
    Append = 42, version 1, "append request";
    AppendAnswer = 43, version 1, "append answer";
    Ballot = 44, version 1, "vote request";
    BallotAnswer = 45, version 1, "vote answer";
    Transfer = 46, version 1, "leadership transfer request";
    TransferAnswer = 47, version 1, "leadership transfer answer";
    SnapshotAnswer = 48, version 1, "snapshot answer";
    Place = 49, version 1, "snapshot place";
}

/// One of openraft's messages with a form of its own on the wire.
pub trait Message: Sized {
    /// That form.
    type Wire: Stored;

    /// The form of this message.
    fn into_wire(self) -> Self::Wire;

    /// The message of that form.
    ///
    /// # Errors
    /// If it makes no sense.
    fn from_wire(wire: Self::Wire) -> io::Result<Self>;
}

/// Entries for a follower.
#[derive(Serialize, Deserialize)]
pub struct Append {
    vote: StoredVote,
    previous: Option<Position>,
    entries: Vec<StoredEntry>,
    committed: Option<Position>,
}

impl Message for AppendEntriesRequest<TypeConfig> {
    type Wire = Append;

    fn into_wire(self) -> Append {
        Append {
            vote: (&self.vote).into(),
            previous: self.prev_log_id.map(Into::into),
            entries: self.entries.into_iter().map(Into::into).collect(),
            committed: self.leader_commit.map(Into::into),
        }
    }

    fn from_wire(wire: Append) -> io::Result<Self> {
        let entries = wire.entries.into_iter().map(StoredEntry::into_raft);
        Ok(Self {
            vote: wire.vote.into(),
            prev_log_id: wire.previous.map(Into::into),
            entries: entries.collect::<io::Result<_>>()?,
            leader_commit: wire.committed.map(Into::into),
        })
    }
}

/// What a follower says to them. Stored by position: append only.
#[derive(Serialize, Deserialize)]
pub enum AppendAnswer {
    /// Its log is the leader's up to here, durably.
    Matching(Option<Position>),
    /// It has no such entry before the first one sent.
    Conflict(Position),
    /// It follows a greater vote.
    HigherVote(StoredVote),
}

impl Message for StreamAppendResult<TypeConfig> {
    type Wire = AppendAnswer;

    fn into_wire(self) -> AppendAnswer {
        match self {
            Ok(matching) => AppendAnswer::Matching(matching.map(Into::into)),
            Err(StreamAppendError::Conflict(at)) => AppendAnswer::Conflict(at.into()),
            Err(StreamAppendError::HigherVote(vote)) => AppendAnswer::HigherVote((&vote).into()),
        }
    }

    fn from_wire(wire: AppendAnswer) -> io::Result<Self> {
        Ok(match wire {
            AppendAnswer::Matching(matching) => Ok(matching.map(Into::into)),
            AppendAnswer::Conflict(at) => Err(StreamAppendError::Conflict(at.into())),
            AppendAnswer::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
        })
    }
}

/// A candidate asks for a vote.
#[derive(Serialize, Deserialize)]
pub struct Ballot {
    vote: StoredVote,
    last: Option<Position>,
    leadership_transfer: bool,
}

impl Message for VoteRequest<TypeConfig> {
    type Wire = Ballot;

    fn into_wire(self) -> Ballot {
        Ballot {
            vote: (&self.vote).into(),
            last: self.last_log_id.map(Into::into),
            leadership_transfer: self.leadership_transfer,
        }
    }

    fn from_wire(wire: Ballot) -> io::Result<Self> {
        let mut request = Self::new(wire.vote.into(), wire.last.map(Into::into));
        request.leadership_transfer = wire.leadership_transfer;
        Ok(request)
    }
}

/// What it is told.
#[derive(Serialize, Deserialize)]
pub struct BallotAnswer {
    vote: StoredVote,
    last: Option<Position>,
    granted: bool,
}

impl Message for VoteResponse<TypeConfig> {
    type Wire = BallotAnswer;

    fn into_wire(self) -> BallotAnswer {
        BallotAnswer {
            vote: (&self.vote).into(),
            last: self.last_log_id.map(Into::into),
            granted: self.vote_granted,
        }
    }

    fn from_wire(wire: BallotAnswer) -> io::Result<Self> {
        Ok(Self::new(Vote::from(wire.vote), wire.last.map(Into::into), wire.granted))
    }
}

/// The leader asks another voter to stand for election.
#[derive(Serialize, Deserialize)]
pub struct Transfer {
    from: StoredVote,
    to: u64,
    last: Option<Position>,
}

impl Message for TransferLeaderRequest<TypeConfig> {
    type Wire = Transfer;

    fn into_wire(self) -> Transfer {
        Transfer {
            from: self.from_leader().into(),
            to: self.to_node_id().0,
            last: self.last_log_id().map(|log| (*log).into()),
        }
    }

    fn from_wire(wire: Transfer) -> io::Result<Self> {
        Ok(Self::new(wire.from.into(), wire.to.into(), wire.last.map(Into::into)))
    }
}

/// What it says to that. Stored by position: append only.
#[derive(Serialize, Deserialize)]
pub enum TransferAnswer {
    /// It stands.
    Stands,
    /// It follows another vote.
    VoteChanged {
        /// The vote that the request rests on.
        expected: StoredVote,
        /// The one that it follows.
        actual: StoredVote,
    },
    /// Its log does not reach so far, durably.
    LogNotFlushed {
        /// Where the leader's log ends.
        expected: Option<Position>,
        /// Where its own ends, durably.
        actual: Option<Position>,
    },
}

impl Message for TransferLeaderResponse<TypeConfig> {
    type Wire = TransferAnswer;

    fn into_wire(self) -> TransferAnswer {
        let position = |log: Option<LogId>| log.map(Into::into);
        match self {
            Ok(()) => TransferAnswer::Stands,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                TransferAnswer::VoteChanged {
                    expected: (&expected).into(),
                    actual: (&actual).into(),
                }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                TransferAnswer::LogNotFlushed {
                    expected: position(expected),
                    actual: position(actual),
                }
            }
        }
    }

    fn from_wire(wire: TransferAnswer) -> io::Result<Self> {
        let log = |position: Option<Position>| position.map(Into::into);
        Ok(match wire {
            TransferAnswer::Stands => Ok(()),
            TransferAnswer::VoteChanged { expected, actual } => {
                let (expected, actual) = (expected.into(), actual.into());
                Err(TransferLeaderError::VoteChanged { expected, actual })
            }
            TransferAnswer::LogNotFlushed { expected, actual } => {
                let (expected, actual) = (log(expected), log(actual));
                Err(TransferLeaderError::LogNotFlushed { expected, actual })
            }
        })
    }
}

/// What a node says after it installed a snapshot, or did not.
#[derive(Serialize, Deserialize)]
pub struct SnapshotAnswer {
    vote: StoredVote,
}

impl Message for SnapshotResponse<TypeConfig> {
    type Wire = SnapshotAnswer;

    fn into_wire(self) -> SnapshotAnswer {
        SnapshotAnswer { vote: (&self.vote).into() }
    }

    fn from_wire(wire: SnapshotAnswer) -> io::Result<Self> {
        Ok(Self::new(wire.vote.into()))
    }
}

/// Where in the Raft log a snapshot stands, and the vote of the leader that sends it.
#[derive(Serialize, Deserialize)]
pub struct Place {
    vote: StoredVote,
    last: Option<Position>,
    members: Members,
}

/// The same, as openraft has it.
pub struct SnapshotPlace {
    /// The vote of the leader.
    pub vote: Vote,
    /// The last entry that the snapshot covers.
    pub last_log_id: Option<LogId>,
    /// The membership there.
    pub last_membership: StoredMembershipOf<TypeConfig>,
}

impl Message for SnapshotPlace {
    type Wire = Place;

    fn into_wire(self) -> Place {
        Place {
            vote: (&self.vote).into(),
            last: self.last_log_id.map(Into::into),
            members: (&self.last_membership).into(),
        }
    }

    fn from_wire(wire: Place) -> io::Result<Self> {
        Ok(Self {
            vote: wire.vote.into(),
            last_log_id: wire.last.map(Into::into),
            last_membership: wire.members.try_into().map_err(io::Error::other)?,
        })
    }
}
